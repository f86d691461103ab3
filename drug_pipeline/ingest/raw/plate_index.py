"""Which raw files may have cells of a plate, by the footers alone.

What belongs here: ranges of plates from row-group statistics, and asking them. What does not:
where footers come from (``raw/download.py``). A file whose row groups cross from one plate to the next
may be named for a plate that it does not have; never the other way round.
"""

from collections.abc import Collection, Sequence
from typing import Final

import pyarrow.parquet as pq

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import ConfigurationError, first_few
from drug_pipeline.storage.parquet_pages.footer import column_chunks

PLATE_PREFIX: Final = "plate"


def plate_ranges(footer: pq.FileMetaData) -> list[list[str]]:
    """First and last plate of each row group, once each; empty where a footer does not say."""
    ranges = set()
    for group in column_chunks(footer):
        plate = next(chunk for chunk in group if chunk.path == names.PLATE)
        if plate.smallest is None or plate.largest is None:
            return []
        ranges.add(
            tuple(end.decode("utf-8", "surrogateescape") for end in (plate.smallest, plate.largest))
        )
    return [list(pair) for pair in sorted(ranges)]


def may_have(ranges: Sequence[Sequence[str]], plates: Collection[str]) -> bool:
    """Whether a file of these ranges may hold cells of some plates."""
    if not ranges:
        return True
    return any(first <= plate <= last for first, last in ranges for plate in plates)


def plate_names(asked: Sequence[str], known: Collection[str]) -> set[str]:
    """Names of plates that were asked for by name or number.

    Raises
    ------
    ConfigurationError
        If there is no such plate.
    """
    named = {plate if plate in known else f"{PLATE_PREFIX}{plate}" for plate in asked}
    unknown = sorted(named - set(known))
    if unknown:
        msg = f"no such plate: {first_few(unknown)}. There are: {', '.join(sorted(known))}."
        raise ConfigurationError(msg)
    return named
