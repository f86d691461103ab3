"""From Δ tables and splits to fitted predictors."""
