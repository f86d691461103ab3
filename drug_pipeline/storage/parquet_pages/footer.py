"""Parquet footers: where a column chunk lies and what its statistics say, read by our own code.

What belongs here: the few fields of a footer that are asked for. What does not: the schema, which
Arrow reads; pages (``parquet_pages/list_pages.py``).

pyarrow's accessor of a column chunk checks statistics that nobody asked for, and a footer in which
they lie ends the process there, past any ``except``. What the footer says is therefore taken from
its bytes.

Source: apache/parquet-format, ``parquet.thrift`` (``FileMetaData`` and below).
"""

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from drug_pipeline.storage.parquet_pages.page_headers import CompactReader, PageFormError

_CODECS: Final = {0: "UNCOMPRESSED", 1: "SNAPPY", 6: "ZSTD"}
_MAGIC_BYTES: Final = 4
_BYTE, _DOUBLE, _LIST, _SET = 3, 7, 9, 10
_I32, _I64, _BINARY = 5, 6, 8


@dataclass(frozen=True, kw_only=True)
class ColumnChunk:
    """One column of one row group; ``codec`` is empty where it is none that is read by pages.

    ``dictionary_offset`` is None where there is no dictionary page; ``smallest`` and ``largest``
    are the statistics as plain bytes, None where there are none.
    """

    path: str
    codec: str
    n_values: int
    n_bytes: int
    dictionary_offset: int | None
    smallest: bytes | None
    largest: bytes | None


def column_chunks(metadata: pq.FileMetaData) -> list[list[ColumnChunk]]:
    """The column chunks of each row group, in the file's order.

    Raises
    ------
    PageFormError
        If the footer lacks a field that the format demands.
    """
    sink = pa.BufferOutputStream()
    metadata.write_metadata_file(sink)
    reader = _FooterReader(memoryview(sink.getvalue()).cast("B"), _MAGIC_BYTES)
    footer = reader.struct()
    return [
        [_chunk(_field(column, 3, dict)) for column in _field(group, 1, list)]
        for group in _field(footer, 4, list)
    ]


def _chunk(column: dict[int, Any]) -> ColumnChunk:
    statistics = column.get(12, {})
    return ColumnChunk(
        path=".".join(part.decode("utf-8", "replace") for part in _field(column, 3, list)),
        codec=_CODECS.get(_field(column, 4, int), ""),
        n_values=_field(column, 5, int),
        n_bytes=_field(column, 7, int),
        dictionary_offset=column.get(11),
        smallest=statistics.get(6),
        largest=statistics.get(5),
    )


def _field(fields: dict[int, Any], number: int, kind: type) -> Any:
    value = fields.get(number)
    if not isinstance(value, kind):
        msg = f"field {number} of a footer is {value!r}"
        raise PageFormError(msg)
    return value


class _FooterReader(CompactReader):
    """Footers hold numbers of 64 bits, texts and lists too, and are a level deeper."""

    deepest = 8

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_I32, _I64):
            return self._zigzag()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _BYTE:
            return self._byte()
        if kind in (_LIST, _SET):
            lead = self._byte()
            n_items = lead >> 4 if lead >> 4 < 15 else self._varint()
            # in a list, a bool takes a byte
            item = _BYTE if lead & 0x0F in (1, 2) else lead & 0x0F
            return [self._value(item, depth) for _ in range(n_items)]
        return super()._value(kind, depth)

    def _bytes(self, n_bytes: int) -> bytes:
        start = self.position
        self._skip(n_bytes)
        return bytes(self.data[start : self.position])
