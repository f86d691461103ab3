"""What ships of a split: which predictor, which rankers, with which weights and error bound."""
