"""Arrays in, frames out: metrics, baselines' tables, ceilings, intervals, reports."""
