"""Hyperparameter selection of linear models: inner cross-validation, the grid, gene axes."""
