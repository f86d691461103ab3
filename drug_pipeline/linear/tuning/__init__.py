"""How linear models choose their settings: inner folds, the grid, the main gene axes."""
