"""Delimited text tables (csv, tab separated, semicolons with decimal commas), for the formats made of them.

Pure text: this module knows neither units nor meanings. It finds the header, says what each row must hold,
and lets Arrow parse the needed columns straight from the buffer.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from lake.formats.source import Source, UnreadableFile, unreadable

HEAD_BYTES = 65536
"""Bytes in which a header has to end; also the sample that shows decimal commas."""

_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ("\t", ";", ",")
_UNEVEN_ROW = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+)")
_BAD_NUMBER = re.compile(r"In CSV column #(\d+): Row #(\d+): .*?invalid value '(.*)'", re.DOTALL)
_EXPORT_AGAIN = "repair that line, or export the file again"


@dataclass(frozen=True)
class Header:
    """The header of a delimited text table.

    Attributes
    ----------
    names : tuple of str
        Column names, unquoted and without outer spaces.
    delimiter : str
        Tab, semicolon or comma.
    lines : int
        Lines of the file up to and with the header.
    start : int
        Offset in bytes of the first line below it.
    """

    names: tuple[str, ...]
    delimiter: str
    lines: int
    start: int


def read_header(source: Source) -> Header | None:
    r"""Return the header of a text table; None where the file does not begin like text with a first line.

    A byte order mark, empty lines before the header, quotes, and a header that Excel has put as a whole into
    one quoted cell (``"id,""frame"",""chi2"" "``) are taken away. Bytes that are not UTF-8 are read as
    Latin-1, for the micro sign of old Windows programs.

    Examples
    --------
    >>> read_header(Source("cell.csv", pa.py_buffer(b'"x [nm]";"y [nm]"\r\n1,5;2,5\r\n')))
    Header(names=('x [nm]', 'y [nm]'), delimiter=';', lines=1, start=19)
    >>> read_header(Source("cell.csv", pa.py_buffer(b'"x [nm],""y [nm]""  "\n1,2\n'))).names
    ('x [nm]', 'y [nm]')
    """
    head = source.head(HEAD_BYTES)
    if b"\0" in head:
        return None
    begin = len(_BOM) if head.startswith(_BOM) else 0
    while head[begin : begin + 1] in (b"\r", b"\n"):
        begin += 1
    line_end = re.search(rb"\r\n|\r|\n", head[begin:])
    if line_end is None and len(head) == HEAD_BYTES:
        return None
    stop, start = (begin + line_end.start(), begin + line_end.end()) if line_end else (len(head), len(head))
    names, delimiter = _cells(_text(head[begin:stop]))
    return Header(names, delimiter, len(head[:start].splitlines()), start)


def _text(line: bytes) -> str:
    """Decode a header line: UTF-8, else Latin-1, which cannot fail."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _cells(line: str) -> tuple[tuple[str, ...], str]:
    """Split a header line into names, and return its delimiter."""
    delimiter = max(_DELIMITERS, key=line.count)
    cells = [line]
    while len(cells) == 1 and (delimiter in line or line.startswith('"')):
        cells = next(csv.reader([line], delimiter=delimiter), [""])
        if cells == [line]:
            break
        line = cells[0]
    return tuple(cell.strip() for cell in cells), delimiter


