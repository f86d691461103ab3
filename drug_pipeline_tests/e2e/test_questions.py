"""Questions to the model of the generated screen, as people ask them: on the command line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.cli.app import run_command
from drug_pipeline.cli.options import BAD_USAGE, FAILED
from drug_pipeline.domain import names
from drug_pipeline.orchestration.registry import read_registration
from drug_pipeline.query import pyfunc
from drug_pipeline.query.open_model import open_model
from drug_pipeline.storage.shards import read_conditions, read_delta
from drug_pipeline_tests.e2e.conftest import Built


def ask(built: Built, *arguments: str) -> int:
    return run_command([*arguments, "--data-dir", str(built.layout.root)])


@pytest.fixture(scope="module")
def condition(built: Built) -> pd.Series:
    """The strongest response that was measured."""
    table = read_delta(built.layout)
    return table.conditions.iloc[int(np.square(table.delta_NG).mean(axis=1).argmax())]


def test_a_measured_response_finds_its_own_drug_among_the_first(
    built: Built, condition: pd.Series, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    like = f"{condition[names.DRUG]}@{condition[names.CELL_LINE_ID]}@{condition[names.DOSE_UM]:g}"

    code = ask(built, "rank", "--like", like, "--out", str(tmp_path / "ranked.csv"))

    shown = capsys.readouterr().out
    ranked = pd.read_csv(tmp_path / "ranked.csv").set_index(names.DRUG)
    assert code == 0
    assert "On held-out data" in shown
    assert len(ranked) == 16
    assert ranked.loc[condition[names.DRUG], "rank"] <= 3


def test_the_reverse_question_puts_the_drug_near_the_end(
    built: Built, condition: pd.Series, tmp_path: Path
) -> None:
    like = f"{condition[names.DRUG]}@{condition[names.CELL_LINE_ID]}@{condition[names.DOSE_UM]:g}"

    code = ask(built, "rank", "--like", like, "--reverse", "--out", str(tmp_path / "r.parquet"))

    ranked = pd.read_parquet(tmp_path / "r.parquet").set_index(names.DRUG)
    assert code == 0
    assert ranked.loc[condition[names.DRUG], "rank"] > 1


def test_a_signature_from_a_file_ranks_as_the_same_signature_measured(
    built: Built, condition: pd.Series, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = read_delta(built.layout)
    line = condition[names.CELL_LINE_ID]
    keys = [names.DRUG, names.CELL_LINE_ID, names.DOSE_UM]
    rows = np.flatnonzero((table.conditions[keys] == condition[keys]).all(axis=1))
    pd.DataFrame(
        {
            names.ENSEMBL_ID: table.genes[names.ENSEMBL_ID],
            "delta": table.delta_NG[rows].mean(axis=0),
        }
    ).to_csv(tmp_path / "signature.csv", index=False)
    like = f"{condition[names.DRUG]}@{line}@{condition[names.DOSE_UM]:g}"
    files = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]

    codes = [
        ask(built, "rank", "--like", like, "--out", files[0]),
        ask(built, "rank", str(tmp_path / "signature.csv"), "--cell-line", line, "--out", files[1]),
    ]

    measured, from_file = (pd.read_csv(file) for file in files)
    assert codes == [0, 0]
    assert measured[names.DRUG].tolist() == from_file[names.DRUG].tolist()
    np.testing.assert_allclose(measured["score"], from_file["score"], rtol=1e-3, atol=1e-4)


def test_what_the_product_writes_it_reads(
    built: Built, condition: pd.Series, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drug, line = str(condition[names.DRUG]), str(condition[names.CELL_LINE_ID])
    dose = f"{condition[names.DOSE_UM]:g}"
    names_of_line = pd.read_parquet(built.layout.metadata_dir / "cell_lines.parquet")
    by_id = names_of_line.set_index(names.CELL_LINE_ID)[names.CELL_NAME]
    asked = ("--drug", drug.lower(), "--dose-um", dose, "--cell-line", by_id[line].lower())
    predicted = [str(tmp_path / f"predicted.{kind}") for kind in ("csv", "parquet")]
    ranked = [str(tmp_path / f"ranked_{kind}.csv") for kind in ("csv", "parquet", "h5ad", "name")]

    codes = [ask(built, "predict", *asked, "--out", file) for file in predicted]
    codes += [
        ask(built, "rank", file, "--cell-line", line, "--out", out_file)
        for file, out_file in zip(predicted, ranked, strict=False)
    ]
    codes.append(ask(built, "export", "--split", "pair", "--out", str(tmp_path / "exported")))
    exported = str(next((tmp_path / "exported" / "pair").glob("*.h5ad")))
    codes.append(
        ask(built, "rank", exported, "--row", "0", "--cell-line", line, "--out", ranked[2])
    )
    like = f"{drug}@{by_id[line]}@{dose}"
    codes.append(ask(built, "rank", "--like", like, "--out", ranked[3]))

    assert codes == [0] * len(codes), capsys.readouterr().err
    from_csv, from_parquet = (pd.read_csv(file) for file in ranked[:2])
    np.testing.assert_allclose(from_csv["score"], from_parquet["score"], atol=1e-5)
    assert from_csv.set_index(names.DRUG).loc[drug, "rank"] <= 3


def test_a_structure_never_seen_gets_a_prediction_from_the_drug_models(
    built: Built, condition: pd.Series, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    aspirin = "CC(=O)Oc1ccccc1C(=O)O"
    line = condition[names.CELL_LINE_ID]

    code = ask(
        built,
        *("predict", "--smiles", aspirin, "--dose-um", "5", "--cell-line", line),
        *("--out", str(tmp_path / "delta.parquet")),
    )

    shown = capsys.readouterr().out
    answer = pd.read_parquet(tmp_path / "delta.parquet")
    assert code == 0
    assert "answered by the model of split drug" in shown
    assert np.isfinite(answer["delta"]).all()
    assert len(answer) == len(read_delta(built.layout).genes)


def test_an_unknown_drug_ends_with_one_and_one_message(
    built: Built, condition: pd.Series, capsys: pytest.CaptureFixture[str]
) -> None:
    line = condition[names.CELL_LINE_ID]

    code = ask(built, "predict", "--drug", "Nosuchdrug", "--dose-um", "1", "--cell-line", line)

    assert code == FAILED
    assert "there is no drug 'Nosuchdrug'" in capsys.readouterr().err


def test_status_and_report_speak_of_what_was_built(
    built: Built, raw_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [ask(built, "status", "--raw-dir", str(raw_dir)), ask(built, "report")]

    shown = capsys.readouterr().out
    assert codes == [0, 0]
    assert shown.count("built") >= 15
    assert "0 new, 0 of another size, 0 gone" in shown
    assert str(built.layout.evaluation_dir / "report.html") in shown


def test_a_run_of_one_asset_from_the_command_line_says_nothing_new(
    built: Built, raw_dir: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRUG_PIPELINE_TRACKING", "false")
    monkeypatch.setenv("DRUG_PIPELINE_DEVICE", "cpu")

    code = ask(
        built, "run", "--preset", "tiny", "--raw-dir", str(raw_dir), "--select", "filtered_pairs"
    )

    shown = capfd.readouterr()
    assert code == 0
    assert "filtered_pairs" in shown.err
    assert "nothing new" in shown.err
    assert "ranked" in shown.out


def test_a_bad_out_file_is_refused(
    built: Built, condition: pd.Series, capsys: pytest.CaptureFixture[str]
) -> None:
    line = condition[names.CELL_LINE_ID]
    drug = condition[names.DRUG]
    arguments = ("--drug", drug, "--dose-um", "1", "--cell-line", line, "--out", "x.doc")

    assert ask(built, "predict", *arguments) in {FAILED, BAD_USAGE}
    assert "ends in .csv or .parquet" in capsys.readouterr().err


def test_the_served_model_answers_as_the_bundle_does(built: Built) -> None:
    opened = open_model(built.layout)
    question = read_conditions(built.layout)[pyfunc.QUESTION].head(2)
    predictions = pyfunc.Predictions(opened.bundle)

    everything = predictions.answer(question, {})
    strongest = predictions.answer(question, {"top_genes": 5})

    n_genes = len(opened.bundle.genes)
    assert len(everything) == 2 * n_genes
    assert len(strongest) == 10
    assert strongest["delta"].abs().iloc[0] == everything["delta"].abs().iloc[:n_genes].max()


def test_the_registration_says_why_it_has_its_alias(built: Built) -> None:
    registration = read_registration(built.layout)

    assert registration is not None
    assert registration.alias in {"candidate", "champion"}
    assert len(registration.reason) > 20
