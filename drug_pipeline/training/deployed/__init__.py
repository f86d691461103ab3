"""Fitted models in use: the bundle of a data folder, and a linear model alone."""
