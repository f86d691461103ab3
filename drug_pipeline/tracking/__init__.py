"""The one door to MLflow: runs, their parameters and figures, and the model registry."""
