import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.synthetic import SyntheticConfig, generate


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(tiny, tiny_config, tmp_path):
    generate(tmp_path / "again", tiny_config)

    assert hashes(tmp_path / "again") == hashes(tiny[0])


def test_another_seed_gives_other_cells(tiny, tmp_path):
    config = SyntheticConfig.preset("tiny", seed=8)
    (path,) = generate(tmp_path, config, plates=["plate1"]).files

    assert path.read_bytes() != tiny[1].files[0].read_bytes()


def test_some_plates_first_and_the_others_later_give_the_bytes_of_all_at_once(
    tiny, tiny_config, tmp_path
):
    first = generate(tmp_path, tiny_config, plates=["plate8", "plate2"])
    assert [path.name for path in first.files] == [
        "train-00001-of-00008.parquet",
        "train-00007-of-00008.parquet",
    ]
    early = {name: digest for name, digest in hashes(tmp_path).items() if "obs" not in name}
    assert early.items() <= hashes(tiny[0]).items()

    generate(tmp_path, tiny_config, plates=[f"plate{n}" for n in (1, 3, 4, 5, 6, 7)])

    assert hashes(tmp_path) == hashes(tiny[0])


def test_no_plates_give_the_metadata_alone(tiny_config, tmp_path):
    summary = generate(tmp_path, tiny_config, plates=[])

    assert (summary.n_cells, summary.files) == (0, ())
    assert pq.read_metadata(tmp_path / "metadata" / "obs_metadata.parquet").num_rows == 0


def test_a_plate_can_be_spread_over_several_files(tmp_path):
    config = SyntheticConfig.preset("tiny", files_per_plate=3)

    summary = generate(tmp_path, config, plates=["plate2"])

    assert [path.name for path in summary.files] == [
        f"train-{number:05d}-of-00024.parquet" for number in (3, 4, 5)
    ]
    assert sum(pq.read_metadata(path).num_rows for path in summary.files) == summary.n_cells


def test_the_summary_counts_what_was_written(tiny, tiny_config):
    _, summary = tiny

    assert summary.n_cells == sum(pq.read_metadata(path).num_rows for path in summary.files)
    assert summary.n_cells == pytest.approx(tiny_config.n_cells, rel=0.05)
    assert (summary.n_plates, summary.n_drugs, summary.n_cell_lines) == (8, 16, 5)


def test_truth_has_a_row_a_condition_and_a_column_a_gene(tiny):
    truth = tiny[0] / "truth"
    delta = np.load(truth / "delta.npy")
    conditions = pq.read_table(truth / "conditions.parquet").to_pandas()
    genes = pq.read_table(truth / "genes.parquet").to_pandas()

    assert delta.shape == (len(conditions), len(genes)) == (16 * 3 * 5, 250)
    assert np.isfinite(delta).all()
    assert genes["token_id"].is_monotonic_increasing
    np.testing.assert_array_equal(conditions["rms"] == 0, ~delta.any(axis=1))


def test_progress_is_told_after_each_file(tiny_config, tmp_path):
    told: list[tuple[int, int, str]] = []

    generate(tmp_path, tiny_config, lambda *step: told.append(step), plates=["plate1", "plate2"])

    assert [step[:2] for step in told] == [(1, 2), (2, 2)]
    assert told[0][2].startswith("plate1: ")


def test_an_unknown_plate_is_refused(tiny_config, tmp_path):
    with pytest.raises(ConfigurationError, match=r"1 unknown plates: plate9\. .*plate1 to plate8"):
        generate(tmp_path, tiny_config, plates=["plate9"])


def test_a_folder_with_a_screen_of_other_settings_is_refused(tiny):
    with pytest.raises(ConfigurationError, match="generated data with other settings"):
        generate(tiny[0], SyntheticConfig.preset("tiny", seed=1))


def test_a_folder_with_data_of_another_origin_is_refused(tiny_config, tmp_path):
    (tmp_path / "data").mkdir()

    with pytest.raises(ConfigurationError, match="files that were not generated"):
        generate(tmp_path, tiny_config)
