"""The warehouse: one DuckDB file with the count tables and the filtered pairs.

What belongs here: opening it, replacing tables whole, reading them. What does not: what the
tables hold (``expression/counts.py``, ``expression/pairs.py``).

One process writes, under the data folder's lock; readers open the file read-only and wait a
little for a writer to finish.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pandas as pd
import pyarrow as pa

from drug_pipeline.domain.errors import (
    ConfigurationError,
    ForeignFileError,
    StaleInputError,
    first_few,
)
from drug_pipeline.storage.files import NO_ROOM, sha256_of_json
from drug_pipeline.storage.layout import Layout

if TYPE_CHECKING:
    import duckdb

logger = logging.getLogger(__name__)

WAIT_SECONDS: Final = 30.0
"""How long a reader or writer waits for another process to let go of the file."""
SIGNS_OF_DAMAGE: Final = (
    "Corrupt database file",
    "not a valid DuckDB database file",
    "Could not read enough bytes",
    "Serialization Error",
    "INTERNAL Error",
)
"""What DuckDB says of a file that is not as it was written; each block has a checksum."""
_POLL_SECONDS: Final = 0.1
_TABLE_NAMES: Final = "SELECT table_name FROM duckdb_tables()"


@dataclass(frozen=True, kw_only=True)
class DuckDBConfig:
    """What DuckDB may use.

    Parameters
    ----------
    threads
        Threads of a query; more bring nothing on tables of this size.
    memory_limit_mb
        Above it DuckDB spills to disk. Tahoe's partial counts (16 million rows) need about 500.
    """

    threads: int = 2
    memory_limit_mb: int = 800

    def __post_init__(self) -> None:
        if self.threads < 1 or self.memory_limit_mb < 64:
            msg = (
                f"DuckDB with {self.threads} threads and {self.memory_limit_mb} MB cannot work. "
                "Give it at least one thread and 64 MB."
            )
            raise ConfigurationError(msg)


@contextmanager
def in_memory(layout: Layout, config: DuckDBConfig) -> Iterator["duckdb.DuckDBPyConnection"]:
    """A DuckDB connection of its own, for queries; it spills below ``manifest/``."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": config.threads,
            "memory_limit": f"{config.memory_limit_mb}MB",
            "temp_directory": str(layout.manifest_dir / ".duckdb_spill.tmp"),
        },
    )
    try:
        with _full_disk_named():
            yield connection
    finally:
        connection.close()


def write_tables(layout: Layout, tables: Mapping[str, pa.Table]) -> dict[str, str]:
    """Replace tables of the warehouse, all or none; returns the hash of each one's content.

    Raises
    ------
    StaleInputError
        If another process keeps the file open for too long.
    """
    layout.root.mkdir(parents=True, exist_ok=True)
    with _opened(layout, read_only=False) as connection, _full_disk_named():
        connection.begin()
        for name, table in tables.items():
            connection.register("incoming", table)
            connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS SELECT * FROM incoming')  # noqa: S608
            connection.unregister("incoming")
        connection.commit()
    return {name: _content_hash(table) for name, table in tables.items()}


def content_hashes(layout: Layout, names: list[str]) -> dict[str, str] | None:
    """Hash of each table's content as ``write_tables`` gave it; None where one is missing."""
    if missing_tables(layout, names):
        return None
    return {name: _content_hash(read_arrow(layout, name)) for name in names}


def read_table(layout: Layout, name: str) -> pd.DataFrame:
    """One table of the warehouse, in the order it was written.

    Raises
    ------
    StaleInputError
        If the warehouse or the table is not there.
    """
    frame: pd.DataFrame = read_arrow(layout, name).to_pandas()
    return frame


def read_arrow(layout: Layout, name: str) -> pa.Table:
    """One table of the warehouse as Arrow, in the order it was written.

    Raises
    ------
    StaleInputError
        If the warehouse or the table is not there.
    """
    missing = missing_tables(layout, [name])
    if missing:
        msg = f"table {name} is not in {layout.warehouse}. Materialise counts_per_pair again."
        raise StaleInputError(msg)
    with _opened(layout, read_only=True) as connection, _damage_named(layout):
        return connection.sql(f'SELECT * FROM "{name}"').to_arrow_table()  # noqa: S608


def remove_if_damaged(layout: Layout) -> bool:
    """Delete the warehouse if any of its tables cannot be read; whether it was so."""
    if not layout.warehouse.exists():
        return False
    try:
        with _opened(layout, read_only=True) as connection, _damage_named(layout):
            for (name,) in connection.execute(_TABLE_NAMES).fetchall():
                connection.sql(f'SELECT * FROM "{name}"').to_arrow_table()  # noqa: S608
    except ForeignFileError as error:
        logger.warning("%s It is made again.", error)
        for path in (layout.warehouse, layout.warehouse.with_name("warehouse.duckdb.wal")):
            path.unlink(missing_ok=True)
        return True
    return False


def missing_tables(layout: Layout, names: list[str]) -> list[str]:
    """The tables that the warehouse lacks; all where it does not exist."""
    if not layout.warehouse.exists():
        return list(names)
    with _opened(layout, read_only=True) as connection:
        rows = connection.execute(_TABLE_NAMES).fetchall()
    present = {row[0] for row in rows}
    return [name for name in names if name not in present]


def _content_hash(table: pa.Table) -> str:
    """SHA-256 of names and values: Arrow's own bytes differ between a table and its copy."""
    columns = [[name, table.column(name).to_pylist()] for name in table.column_names]
    return sha256_of_json(columns)


@contextmanager
def _full_disk_named() -> Iterator[None]:
    """DuckDB's errors for want of room as the ``OSError`` that other writers raise."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        numbers = [number for number in NO_ROOM if os.strerror(number) in str(error)]
        if not numbers:
            raise
        raise OSError(numbers[0], str(error)) from error


@contextmanager
def _damage_named(layout: Layout) -> Iterator[None]:
    """DuckDB's errors in reading what it wrote itself, as damage of the file."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        _refuse_damage(layout, error)
        raise


def _refuse_damage(layout: Layout, error: Exception) -> None:
    """Say that the file is damaged where that is what DuckDB met in it."""
    first_line = str(error).partition("\n")[0]
    if any(sign in first_line for sign in SIGNS_OF_DAMAGE):
        msg = f"{layout.warehouse} is damaged ({first_line}). Materialise counts_per_pair again."
        raise ForeignFileError(msg) from error


@contextmanager
def _opened(layout: Layout, *, read_only: bool) -> Iterator["duckdb.DuckDBPyConnection"]:
    import duckdb

    give_up_at = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection = duckdb.connect(str(layout.warehouse), read_only=read_only)
            break
        except duckdb.Error as error:
            _refuse_damage(layout, error)
            if not isinstance(error, duckdb.IOException):
                raise
            if time.monotonic() > give_up_at:
                msg = (
                    f"{layout.warehouse} is held open by another process ({first_few([error])}). "
                    "Close it, then run again."
                )
                raise StaleInputError(msg) from error
            time.sleep(_POLL_SECONDS)
    try:
        yield connection
    finally:
        connection.close()
