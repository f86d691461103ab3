"""Files that say of themselves that they were generated, written whole or not at all.

The label is a schema metadata key, so that names and types stay those of the release.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain.names import GENERATED_KEY

LABEL = """# Generated data

Everything measured in this folder was made up by `drug-pipeline synth` (settings in
`truth/config.json`). Names and structures of drugs, names and driver mutations of cell lines are
public facts; no response, count or effect here was ever observed. Say "generated" wherever a figure
from this folder is shown.

- `data/`, `metadata/`: the released layout of Tahoe-100M. Each Parquet file carries the schema
  metadata key `drug_pipeline.generated`.
- `truth/delta.npy`: the expected measured Δ (natural log, float32) of each row of
  `truth/conditions.parquet`, for the genes of `truth/genes.parquet`: the difference, between treated
  and untreated cells, of the expectation of ln(1 + 10,000 · count / library) over the cells' counts
  and library sizes, without plate and well artefacts. `rms` is 0 exactly where the drug does nothing.
  For tests and for judging only: no step of the pipeline reads it.
"""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path that takes the name ``path`` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def labelled(schema: pa.Schema) -> pa.Schema:
    """The schema with the label of generated data; types and names stay."""
    return schema.with_metadata({GENERATED_KEY: b"true"})


def write_labelled(table: pa.Table, path: Path) -> None:
    """Write one labelled Parquet file whole."""
    with written_whole(path) as temporary:
        pq.write_table(table.cast(labelled(table.schema)), temporary, compression="zstd")


def write_array(array: NDArray[np.float32], path: Path) -> None:
    """Write one ``.npy`` file whole."""
    with written_whole(path) as temporary, temporary.open("wb") as sink:
        np.save(sink, array, allow_pickle=False)
