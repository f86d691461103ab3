"""What a killed run leaves between two names, and how it is cleared away."""

from pathlib import Path

from drug_pipeline.storage.files import remove_leftovers


def test_temporary_files_and_folders_go_and_finished_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "reports" / ".evaluation.0a1b.tmp" / "inner").mkdir(parents=True)
    (tmp_path / "reports" / ".evaluation.0a1b.tmp" / ".deeper.0a1b.old").mkdir()
    (tmp_path / ".table.parquet.0a1b.tmp").write_text("half")
    (tmp_path / ".table.parquet.hidden").write_text("kept")
    (tmp_path / "table.parquet").write_text("whole")

    remove_leftovers(tmp_path)

    left = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))]
    assert left == [".table.parquet.hidden", "reports", "table.parquet"]


def test_a_result_that_was_out_of_its_place_goes_back_to_it(tmp_path: Path) -> None:
    for name, content in {".full.0a1b.old": "old", ".full.0a1b.tmp": "half made"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(content)

    remove_leftovers(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    assert (tmp_path / "full" / "weights").read_text() == "old"


def test_a_result_that_was_replaced_is_not_brought_back(tmp_path: Path) -> None:
    for name, content in {".full.0a1b.old": "old", "full": "new"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(content)

    remove_leftovers(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    assert (tmp_path / "full" / "weights").read_text() == "new"
