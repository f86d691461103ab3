"""Lists of numbers of a Parquet row group, as they are encoded: dictionary and indices.

What belongs here: from the bytes of a column chunk to an Arrow list array whose values are
dictionary-encoded. What does not: page headers (``parquet_pages/page_headers.py``), the loops over a page's bytes
(``parquet_pages/page_loops.py``), what the lists mean (``expression/``).

Arrow's reader writes out every value of a list, 12 bytes per entry, before anyone looks at it. The
sums need less: a dictionary of a row group's genes is looked up once per gene, not once per cell. Only
one form is read here, that of Tahoe-100M's files: data pages of version 1, all dictionary-encoded,
levels run-length encoded, no null and no empty list, Snappy, zstd or no compression. Anything else,
damage included, is ``None``, and Arrow's reader takes the row group.

Shapes: E = entries of a row group, R = rows of a row group, D = distinct values.
"""

import zlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.storage.parquet_pages import page_loops
from drug_pipeline.storage.parquet_pages.footer import ColumnChunk, column_chunks
from drug_pipeline.storage.parquet_pages.page_headers import (
    DATA_PAGE,
    DICTIONARY_PAGE,
    PLAIN,
    PLAIN_DICTIONARY,
    RLE_DICTIONARY,
    PageFormError,
    PageHeader,
    read_header,
)

MAX_ENTRIES: Final = 2**23
"""Entries of a row group that are held at once, 32 MiB a column; Tahoe-100M's have 1.5 million."""
MAX_CHUNK_BYTES: Final = 2**28
_VALUES: Final[dict[str, np.dtype[Any]]] = {"INT64": np.dtype("<i8"), "FLOAT": np.dtype("<f4")}
_ARROW: Final = {"INT64": pa.int64(), "FLOAT": pa.float32()}


def read_lists(
    parquet: pq.ParquetFile,
    stream: pa.NativeFile,
    number: int,
    column: str,
    chunks: Sequence[Sequence[ColumnChunk]] | None = None,
) -> pa.ListArray | None:
    """One list column of one row group, or None where it is not of the form that is read here.

    Parameters
    ----------
    parquet, stream
        The file, and what it reads from; the stream's position stays as it is.
    number
        Of the row group.
    column
        A list of int64 or of float32.
    chunks
        The file's column chunks, where they have been read from its footer already.

    Returns
    -------
    pyarrow.ListArray
        ``list<dictionary<values=…, indices=uint32>>``; decoded, it equals what Arrow reads.
    """
    try:
        leaf = _leaf_of(parquet, column)
        chunks = chunks or column_chunks(parquet.metadata)
        return _Chunk(parquet, stream, number, leaf, chunks[number][leaf]).lists()
    except (PageFormError, pa.ArrowException, OSError):
        return None


def _leaf_of(parquet: pq.ParquetFile, column: str) -> int:
    """The number of the column that holds a list's values."""
    leaves = [
        leaf
        for leaf in range(len(parquet.schema))
        if parquet.schema.column(leaf).path.split(".")[0] == column
    ]
    if len(leaves) != 1:
        msg = f"{column} has {len(leaves)} columns"
        raise PageFormError(msg)
    schema = parquet.schema.column(leaves[0])
    kind = parquet.schema_arrow.field(column).type
    if not (
        schema.max_repetition_level == 1
        and pa.types.is_list(kind)
        and kind.value_type == _ARROW.get(schema.physical_type)
    ):
        msg = f"{column} is no plain list of {', '.join(_ARROW)}"
        raise PageFormError(msg)
    return int(leaves[0])


