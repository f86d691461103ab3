"""What MLflow runs to load the registered model; nothing imports it."""

from drug_pipeline.query.pyfunc import Predictions
from drug_pipeline.tracking.served import serve

serve(Predictions())
