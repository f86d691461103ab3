"""Linear models, numpy and scipy only: the baselines of every table and the base of the network."""
