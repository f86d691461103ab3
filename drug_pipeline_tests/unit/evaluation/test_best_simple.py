"""Which simple baseline is the one to beat."""

import pandas as pd

from drug_pipeline.evaluation.evaluate import best_simple


def _figures(values: dict[str, float], *, stratum: str, metric: str) -> pd.DataFrame:
    kind = "activity" if stratum == "active" else "all"
    return pd.DataFrame(
        [
            {
                "predictor": name,
                "metric": metric,
                "stratum_kind": kind,
                "stratum": stratum,
                "value": value,
            }
            for name, value in values.items()
        ]
    )


MAIN = "pearson_centred"
OF_ALL = _figures(
    {"additive": 0.5, "drug_mean": 0.4, "pair_ridge": 0.9}, stratum="all", metric=MAIN
)
OF_ACTIVE = _figures(
    {"additive": 0.6, "drug_mean": 0.7, "pair_ridge": 0.9}, stratum="active", metric=MAIN
)


def test_the_best_simple_baseline_has_the_best_main_figure_on_active_conditions() -> None:
    assert best_simple(pd.concat([OF_ALL, OF_ACTIVE]), MAIN) == "drug_mean"
    assert best_simple(OF_ALL, MAIN) == "additive"


def test_without_a_main_figure_the_strongest_by_rule_stands_in() -> None:
    errors = _figures({"zero": 0.1, "drug_mean": 0.2}, stratum="all", metric="mse")

    assert best_simple(errors, MAIN) == "drug_mean"
    assert best_simple(errors[:0], MAIN) == ""
