"""The dissimilarity lambda of nano-org: a normalised Kolmogorov-Smirnov distance between ROIs.

For two ROIs with bin-count CDFs F and G over n and m occupied bins (doi:10.1038/s41467-025-63674-x, eq. 1-5)::

    D = max_k |F(k) - G(k)|     J = (n + m) / (n m)     c = sqrt(-ln(alpha / 2) / 2)
    lambda = D / (c sqrt(J))

A lambda above 1 is a significant difference at the level alpha.

Two facts make the kernel fast without changing a bit of the answer. Beyond the end of one ROI's support its
CDF is 1 and the difference can only fall, so only counts up to the smaller support are looked at. And columns
sorted by support, in groups of :data:`LANES`, let one instruction serve many of them.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

ALPHA = 0.05
"""Significance level at which lambda is 1; the paper's."""

LANES = 128
"""Columns that the kernel handles together. 128 float32 of four counts stay in the first-level cache."""

# Finite CDFs need no NaN, infinity or signed-zero rules; nothing here lets the compiler reorder arithmetic.
_FINITE = {"nnan", "ninf", "nsz"}


@dataclass(frozen=True)
class Cdf:
    """Cumulative distributions of the bin counts of some ROIs.

    Attributes
    ----------
    values : (n, K) float32
        ``values[i, k - 1]`` is the fraction of ROI i's occupied bins that hold at most k localizations; it is
        exactly 1 from the support on.
    occupied : (n,) float64
        Number of occupied bins: a whole number for a histogram, a real one for an expected histogram.
    support : (n,) int32
        Smallest k at which the float32 value is 1.
    """

    values: NDArray[np.float32]
    occupied: NDArray[np.float64]
    support: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.occupied)

    @property
    def reciprocal(self) -> NDArray[np.float32]:
        """``1 / occupied`` in float32, as the kernel adds them up."""
        return (1.0 / self.occupied).astype(np.float32)


def cumulate(histograms: NDArray[np.generic]) -> Cdf:
    """Return the CDFs of histograms of bin counts.

    Parameters
    ----------
    histograms : (n, K) array
        ``histograms[i, k - 1]`` is the number of bins of ROI i that hold k localizations; empty bins are not
        counted (the paper's sample size is the number of occupied bins).

    Returns
    -------
    Cdf
        As wide as its largest support.

    Raises
    ------
    ValueError
        If a ROI has no occupied bin: it has no distribution, so leave it out.

    Examples
    --------
    >>> cumulate(np.array([[3, 1, 0], [0, 4, 0]])).values.tolist()
    [[0.75, 1.0], [0.0, 1.0]]
    """
    counts = np.asarray(histograms, np.float64)
    sums = np.cumsum(counts, axis=1)
    occupied = np.ascontiguousarray(sums[:, -1])
    if not (occupied > 0).all():
        raise ValueError(f"ROI {int(np.argmin(occupied > 0))} has no occupied bin: leave such ROIs out")
    values = (sums / occupied[:, None]).astype(np.float32)
    support = (np.argmax(values == np.float32(1.0), axis=1) + 1).astype(np.int32)
    width = int(support.max(initial=1))
    return Cdf(np.ascontiguousarray(values[:, :width]), occupied, support)


@dataclass(frozen=True)
class Columns:
    """CDFs laid out for the inner loop of the kernel: groups of :data:`LANES` ROIs of similar support.

    Attributes
    ----------
    values : (sum over groups of height * LANES,) float32
        Group after group, each in (k, lane) order; lanes without a ROI hold 1.
    offsets, heights : (groups,) int64
        Start of each group in ``values``, and the largest support in it.
    reciprocal : (groups * LANES,) float32
        One over the occupied bins, in the order of the lanes.
    order : (n,) int64
        The ROI of each lane.
    """

    values: NDArray[np.float32]
    offsets: NDArray[np.int64]
    heights: NDArray[np.int64]
    reciprocal: NDArray[np.float32]
    order: NDArray[np.int64]

    @property
    def nbytes(self) -> int:
        """Size in bytes, but for the offsets."""
        return self.values.nbytes + self.reciprocal.nbytes + self.order.nbytes


