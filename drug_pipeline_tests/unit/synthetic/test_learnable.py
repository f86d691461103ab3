"""What a reader of the generated data can find in them: enough for models and rankings to be tried."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain.names import CONTROL_DRUG


@pytest.fixture(scope="module")
def delta_of(tiny):
    """Measured Δ by (plate, drug, line), by an independent, plain computation."""
    out_dir, summary = tiny
    tokens = pq.read_table(out_dir / "truth" / "genes.parquet")["token_id"].to_numpy()
    sums: dict[tuple[str, str, str], list[np.ndarray]] = {}
    for path in (summary.files[5], summary.files[7]):
        for cell in pq.read_table(path).to_pylist():
            dense = np.zeros(tokens.max() + 1)
            np.add.at(dense, cell["genes"][1:], cell["expressions"][1:])
            key = (cell["plate"], cell["drug"], cell["cell_line_id"])
            sums.setdefault(key, []).append(np.log1p(1e4 * dense[tokens] / dense.sum()))
    means = {key: np.mean(cells, axis=0) for key, cells in sums.items() if len(cells) >= 8}
    return {
        (plate, drug, line): mean - means[plate, CONTROL_DRUG, line]
        for (plate, drug, line), mean in means.items()
        if drug != CONTROL_DRUG and (plate, CONTROL_DRUG, line) in means
    }


def test_a_replicate_plate_finds_its_drug_far_more_often_than_chance(delta_of):
    hits, chances = [], []
    for (plate, drug, line), query in delta_of.items():
        gallery = {d: v for (p, d, x), v in delta_of.items() if p == "plate6" and x == line}
        if plate != "plate8" or drug not in gallery:
            continue
        names = list(gallery)
        cosine = [query @ gallery[d] / np.linalg.norm(gallery[d]) for d in names]
        hits.append(names[int(np.argmax(cosine))] == drug)
        chances.append(1.0 / len(names))

    assert len(hits) > 20
    assert np.mean(hits) > 3.0 * np.mean(chances)
