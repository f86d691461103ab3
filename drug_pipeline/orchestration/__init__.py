"""The roof: assets, checks, jobs, sensors. The only floor that knows Dagster."""