def read_columns(source: Source, header: Header, dtypes: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    r"""Parse the needed columns of a text table.

    Parameters
    ----------
    source : Source
        The file.
    header : Header
        Its header.
    dtypes : Mapping of str to str
        Name of a needed column -> ``"float64"`` or ``"float32"``. The others are not parsed.

    Returns
    -------
    dict of str to (n,) arrays
        Name -> values, NaN where the cell is empty, NA or NaN; an array may be read-only.

    Raises
    ------
    UnreadableFile
        For a name that stands twice in the header; with line and value for text in a needed column; with
        the line for a row that has more or fewer fields than the header, as at the end of a file that was
        cut off.

    Examples
    --------
    >>> source = Source("cell.csv", pa.py_buffer(b"x,y\n1,2\n3,four\n"))
    >>> read_columns(source, read_header(source), {"x": "float64"})
    {'x': array([1., 3.])}
    >>> read_columns(source, read_header(source), {"y": "float64"})
    Traceback (most recent call last):
    lake.formats.source.UnreadableFile: cell.csv: line 3, column 'y': 'four' is not a number; repair that
    line, or export the file again
    """
    _refuse_duplicates(source, header)
    rows = source.data.slice(header.start)
    if rows.size == 0:
        return {name: np.empty(0, dtype) for name, dtype in dtypes.items()}
    # Arrow's names have to differ, and a header may leave several empty: positions stand in for them.
    positions = {name: str(header.names.index(name)) for name in dtypes}
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(rows),
            # One thread a file: the many files of a collection give the parallelism.
            read_options=pa_csv.ReadOptions(
                column_names=[str(position) for position in range(len(header.names))], use_threads=False
            ),
            parse_options=pa_csv.ParseOptions(delimiter=header.delimiter),
            convert_options=pa_csv.ConvertOptions(
                column_types={positions[name]: pa.type_for_alias(dtype) for name, dtype in dtypes.items()},
                include_columns=list(positions.values()),
                decimal_point=_decimal_point(rows, header.delimiter),
            ),
        )
    except pa.ArrowException as error:
        raise _bad_row(source, header, str(error)) from None
    return {name: table.column(position).to_numpy() for name, position in positions.items()}


def notes(source: Source) -> list[str]:
    r"""Return a note where the last line has no line end, as in a file that was cut off inside a number.

    Examples
    --------
    >>> notes(Source("cell.csv", pa.py_buffer(b"x,y\n1,2\n")))
    []
    """
    if source.data.size and bytes(source.data[-1:]) in (b"\r", b"\n"):
        return []
    return ["the last line has no line end: if the file was cut off, its last number is incomplete"]


def _refuse_duplicates(source: Source, header: Header) -> None:
    """Raise for a name that stands twice; empty names may repeat: spreadsheets pad tables with them."""
    twice = sorted({name for name in header.names if name and header.names.count(name) > 1})
    if twice:
        raise unreadable(
            source, f"its header has duplicated names: {twice}", "rename or remove the columns that repeat"
        )


def _decimal_point(rows: pa.Buffer, delimiter: str) -> str:
    """Return the decimal sign of a sample; further down the other one is not part of a number and refused."""
    sample = bytes(rows[:HEAD_BYTES])
    return "," if delimiter != "," and sample.count(b",") > sample.count(b".") else "."


def _bad_row(source: Source, header: Header, message: str) -> UnreadableFile:
    """Turn Arrow's error into ours, with the line of the file."""
    # Not ParseOptions.invalid_row_handler: it is not called for rows that are not UTF-8 (pyarrow 26).
    if uneven := _UNEVEN_ROW.search(message):
        line, last = _line_of_row(source, header, int(uneven[1]))
        shorter = last and int(uneven[3]) < int(uneven[2])
        cut = ", the last line: the file may have been cut off" if shorter else ""
        return unreadable(source, f"line {line} has {uneven[3]} fields, the header {uneven[2]}{cut}", _EXPORT_AGAIN)
    if found := _BAD_NUMBER.search(message):
        line, _ = _line_of_row(source, header, int(found[2]))
        reason = f"line {line}, column {header.names[int(found[1])]!r}: {found[3][:40]!r} is not a number"
        return unreadable(source, reason, _EXPORT_AGAIN)
    return unreadable(source, f"not a table of numbers: {message[:200]}", "export the file again")


def _line_of_row(source: Source, header: Header, row: int) -> tuple[int, bool]:
    """Return the line of a row counted from 1, and whether it is the last row; Arrow skips empty lines."""
    reader = pa.BufferReader(source.data.slice(header.start))
    number, found = header.lines, 0
    for line in io.TextIOWrapper(reader, encoding="latin-1"):
        number += 1
        if not line.strip("\n"):
            continue
        if found:
            return found, False
        row -= 1
        found = number if row == 0 else 0
    return found or number, True
