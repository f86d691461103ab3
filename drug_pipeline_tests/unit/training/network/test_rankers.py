import numpy as np
import pytest

from drug_pipeline.linear import Conditions
from drug_pipeline.training.network.forward_gallery import cached


@pytest.mark.parametrize(("most_bytes", "n_asked"), [(10**6, 2), (0, 4)])
def test_predictions_of_a_gallery_are_asked_for_once_as_long_as_they_fit(most_bytes, n_asked):
    asked_of = []

    def predict(asked: Conditions) -> np.ndarray:
        asked_of.append(asked.line_N[0])
        return np.full((len(asked), 3), float(asked.dose_um_N[0]), dtype=np.float32)

    ask = cached(predict, most_bytes=most_bytes)
    answers = [
        ask(Conditions.unmeasured(["a", "b"], line, 5.0)) for line in ("one", "two", "one", "two")
    ]

    assert len(asked_of) == n_asked
    assert all((answer == 5.0).all() for answer in answers)
    assert (ask(Conditions.unmeasured(["a", "b"], "one", 0.5)) == 0.5).all()
