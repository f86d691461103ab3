"""From predictions and measurements to figures: metrics, ceilings, strata, intervals."""
