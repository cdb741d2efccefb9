"""Which lambda tiles a run has to compute: pure arithmetic on ROI indices.

A generation counts its ROIs from 0 in the order of their arrival. A run adds ``n_new`` ROIs after the
``n_before`` that are there, as the rows of one panel, and compares each with every ROI before it. The panel is
cut into square tiles on the grid of the columns; only tiles on or below the diagonal are needed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Batch:
    """Lambda tiles that one task computes: some column tiles of one row block.

    Attributes
    ----------
    row : int
        Row block of the panel.
    columns : tuple of int
        Column tiles of the generation.
    """

    row: int
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Panel:
    """The lambda values that a run adds to a generation.

    Attributes
    ----------
    n_before, n_new : int
        ROIs in the generation before the run, and ROIs that it adds.
    tile : int
        Side of a tile in ROIs.
    """

    n_before: int
    n_new: int
    tile: int

    @property
    def n_columns(self) -> int:
        """Columns of the panel: all ROIs so far."""
        return self.n_before + self.n_new

    @property
    def row_blocks(self) -> int:
        """Number of row blocks."""
        return -(-self.n_new // self.tile)

    def rows(self, block: int) -> tuple[int, int]:
        """Return where a row block starts and stops, counted in the panel."""
        return block * self.tile, min((block + 1) * self.tile, self.n_new)

    def column_range(self, tile: int) -> tuple[int, int]:
        """Return where a column tile starts and stops, counted in the generation."""
        return tile * self.tile, min((tile + 1) * self.tile, self.n_columns)

    def diagonal(self, block: int, tile: int) -> int:
        """Return index of the first row minus index of the first column, counted in the generation."""
        return self.n_before + block * self.tile - tile * self.tile

    def tiles(self, block: int, live: NDArray[np.bool_] | None = None) -> list[int]:
        """Return the column tiles that a row block needs.

        Parameters
        ----------
        block : int
            Row block.
        live : (n_before,) bool, optional
            Earlier ROIs that still count; tiles without one are left out.

        Returns
        -------
        list of int
            Ascending.
        """
        last = self.n_before + self.rows(block)[1]
        tiles = range(-(-last // self.tile))
        if live is None:
            return list(tiles)
        return [t for t in tiles if self.column_range(t)[1] > self.n_before or live[slice(*self.column_range(t))].any()]

    def batches(self, per_batch: int, live: NDArray[np.bool_] | None = None) -> Iterator[Batch]:
        """Yield the tasks of the run: at most ``per_batch`` tiles of one row block each.

        Examples
        --------
        >>> [b.columns for b in Panel(n_before=5, n_new=4, tile=2).batches(per_batch=3)]
        [(0, 1, 2), (3,), (0, 1, 2), (3, 4)]
        """
        for block in range(self.row_blocks):
            tiles = self.tiles(block, live)
            for first in range(0, len(tiles), per_batch):
                yield Batch(block, tuple(tiles[first : first + per_batch]))


def n_pairs(n_before: int, n_new: int) -> int:
    """Return the number of ROI pairs that ``n_new`` ROIs add to ``n_before`` live ones.

    Examples
    --------
    >>> n_pairs(10, 3)
    33
    """
    return n_before * n_new + n_new * (n_new - 1) // 2


def worker_bytes(tile: int, width: int) -> int:
    """Return the memory that a task needs for one tile, in bytes.

    Parameters
    ----------
    tile : int
        Side of a tile in ROIs.
    width : int
        Largest support of a ROI in the lake, in localizations a bin.

    Returns
    -------
    int
        Row and column CDFs as stored and as laid out (float32, four blocks), their float64 sums while they are
        made, the tile and its copy for storage. It does not grow with the lake.
    """
    return tile * width * (4 * 4 + 2 * 8) + 2 * 4 * tile * tile


def tile_that_fits(memory_bytes: int, width: int, tile: int) -> int:
    """Return the largest power-of-two tile, at most ``tile``, that a worker's memory holds; 0 if none does."""
    while tile > 0 and worker_bytes(tile, width) > memory_bytes:
        tile //= 2
    return tile


def segment_edges(sizes: Sequence[int], start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which consecutive segments a range of ROIs touches, and where each begins in the range.

    Parameters
    ----------
    sizes : sequence of int
        Lengths of the segments (the ROIs of each dataset) that follow one another from index 0.
    start, stop : int
        The range.

    Returns
    -------
    segments : (d,) int64
        Positions in ``sizes``; empty segments are left out.
    edges : (d + 1,) int64
        Begin of each, and end of the last, counted from ``start``.

    Examples
    --------
    >>> [a.tolist() for a in segment_edges([3, 0, 4, 5], 2, 9)]
    [[0, 2, 3], [0, 1, 5, 7]]
    """
    bounds = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    low, high = np.maximum(bounds[:-1], start), np.minimum(bounds[1:], stop)
    segments = np.flatnonzero(low < high)
    edges = np.append(low[segments], high[segments[-1:]]) - start
    return segments.astype(np.int64), edges.astype(np.int64)