class _Chunk:
    """The pages of one column in one row group."""

    def __init__(
        self,
        parquet: pq.ParquetFile,
        stream: pa.NativeFile,
        number: int,
        leaf: int,
        chunk: ColumnChunk,
    ) -> None:
        self.schema = parquet.schema.column(leaf)
        self.n_rows = parquet.metadata.row_group(number).num_rows
        self.n_values = chunk.n_values
        self.codec = chunk.codec
        if not (
            chunk.dictionary_offset is not None
            and self.codec
            and 0 < self.n_rows <= self.n_values <= MAX_ENTRIES
            and 0 < chunk.n_bytes <= MAX_CHUNK_BYTES
        ):
            msg = "no dictionary page, another codec, or too many entries"
            raise PageFormError(msg)
        data = stream.read_at(chunk.n_bytes, chunk.dictionary_offset)
        self.data = pa.py_buffer(data)

    def lists(self) -> pa.ListArray:
        """The column's lists."""
        view = memoryview(self.data).cast("B")  # of unsigned bytes
        header = read_header(view, 0)
        values_D = self._dictionary(header)
        position = header.start + header.n_bytes
        index_E = np.empty(self.n_values, dtype=np.uint32)
        start_R = np.empty(self.n_rows + 1, dtype=np.int32)
        n_rows = n_entries = 0
        while n_entries < self.n_values:
            header = read_header(view, position)
            page_B = self._body(header)
            if header.n_values > self.n_values - n_entries:
                msg = f"a page of {header.n_values} values"
                raise PageFormError(msg)
            n_rows = self._add_page(
                header, page_B, len(values_D), n_entries, n_rows, index_E, start_R
            )
            n_entries += header.n_values
            position = header.start + header.n_bytes
        if n_rows != self.n_rows or start_R[0] != 0:
            msg = f"{n_rows} rows begin in the pages of {self.n_rows}"
            raise PageFormError(msg)
        start_R[-1] = n_entries
        values = pa.DictionaryArray.from_arrays(pa.array(index_E), pa.array(values_D), safe=False)
        return pa.ListArray.from_arrays(pa.array(start_R), values)

    def _dictionary(self, header: PageHeader) -> NDArray[Any]:
        kind = _VALUES[self.schema.physical_type]
        body_B = self._body(header)
        if (
            header.kind != DICTIONARY_PAGE
            or header.encoding not in (PLAIN, PLAIN_DICTIONARY)
            or len(body_B) != header.n_values * kind.itemsize
        ):
            msg = "the first page is no plain dictionary"
            raise PageFormError(msg)
        values_D: NDArray[Any] = body_B.view(kind)
        return values_D

    def _add_page(
        self,
        header: PageHeader,
        page_B: NDArray[np.uint8],
        n_dictionary: int,
        n_entries: int,
        n_rows: int,
        index_E: NDArray[np.uint32],
        start_R: NDArray[np.int32],
    ) -> int:
        """Rows begun after a data page, whose indices and row starts are written."""
        if header.kind != DATA_PAGE or header.encoding not in (PLAIN_DICTIONARY, RLE_DICTIONARY):
            msg = "a page that is not dictionary-encoded"
            raise PageFormError(msg)
        start, stop = _levels(page_B, 0)
        n_rows = page_loops.row_starts(
            page_B, start, stop, header.n_values, n_entries, start_R[:-1], n_rows
        )
        start, stop = _levels(page_B, stop)
        top = self.schema.max_definition_level
        is_full = n_rows != page_loops.NOT_AS_EXPECTED and page_loops.are_all(
            page_B, start, stop, top.bit_length(), header.n_values, top
        )
        bit_width = int(page_B[stop]) if stop < len(page_B) else 0
        index_N = index_E[n_entries : n_entries + header.n_values]
        if not (
            is_full
            and bool(header.n_values) <= bit_width <= 32  # Arrow writes empty pages now and then
            and page_loops.read_indices(
                page_B, stop + 1, len(page_B), bit_width, n_dictionary, index_N
            )
        ):
            msg = "a page with nulls, empty lists, or damage"
            raise PageFormError(msg)
        return int(n_rows)

    def _body(self, header: PageHeader) -> NDArray[np.uint8]:
        """A page's bytes, decompressed, read-only."""
        if header.start + header.n_bytes > self.data.size or header.n_raw_bytes > MAX_CHUNK_BYTES:
            msg = "a page longer than its column"
            raise PageFormError(msg)
        packed = self.data.slice(header.start, header.n_bytes)
        if header.checksum is not None and header.checksum != zlib.crc32(packed):
            msg = "a page whose checksum is of other bytes"
            raise PageFormError(msg)
        body = _decompressed(packed, self.codec, header.n_raw_bytes)
        page_B = np.frombuffer(body, dtype=np.uint8)
        page_B.flags.writeable = False
        return page_B


def _decompressed(body: pa.Buffer, codec: str, n_bytes: int) -> pa.Buffer:
    """A body of just so many bytes: what a codec leaves unwritten must not be taken for data."""
    if codec == "SNAPPY" and _snappy_size(body) == n_bytes:
        body = pa.Codec("snappy").decompress(body, n_bytes)
    elif codec == "ZSTD":
        with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
            body = stream.read_buffer(n_bytes + 1)
    if body.size != n_bytes:
        msg = f"a page has {body.size} bytes, not {n_bytes}"
        raise PageFormError(msg)
    return body


def _snappy_size(body: pa.Buffer) -> int:
    """The size that a Snappy block says it has, decompressed: the varint in front."""
    size: int = 0
    for place, byte in enumerate(body[:5].to_pybytes()):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return int(size)
    return -1


def _levels(page_B: NDArray[np.uint8], position: int) -> tuple[int, int]:
    """Where levels start and stop, which their length precedes."""
    start = position + 4
    stop = start + int.from_bytes(page_B[position:start].tobytes(), "little")
    if stop > len(page_B):
        msg = "a page is cut off"
        raise PageFormError(msg)
    return start, stop
