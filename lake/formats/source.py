"""What a reader is given (a source), what it returns (localizations), and the error it raises."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class Source:
    """One localization file, in memory or memory-mapped.

    Attributes
    ----------
    name : str
        File name for messages, such as ``"cell_1.csv"``.
    data : pyarrow.Buffer
        Its bytes; a memory map of a local file is never copied whole.
    siblings : Mapping of str to bytes
        Small neighbours by file name, such as Picasso's ``"cell_1.yaml"``.

    Examples
    --------
    >>> Source("cell_1.csv", pa.py_buffer(b"x_nm,y_nm")).head(4)
    b'x_nm'
    """

    name: str
    data: pa.Buffer
    siblings: Mapping[str, bytes] = field(default_factory=dict)

    def head(self, size: int) -> bytes:
        """Return the first `size` bytes, fewer where the file is shorter."""
        return bytes(self.data[:size])


@dataclass(frozen=True)
class Localizations:
    """The localizations of one file.

    Attributes
    ----------
    columns : dict of str to numpy array
        Names, units and dtypes of :mod:`lake.columns`, in its order; one-dimensional, equally long, writable.
    format : str
        Name of the reader, such as ``"thunderstorm-csv"``.
    provenance : dict
        JSON-able: ``header`` (the names in the file), ``units`` (unit of each used name, as the file says or
        as assumed), ``used`` (lake column -> names in the file), ``ignored`` (name -> reason), ``frame_base``
        (number of the first frame in the file, None without frames), ``pixel_size_nm`` and
        ``pixel_size_from`` (None where no pixel size was needed), ``notes`` (what a reader had to assume).
    """

    columns: dict[str, NDArray[Any]]
    format: str
    provenance: dict[str, Any]


class UnreadableFile(ValueError):  # noqa: N818 -- it says what is wrong with a file, not with the program
    """A localization file that cannot be read: ``<file>: <reason>; <way out>``."""


def unreadable(source: Source, reason: str, way_out: str) -> UnreadableFile:
    """Return the error for a file: one line with its name, what is wrong with it and the way out.

    Examples
    --------
    >>> unreadable(Source("cell.csv", pa.py_buffer(b"")), "the file is empty", "export it again")
    UnreadableFile('cell.csv: the file is empty; export it again')
    """
    # A function, not a constructor: an exception with its own arguments would not survive pickling by Dask.
    return UnreadableFile(" ".join(f"{source.name}: {reason}; {way_out}".split()))


class Format(Protocol):
    """What each format module offers; its docstring describes the format to a microscopist."""

    NAME: str
    TITLE: str

    def matches(self, source: Source) -> bool:
        """Say from the content, never from the name, whether this module reads the file; never raise."""

    def read(self, source: Source, pixel_size_nm: float | None) -> Localizations:
        """Return the columns in the units of the lake, in any numeric dtype, not yet checked."""
