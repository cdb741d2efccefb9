"""Histograms of a ROI thinned to a common density: the exact expectation, and the paper's Monte Carlo.

Both take the histogram alone: it says how many bins hold k localizations, and where they lie does not matter.
"""

import math
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from compute.histogram import localizations
from lake.grid import Grid

_NEGLIGIBLE = 1e-290
"""Part of the mode's weight at which a tail ends: a little above the smallest normal float64, 2e-308."""


def target_localizations(density_per_um2: float, grid: Grid) -> int:
    """Return the number of localizations that a tile of the given density holds, rounded.

    Parameters
    ----------
    density_per_um2 : float, um^-2
        Density to thin to: 100 in Shirgill et al. 2025 (doi:10.1038/s41467-025-63674-x, Methods, "Random
        subsampling"), 30 in the user guide of nano-org.
    grid : Grid
        Its tile gives the area.

    Returns
    -------
    int
        At least 1; a half is rounded to the even neighbour.

    Raises
    ------
    ValueError
        If the density is not a finite number, or so low that it rounds to no localization.

    Examples
    --------
    >>> target_localizations(100, Grid()), target_localizations(30, Grid())
    (900, 270)
    """
    expected = density_per_um2 * grid.tile_area_um2
    if not (math.isfinite(expected) and round(expected) >= 1):
        raise ValueError(
            f"{density_per_um2} localizations/um2 are {expected} in a tile of {grid.tile_area_um2} um2: "
            "give a density of at least one localization a tile"
        )
    return round(expected)


def dense_enough(histograms: NDArray[np.integer], target: int) -> NDArray[np.bool_]:
    """Tell which ROIs hold at least the target number of localizations; the paper excludes the others.

    Parameters
    ----------
    histograms : (n_roi, K) integers
        Entry ``[i, k - 1]`` is the number of bins that hold k localizations.
    target : int
        Number of localizations to thin to, at least 1.

    Returns
    -------
    (n_roi,) bool

    Raises
    ------
    TypeError, ValueError
        If the histograms are not two-dimensional integers from 0 up, or the target is less than 1.

    Examples
    --------
    >>> dense_enough(np.array([[3, 1], [1, 1]]), target=4).tolist()
    [True, False]
    """
    _check(histograms, target)
    return localizations(histograms) >= target


def thin_exact(histograms: NDArray[np.integer], target: int) -> NDArray[np.float64]:
    """Return the expected histogram of M of the N localizations of each ROI, drawn without replacement.

    A bin of c localizations keeps k of them with the hypergeometric probability, so that

        E[h'(k)] = sum over c of h(c) C(c, k) C(N - c, M - k) / C(N, M).

    This is what the average over random subsamples of Shirgill et al. 2025 (doi:10.1038/s41467-025-63674-x,
    Methods, "Thinned histogram generation") tends to; it needs no random numbers.

    Parameters
    ----------
    histograms : (n_roi, K) integers
        Entry ``[i, k - 1]`` is the number of bins of ROI i that hold k localizations.
    target : int
        M, at least 1.

    Returns
    -------
    (n_roi, K) float64
        Entry ``[i, k - 1]`` is the expected number of bins that keep k localizations; the sum of k times it
        is M. With N = M it is the histogram itself. A ROI's row has the same bits whichever other ROIs are
        in the call; further columns of zeros add columns of zeros.

    Raises
    ------
    TypeError
        If the histograms are not integers.
    ValueError
        If they are not two-dimensional or negative, if the target is less than 1, or if a ROI holds fewer
        localizations: choose the ROIs with `dense_enough` first.

    Notes
    -----
    The probabilities of one c are built from the most probable k outwards, each from its neighbour by
    p(k + 1) / p(k) = (c - k) (M - k) / ((k + 1) (N - M - c + k + 1)), and divided by their sum over k >= 0.
    Logarithms of factorials are not used: those of N = 10,000 are near 80,000, where two float64 are 1.5e-11
    apart. The products in the ratio are whole numbers, so that a step rounds twice; s steps and
    the sum cost at most 5 s 1.1e-16, 5e-13 for M = 900 whatever N. A tail ends at 1e-290 of its mode, before
    float64 loses digits; what is left out is smaller than that, so that every entry above 1e-270 has all its
    12 digits.

    Examples
    --------
    Two localizations of a bin of two and a bin of one: {2: 1} with probability 1/3, else {1: 2}.

    >>> thin_exact(np.array([[1, 1]]), target=2).round(12).tolist()
    [[1.333333333333, 0.333333333333]]
    """
    totals = _totals(histograms, target)
    thinned = np.zeros(histograms.shape, dtype=np.float64)
    _thin(np.ascontiguousarray(histograms), totals, target, thinned)
    return thinned