def columns(cdf: Cdf) -> Columns:
    """Lay out CDFs as the columns of a lambda tile."""
    order = np.argsort(cdf.support, kind="stable").astype(np.int64)
    groups = -(-len(cdf) // LANES)
    last = np.minimum((np.arange(groups) + 1) * LANES, len(cdf)) - 1
    heights = cdf.support[order[last]].astype(np.int64)
    offsets = np.concatenate(([0], np.cumsum(heights * LANES)))
    values = np.ones(int(offsets[-1]), np.float32)
    for group in range(groups):
        members = order[group * LANES : (group + 1) * LANES]
        block = values[offsets[group] : offsets[group + 1]].reshape(heights[group], LANES)
        block[:, : len(members)] = cdf.values[members, : heights[group]].T
    reciprocal = np.ones(groups * LANES, np.float32)
    reciprocal[: len(cdf)] = cdf.reciprocal[order]
    return Columns(values, offsets[:-1].astype(np.int64), heights, reciprocal, order)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FINITE)  # type: ignore[untyped-decorator, unused-ignore]
def _largest_difference(
    row: NDArray[np.float32], height: int, block: NDArray[np.float32], largest: NDArray[np.float32]
) -> None:
    """Fill ``largest`` with ``max_k |row[k] - block[k, lane]|`` over k < height, four counts at a time."""
    for j in range(LANES):
        largest[j] = np.float32(0.0)
    k = 0
    while k + 4 <= height:
        f0, f1, f2, f3 = row[k], row[k + 1], row[k + 2], row[k + 3]
        for j in range(LANES):
            a = max(abs(f0 - block[k * LANES + j]), abs(f1 - block[(k + 1) * LANES + j]))
            b = max(abs(f2 - block[(k + 2) * LANES + j]), abs(f3 - block[(k + 3) * LANES + j]))
            largest[j] = max(largest[j], max(a, b))  # noqa: PLW3301 (three arguments do not vectorise)
        k += 4
    while k < height:
        f = row[k]
        for j in range(LANES):
            largest[j] = max(largest[j], abs(f - block[k * LANES + j]))
        k += 1


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FINITE)  # type: ignore[untyped-decorator, unused-ignore]
def _fill_tile(  # noqa: PLR0913, PLR0917 (the kernel takes arrays, not objects)
    rows: NDArray[np.float32],
    row_reciprocal: NDArray[np.float32],
    row_support: NDArray[np.int32],
    values: NDArray[np.float32],
    offsets: NDArray[np.int64],
    heights: NDArray[np.int64],
    reciprocal: NDArray[np.float32],
    order: NDArray[np.int64],
    c: np.float32,
    tile: NDArray[np.float32],
) -> None:
    largest = np.empty(LANES, np.float32)
    for group in range(len(heights)):
        first = group * LANES
        lanes = min(LANES, len(order) - first)
        block = values[offsets[group] : offsets[group] + heights[group] * LANES]
        inverse = reciprocal[first : first + LANES]
        for i in range(len(row_support)):
            _largest_difference(rows[i], min(row_support[i], heights[group]), block, largest)
            r = row_reciprocal[i]
            for j in range(LANES):
                largest[j] = largest[j] / (c * np.sqrt(r + inverse[j]))
            for j in range(lanes):
                tile[i, order[first + j]] = largest[j]


def critical_factor(alpha: float = ALPHA) -> float:
    """Return c(alpha) of eq. 4.

    Examples
    --------
    >>> round(critical_factor(0.05), 7)
    1.3581015
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}: a significance level lies between 0 and 1, e.g. {ALPHA}")
    return math.sqrt(-0.5 * math.log(alpha / 2))


def lambda_tile(rows: Cdf, cols: Columns, alpha: float = ALPHA) -> NDArray[np.float32]:
    """Return lambda of every row ROI against every column ROI.

    Parameters
    ----------
    rows : Cdf
        n ROIs.
    cols : Columns
        m ROIs, from :func:`columns`.
    alpha : float
        Significance level at which lambda is 1.

    Returns
    -------
    (n, m) float32
        The same bits whichever ROI is the row and whichever tile holds the pair.

    Examples
    --------
    The golden values of the method: {1: 4} against {2: 4}, and {1: 3, 2: 1} against {1: 1, 2: 3}.

    >>> rois = cumulate(np.array([[4, 0], [0, 4], [3, 1], [1, 3]]))
    >>> matrix = lambda_tile(rois, columns(rois))
    >>> round(float(matrix[0, 1]), 6), round(float(matrix[2, 3]), 6)
    (1.041317, 0.520658)
    """
    tile = np.empty((len(rows), len(cols.order)), np.float32)
    _fill_tile(
        rows.values,
        rows.reciprocal,
        rows.support,
        cols.values,
        cols.offsets,
        cols.heights,
        cols.reciprocal,
        cols.order,
        np.float32(critical_factor(alpha)),
        tile,
    )
    return tile
