"""A registered model inside MLflow: how its script hands it over when it is loaded.

What belongs here: the wrapper that MLflow calls. What does not: what a model answers (``query``),
registering one (``store.py``).
"""

import warnings
from typing import Any

from drug_pipeline.domain.errors import DrugPipelineError


def serve(model: Any) -> None:
    """Hand a loaded-on-demand model to MLflow; called by the script of a :class:`ServedModel`.

    Parameters
    ----------
    model
        Has ``load(artifacts: Mapping[str, str])`` and ``answer(table, params) -> table``.
    """
    mlflow = import_pyfunc()
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    # MLflow would check the types of a hinted question itself, and knows no DataFrame; of a question
    # without hints it warns, past every filter: it sets its own. So the warning is caught instead.
    with warnings.catch_warnings(record=True):

        class Served(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
            def load_context(self, context: Any) -> None:
                model.load(context.artifacts)

            def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
                del context
                try:
                    return model.answer(model_input, params or {})
                except DrugPipelineError as error:  # as MLflow's own, its server tells the message
                    raise mlflow.MlflowException(
                        str(error), error_code=INVALID_PARAMETER_VALUE
                    ) from error

    mlflow.models.set_model(Served())


def import_pyfunc() -> Any:
    """MLflow with its pyfunc flavour, without the warnings it has about its own type hints."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
    return mlflow