def thin_monte_carlo(
    histograms: NDArray[np.integer],
    target: int,
    repeats: int,
    seeds: Sequence[np.random.SeedSequence | int] | NDArray[np.integer],
) -> NDArray[np.float64]:
    """Average the histograms of random subsamples of M of the N localizations of each ROI.

    The thinning of Shirgill et al. 2025 (doi:10.1038/s41467-025-63674-x, Methods, "Random subsampling" and
    "Thinned histogram generation"), without replacement; they average 100 repeats. `thin_exact` gives the
    average of infinitely many.

    Parameters
    ----------
    histograms : (n_roi, K) integers
        Entry ``[i, k - 1]`` is the number of bins of ROI i that hold k localizations.
    target : int
        M, at least 1.
    repeats : int
        Number of subsamples, at least 1.
    seeds : (n_roi,) SeedSequences or integers
        One for each ROI: its row depends on its histogram and its seed, not on the other ROIs of the call.

    Returns
    -------
    (n_roi, K) float64
        Entry ``[i, k - 1]`` is the mean number of bins that keep k localizations.

    Raises
    ------
    TypeError
        If the histograms are not integers.
    ValueError
        If they are not two-dimensional or negative, if the target or the repeats are less than 1, if a ROI
        holds fewer localizations than the target, or if there is not one seed for each ROI.

    Notes
    -----
    Works on 8 bytes a repeat and occupied bin of one ROI: 8 MB for 100 repeats of 10,000 bins.

    Examples
    --------
    >>> thin_monte_carlo(np.array([[0, 1]]), target=1, repeats=10, seeds=[1]).tolist()
    [[1.0, 0.0]]
    """
    _totals(histograms, target)
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}: average at least one subsample")
    if len(seeds) != len(histograms):
        raise ValueError(f"there are {len(seeds)} seeds for {len(histograms)} ROIs: give one for each ROI")
    thinned = np.empty(histograms.shape, dtype=np.float64)
    for i, (histogram, seed) in enumerate(zip(histograms, seeds, strict=True)):
        thinned[i] = _mean_of_subsamples(histogram, target, repeats, np.random.default_rng(seed))
    return thinned


def _mean_of_subsamples(
    histogram: NDArray[np.integer], target: int, repeats: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the mean histogram, (K,) float64, of one ROI's subsamples."""
    bins = np.repeat(np.arange(1, len(histogram) + 1), histogram)
    # What a draw without replacement leaves in each bin is multivariate hypergeometric. "count" makes that
    # draw; numpy's other method draws bin after bin and takes 30 times as long for thousands of bins.
    kept = rng.multivariate_hypergeometric(bins, target, size=repeats, method="count")
    return np.bincount(kept.ravel(), minlength=len(histogram) + 1)[1:] / repeats


def _check(histograms: NDArray[np.integer], target: int) -> None:
    """Raise for histograms that are not counts of bins, and for a target below 1."""
    if histograms.dtype.kind not in "iu":
        raise TypeError(f"histograms are {histograms.dtype}: thin the integer counts of `tile_histograms`")
    if histograms.min(initial=0) < 0:
        raise ValueError(f"a histogram holds {histograms.min()}: numbers of bins are not negative")
    if target < 1:
        raise ValueError(f"target is {target}: thin to at least one localization")


def _totals(histograms: NDArray[np.integer], target: int) -> NDArray[np.int64 | np.float64]:
    """Return N of each ROI, (n_roi,) int64, after checking that all reach the target."""
    _check(histograms, target)
    totals = localizations(histograms)
    sparse = np.flatnonzero(totals < target)
    if sparse.size:
        raise ValueError(
            f"{sparse.size} of {len(totals)} ROIs hold fewer than {target} localizations, the first is ROI "
            f"{sparse[0]} with {totals[sparse[0]]}: leave them out with `dense_enough`"
        )
    return totals


@njit(cache=True, nogil=True, error_model="numpy")
def _thin(
    histograms: NDArray[np.integer],
    totals: NDArray[np.int64 | np.float64],
    target: int,
    thinned: NDArray[np.float64],
) -> None:
    """Add the expected histogram of each ROI to thinned, counts c upwards, each ROI by itself."""
    weights = np.empty(min(histograms.shape[1], target) + 1)
    for roi in range(histograms.shape[0]):
        left = totals[roi]
        for count in range(1, histograms.shape[1] + 1):
            if left == 0:
                break
            bins = np.int64(histograms[roi, count - 1])
            if bins:
                left -= bins * count
                first, last, total = _weigh(count, totals[roi], target, weights)
                scale = bins / total
                for k in range(max(first, 1), last + 1):
                    thinned[roi, k - 1] += scale * weights[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh(count: int, total: int, target: int, weights: NDArray[np.float64]) -> tuple[int, int, float]:
    """Write the probabilities that k of count localizations are kept, times a factor, to weights[k].

    Return the first and the last k written, and the factor.
    """
    others_lost = total - target - count  # localizations left out, of other bins, when k = 0; may be negative
    lowest = max(0, -others_lost)
    highest = min(count, target)
    mode = min(max((count + 1) * (target + 1) // (total + 2), lowest), highest)
    weights[mode] = 1.0
    factor = 1.0
    last = mode
    weight = 1.0
    while last < highest and weight > _NEGLIGIBLE:
        weight *= ((count - last) * (target - last)) / ((last + 1) * (others_lost + last + 1))
        last += 1
        weights[last] = weight
        factor += weight
    first = mode
    weight = 1.0
    while first > lowest and weight > _NEGLIGIBLE:
        weight *= (first * (others_lost + first)) / ((count - first + 1) * (target - first + 1))
        first -= 1
        weights[first] = weight
        factor += weight
    return first, last, factor
