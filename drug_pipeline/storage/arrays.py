"""Named arrays in one file: fitted numbers of predictors and encoders. Same arrays, same bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.storage.files import replacing


def write_arrays(arrays: Mapping[str, NDArray[Any]], path: Path) -> Path:
    """The ``.npz`` written whole; names sorted, nothing pickled."""
    ordered = {name: np.asarray(arrays[name]) for name in sorted(arrays)}
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **ordered)
    return path


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays that :func:`write_arrays` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
