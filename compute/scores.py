"""Scores of dataset pairs: count, mean, standard deviation, extremes and histogram of lambda.

A lambda tile holds parts of many dataset pairs. Each part is summarised where it is computed
(:func:`summarise`) and the parts of a pair are merged later (:func:`merge`): means and sums of squared
deviations combine exactly (Chan, Golub and LeVeque, doi:10.1080/00031305.1983.10483115), so that nobody reads
the tiles again.
"""

from dataclasses import dataclass, fields

import numpy as np
from numba import njit
from numpy.typing import NDArray

BIN_WIDTH = 0.1
"""Width in lambda of a bin of the score histogram: a tenth of the significance limit."""

BINS = 101
"""100 bins from 0 to 10, and a last one for all that lies above: ten times the significance limit."""


_DTYPES = ("int64", "int64", "int64", "float64", "float64", "float32", "float32", "int64")


@dataclass(frozen=True)
class PartialScores:
    """Summaries of lambda over the ROI pairs of dataset pairs, one entry a dataset pair.

    Attributes
    ----------
    row, column : (p,) int64
        The two datasets, by whatever index the caller uses.
    n_pairs : (p,) int64
        ROI pairs.
    mean, spread : (p,) float64
        Mean of lambda and sum of squared deviations from it.
    smallest, largest : (p,) float32
        Extremes of lambda.
    histogram : (p, BINS) int64
        Counts of lambda in bins of :data:`BIN_WIDTH`; the last bin holds the rest.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    n_pairs: NDArray[np.int64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    smallest: NDArray[np.float32]
    largest: NDArray[np.float32]
    histogram: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def sd(self) -> NDArray[np.float64]:
        """Standard deviation with ddof = 1; NaN where there is a single pair."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sqrt(self.spread / (self.n_pairs - 1))

    def take(self, chosen: NDArray[np.generic]) -> "PartialScores":
        """Return the entries that an index or mask array chooses."""
        return PartialScores(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def concatenate(cls, parts: "list[PartialScores]") -> "PartialScores":
        """Return the entries of all parts, one after the other; no part gives no entry."""
        empty = {
            field.name: np.empty((0, BINS) if field.name == "histogram" else 0, dtype)
            for field, dtype in zip(fields(cls), _DTYPES, strict=True)
        }
        return cls(**{name: np.concatenate([none, *(getattr(p, name) for p in parts)]) for name, none in empty.items()})


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _summarise(  # noqa: PLR0913, PLR0917 (the kernel takes arrays, not objects)
    tile: NDArray[np.float32],
    row_edges: NDArray[np.int64],
    column_edges: NDArray[np.int64],
    diagonal: int,
    n_pairs: NDArray[np.int64],
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
    smallest: NDArray[np.float32],
    largest: NDArray[np.float32],
    histogram: NDArray[np.int64],
) -> None:
    per_lambda = np.float32(1.0 / BIN_WIDTH)
    for a in range(len(row_edges) - 1):
        for b in range(len(column_edges) - 1):
            n = 0
            first = np.float64(0.0)
            sum_1 = 0.0
            sum_2 = 0.0
            low = np.float32(np.inf)
            high = np.float32(-np.inf)
            for i in range(row_edges[a], row_edges[a + 1]):
                # Pairs are counted once: the column's ROI comes before the row's.
                stop = min(column_edges[b + 1], i + diagonal)
                for j in range(column_edges[b], stop):
                    value = tile[i, j]
                    if n == 0:
                        first = np.float64(value)
                    n += 1
                    shifted = np.float64(value) - first
                    sum_1 += shifted
                    sum_2 += shifted * shifted
                    low = min(low, value)
                    high = max(high, value)
                    histogram[a, b, min(int(value * per_lambda), BINS - 1)] += 1
            n_pairs[a, b] = n
            smallest[a, b] = low
            largest[a, b] = high
            if n > 0:
                mean[a, b] = first + sum_1 / n
                spread[a, b] = max(0.0, sum_2 - sum_1 * sum_1 / n)


def summarise(
    tile: NDArray[np.float32],
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    cols: tuple[NDArray[np.int64], NDArray[np.int64]],
    diagonal: int,
) -> PartialScores:
    """Summarise a lambda tile by dataset pair.

    Parameters
    ----------
    tile : (n, m) float32
        Lambda.
    rows, cols : (datasets, edges)
        ``datasets`` (d,) names the datasets along the axis in order, ``edges`` (d + 1,) where each begins and
        the last one ends, in ROIs of the tile.
    diagonal : int
        Index of the first row's ROI minus that of the first column's: row i and column j are the same ROI
        where ``j - i == diagonal``. Only columns before it are counted, so that a pair of ROIs counts once and
        a ROI is never compared with itself.

    Returns
    -------
    PartialScores
        One entry for every dataset pair with at least one ROI pair in the tile.

    Examples
    --------
    >>> tile = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    >>> one = (np.array([7]), np.array([0, 2]))
    >>> scores = summarise(tile, one, one, diagonal=0)
    >>> scores.n_pairs.tolist(), scores.mean.tolist()
    ([1], [1.0])
    """
    shape = (len(rows[0]), len(cols[0]))
    n_pairs = np.zeros(shape, np.int64)
    mean, spread = np.zeros(shape), np.zeros(shape)
    smallest, largest = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    histogram = np.zeros((*shape, BINS), np.int64)
    _summarise(tile, rows[1], cols[1], diagonal, n_pairs, mean, spread, smallest, largest, histogram)
    a, b = np.nonzero(n_pairs)
    return PartialScores(
        rows[0][a],
        cols[0][b],
        n_pairs[a, b],
        mean[a, b],
        spread[a, b],
        smallest[a, b],
        largest[a, b],
        histogram[a, b],
    )


def merge(parts: PartialScores) -> PartialScores:
    """Merge the entries of the same dataset pair, in the order in which they come.

    Parameters
    ----------
    parts : PartialScores
        Any number of entries a dataset pair.

    Returns
    -------
    PartialScores
        One entry a dataset pair, sorted by row and column.
    """
    if len(parts) == 0:
        return parts
    order = np.lexsort((parts.column, parts.row))
    parts = parts.take(order)
    new = np.concatenate(([True], (np.diff(parts.row) != 0) | (np.diff(parts.column) != 0)))
    starts = np.flatnonzero(new)
    n_pairs = np.add.reduceat(parts.n_pairs, starts)
    sizes = np.diff(np.append(starts, len(parts)))
    mean = np.add.reduceat(parts.n_pairs / np.repeat(n_pairs, sizes) * parts.mean, starts)
    deviation = parts.mean - np.repeat(mean, sizes)
    spread = np.add.reduceat(parts.spread + parts.n_pairs * deviation**2, starts)
    return PartialScores(
        parts.row[starts],
        parts.column[starts],
        n_pairs,
        mean,
        spread,
        np.minimum.reduceat(parts.smallest, starts),
        np.maximum.reduceat(parts.largest, starts),
        np.add.reduceat(parts.histogram, starts, axis=0),
    )
