"""The checks that all formats share, and the conversion to the dtypes of the lake."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lake.columns import COLUMNS, REQUIRED
from lake.formats.source import Source, unreadable

_REMOVE_ROWS = "remove such rows and try again"


def lake_columns(source: Source, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Check the columns of a file and convert them to the dtypes of :mod:`lake.columns`.

    Parameters
    ----------
    source : Source
        The file, for messages.
    columns : Mapping of str to (n,) numeric arrays
        Lake names, in the units of the lake.

    Returns
    -------
    dict of str to (n,) arrays
        In the order and the dtypes of :data:`lake.columns.COLUMNS`, contiguous and writable. NaN stays in
        the columns that are real numbers, coordinates excepted; real numbers beyond float32 become infinite.

    Raises
    ------
    UnreadableFile
        Without x or y, without localizations, with columns of different length, with a coordinate or a
        count that is NaN or infinite, with a count that is not whole or not an int32, with a negative frame.

    Examples
    --------
    >>> import pyarrow as pa
    >>> source = Source("cell.csv", pa.py_buffer(b""))
    >>> checked = lake_columns(source, {"y_nm": np.array([1, 2]), "x_nm": np.array([3.5, 4])})
    >>> {name: column.tolist() for name, column in checked.items()}
    {'x_nm': [3.5, 4.0], 'y_nm': [1.0, 2.0]}
    >>> lake_columns(source, {"x_nm": np.array([np.nan]), "y_nm": np.array([0.0])})
    Traceback (most recent call last):
    lake.formats.source.UnreadableFile: cell.csv: x_nm is not finite in 1 of 1 rows, first in row 1 (nan,
    rows counted from 1 below the header); remove such rows and try again
    """
    for name in REQUIRED:
        if name not in columns:
            raise unreadable(source, f"no column gives {name}", "export the file again with x and y")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise unreadable(source, f"its columns differ in length: {lengths}", "export the file again")
    if lengths["x_nm"] == 0:
        raise unreadable(source, "it holds no localizations (a header without rows)", "export it again or remove it")
    return {name: _converted(source, name, columns[name]) for name in COLUMNS if name in columns}


def _converted(source: Source, name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return one column in its dtype of the lake, checked."""
    dtype = np.dtype(COLUMNS[name].dtype)
    counts = dtype.kind == "i"
    # z is not required: NaN there says that the depth of this one localization is unknown.
    if counts or name in REQUIRED:
        _refuse(source, name, "is not finite", values, ~np.isfinite(values))
    if counts:
        limits = np.iinfo(dtype)
        _refuse(source, name, "is not a whole number", values, values != np.floor(values))
        smallest = 0 if name == "frame" else limits.min
        _refuse(
            source,
            name,
            f"is outside {smallest} ... {limits.max}",
            values,
            (values < smallest) | (values > limits.max),
        )
    with np.errstate(over="ignore", invalid="ignore"):  # 1e300 photons become inf: kept, as documented
        return np.require(values, dtype, ["C", "A", "W"])


def _refuse(source: Source, name: str, what: str, values: NDArray[Any], wrong: NDArray[np.bool_]) -> None:
    """Raise for the rows that are wrong: how many, the first one and its value."""
    count = int(np.count_nonzero(wrong))
    if count:
        first = int(np.argmax(wrong))
        name = "frame (counted from 0)" if name == "frame" else name
        raise unreadable(
            source,
            f"{name} {what} in {count} of {len(values)} rows, first in row {first + 1} "
            f"({values[first]}, rows counted from 1 below the header)",
            _REMOVE_ROWS,
        )
