"""From predictions and measurements to figures: metrics, noise ceilings, strata, intervals."""
