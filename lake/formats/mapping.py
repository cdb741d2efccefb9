"""From the columns of a file to those of the lake: what each is used for, and the record of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lake.columns import COLUMNS
from lake.formats.source import Source, unreadable


@dataclass(frozen=True)
class Use:
    """What one column of a file is used for.

    Attributes
    ----------
    columns : tuple of str
        Lake columns that it fills; two where one number describes both axes.
    unit : str
        Unit in the file, empty for counts.
    factor : float
        Lake unit per unit of the file.
    """

    columns: tuple[str, ...]
    unit: str = ""
    factor: float = 1.0

    @property
    def dtype(self) -> str:
        """Floating-point dtype that holds the column of the file without loss for the lake."""
        return "float32" if all(COLUMNS[name].dtype == "float32" for name in self.columns) else "float64"


@dataclass(frozen=True)
class Pixel:
    """The size of a camera pixel in the sample in nm and where it came from; None twice where not needed."""

    size_nm: float | None = None
    origin: str | None = None


GIVEN = "given as pixel_size_nm"
"""Origin of a pixel size that the file does not hold."""


def names_by_column(source: Source, uses: Mapping[str, Use]) -> dict[str, str]:
    """Return lake column -> name in the file; raise where two names claim one column.

    Raises
    ------
    UnreadableFile
        Naming both.

    Examples
    --------
    >>> import pyarrow as pa
    >>> source = Source("cell.csv", pa.py_buffer(b""))
    >>> names_by_column(source, {"sigma [nm]": Use(("sigma_x_nm", "sigma_y_nm"), "nm")})
    {'sigma_x_nm': 'sigma [nm]', 'sigma_y_nm': 'sigma [nm]'}
    """
    names: dict[str, str] = {}
    for name, use in uses.items():
        for column in use.columns:
            if column in names:
                raise unreadable(
                    source,
                    f"{names[column]!r} and {name!r} both give {column}",
                    "rename or remove one of the two columns",
                )
            names[column] = name
    return names


def convert(values: Mapping[str, NDArray[Any]], uses: Mapping[str, Use]) -> dict[str, NDArray[Any]]:
    """Return the lake columns: values of the file times the factor of their use.

    A factor of 1 changes nothing, not even the last bit; products beyond the dtype become infinite.

    Examples
    --------
    >>> convert({"x [um]": np.array([1.5])}, {"x [um]": Use(("x_nm",), "um", 1000.0)})
    {'x_nm': array([1500.])}
    """
    columns: dict[str, NDArray[Any]] = {}
    for name, use in uses.items():
        with np.errstate(over="ignore", invalid="ignore"):  # lake.formats.checks refuses infinite coordinates
            scaled = values[name] if use.factor == 1 else np.multiply(values[name], use.factor, dtype=use.dtype)
        # A copy for the second column: arrays that share memory would surprise whoever writes to one.
        columns |= {column: scaled.copy() if number else scaled for number, column in enumerate(use.columns)}
    return columns


def first_frame(columns: Mapping[str, NDArray[Any]]) -> int | None:
    """Return the number of the first frame where a format does not fix it: 0 if a frame 0 exists, else 1.

    ThunderSTORM and SMAP count from 1, Picasso's exports from 0: a smallest frame of 0 gives the latter away.
    A table that counts from 0 but has nothing in frame 0 is taken to count from 1; its order stays right.

    Examples
    --------
    >>> first_frame({"frame": np.array([3, 0])}), first_frame({"frame": np.array([3, 7])}), first_frame({})
    (0, 1, None)
    """
    if "frame" not in columns:
        return None
    return 0 if columns["frame"].min(initial=1) == 0 else 1


def count_from_zero(columns: dict[str, NDArray[Any]], first: int | None) -> dict[str, NDArray[Any]]:
    """Return the columns with frames counted from 0.

    Examples
    --------
    >>> count_from_zero({"frame": np.array([1, 5])}, 1)
    {'frame': array([0, 4])}
    """
    return columns | {"frame": columns["frame"] - first} if first else columns


def provenance(
    source: Source,
    names: Iterable[str],
    uses: Mapping[str, Use],
    ignored: Mapping[str, str],
    *,
    frame_base: int | None,
    pixel: Pixel,
    notes: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the record of how a file was read; :class:`lake.formats.source.Localizations` describes it."""
    return {
        "header": list(names),
        "units": {name: use.unit for name, use in uses.items()},
        "used": names_by_column(source, uses),
        "ignored": dict(ignored),
        "frame_base": frame_base,
        "pixel_size_nm": pixel.size_nm,
        "pixel_size_from": pixel.origin,
        "notes": list(notes),
    }
