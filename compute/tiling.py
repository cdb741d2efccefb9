"""Localizations sorted by tile, and where each ROI's stand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lake.grid import Grid

_UINT16 = 1 << 16


@dataclass(frozen=True)
class Tiling:
    """A file's localizations in the order of their tiles.

    Attributes
    ----------
    order : (n,) int64
        Localizations sorted by tile row, tile column and position in the file.
    start, stop : (r,) int64
        Where the localizations of each ROI stand in that order.
    """

    order: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]


def tile_localizations(
    x_nm: NDArray[np.float64],
    y_nm: NDArray[np.float64],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    grid: Grid,
) -> Tiling:
    """Sort localizations by tile and find those of each ROI.

    Parameters
    ----------
    x_nm, y_nm : (n,) float64, nm
        Finite positions.
    rows, cols : (r,) int64
        Tile indices of the ROIs along y and x, from :mod:`lake.outlines`.
    grid : Grid
        Bins and tiles.

    Returns
    -------
    Tiling
        Localizations outside the ROIs are kept, in the order of their own tiles.

    Examples
    --------
    >>> x, y = np.array([10.0, 3500.0, 20.0]), np.zeros(3)
    >>> tiling = tile_localizations(x, y, np.array([0]), np.array([0]), Grid())
    >>> tiling.order.tolist(), tiling.start.tolist(), tiling.stop.tolist()
    ([0, 2, 1], [0], [2])
    """
    row, col = grid.tiles(y_nm), grid.tiles(x_nm)
    first_row = min(row.min(initial=0), rows.min(initial=0))
    first_col = min(col.min(initial=0), cols.min(initial=0))
    width = int(max(col.max(initial=0), cols.max(initial=0)) - first_col + 1)
    key = (row - first_row) * width + (col - first_col)
    if key.max(initial=0) < _UINT16:
        key = key.astype(np.uint16)  # NumPy sorts 16-bit keys by radix, in linear time
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    wanted = (rows - first_row) * width + (cols - first_col)
    return Tiling(order, np.searchsorted(ordered, wanted, side="left"), np.searchsorted(ordered, wanted, side="right"))
