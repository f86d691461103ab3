"""Model selection: the predictor that ships of a split, its rankers, weights and error bound."""
