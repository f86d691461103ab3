"""Parquet page headers: the few fields that say how to read a dictionary-encoded page.

What belongs here: the compact Thrift encoding, as far as page headers need it. What does not: the
bodies of pages (``parquet_pages/page_loops.py``), columns (``parquet_pages/list_pages.py``).

Source: apache/parquet-format, ``parquet.thrift`` (``PageHeader``) and Thrift's compact protocol.
"""

from dataclasses import dataclass
from typing import Any, Final

DATA_PAGE: Final = 0
DICTIONARY_PAGE: Final = 2
PLAIN: Final = 0
PLAIN_DICTIONARY: Final = 2
RLE: Final = 3
RLE_DICTIONARY: Final = 8

_TRUE, _FALSE, _I16, _I32, _I64, _BINARY, _STRUCT = 1, 2, 4, 5, 6, 8, 12
_Fields = dict[int, Any]


class PageFormError(ValueError):
    """A page is not of the one form that is read here; Arrow's own reader has to look at it."""


@dataclass(frozen=True, kw_only=True)
class PageHeader:
    """A data page of version 1, or a dictionary page.

    ``n_bytes`` are those of the body as it lies in the file, ``start`` is where it begins in the
    bytes that the header was read from, ``n_raw_bytes`` its size once it is decompressed;
    ``checksum`` is the CRC-32 of the body as it lies in the file, None where there is none.
    """

    kind: int
    n_values: int
    encoding: int
    n_bytes: int
    n_raw_bytes: int
    start: int
    checksum: int | None = None


def read_header(data: memoryview, position: int) -> PageHeader:
    """The page header at a position.

    Raises
    ------
    PageFormError
        If it is broken, or of another kind of page, or its levels are not run-length encoded.
    """
    reader = CompactReader(data, position)
    fields = reader.struct()
    kind = _whole(fields, 1)
    if kind == DATA_PAGE:
        inner = _inner(fields, 5)
        if (_whole(inner, 3), _whole(inner, 4)) != (RLE, RLE):
            msg = "levels are not run-length encoded"
            raise PageFormError(msg)
    elif kind == DICTIONARY_PAGE:
        inner = _inner(fields, 7)
    else:
        msg = f"page of kind {kind}"
        raise PageFormError(msg)
    return PageHeader(
        kind=kind,
        n_values=_whole(inner, 1),
        encoding=_whole(inner, 2),
        n_bytes=_whole(fields, 3),
        n_raw_bytes=_whole(fields, 2),
        start=reader.position,
        checksum=None if fields.get(4) is None else fields[4] & 0xFFFFFFFF,
    )


def _whole(fields: _Fields, number: int) -> int:
    value = fields.get(number)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        msg = f"field {number} of a page header is {value!r}"
        raise PageFormError(msg)
    return value


def _inner(fields: _Fields, number: int) -> _Fields:
    value = fields.get(number)
    if not isinstance(value, dict):
        msg = f"field {number} of a page header is {value!r}"
        raise PageFormError(msg)
    return value


class CompactReader:
    """Thrift's compact protocol; whatever the bytes say, it stays within them."""

    deepest = 4

    def __init__(self, data: memoryview, position: int) -> None:
        self.data = data
        self.position = position

    def struct(self, depth: int = 0) -> _Fields:
        """A struct's fields by number; their values as far as they are i32, bool or structs."""
        if depth > self.deepest:
            msg = "a page header with too many levels"
            raise PageFormError(msg)
        fields: _Fields = {}
        number = 0
        while lead := self._byte():
            step, kind = lead >> 4, lead & 0x0F
            number = number + step if step else self._zigzag()
            if number in fields:
                msg = f"field {number} of a page header occurs twice"
                raise PageFormError(msg)
            fields[number] = self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in (_I16, _I32, _I64):
            value = self._zigzag()
            return value if kind == _I32 else None  # all that are needed are i32
        if kind == _BINARY:
            self._skip(self._varint())
            return None
        if kind == _STRUCT:
            return self.struct(depth + 1)
        msg = f"a page header with a value of type {kind}"
        raise PageFormError(msg)

    def _byte(self) -> int:
        if self.position >= len(self.data):
            msg = "a page header is cut off"
            raise PageFormError(msg)
        self.position += 1
        return self.data[self.position - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        msg = "a page header with a number that does not end"
        raise PageFormError(msg)

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, n_bytes: int) -> None:
        if n_bytes > len(self.data) - self.position:
            msg = "a page header is cut off"
            raise PageFormError(msg)
        self.position += n_bytes
