"""Localizations of a tile to its histogram: how many bins hold 1, 2, 3, ... localizations."""

from math import nan

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lake.grid import Grid


def tile_histograms(
    x_nm: NDArray[np.float64],
    y_nm: NDArray[np.float64],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    grid: Grid,
) -> NDArray[np.unsignedinteger]:
    """Count, for each ROI, the bins that hold exactly k localizations.

    Parameters
    ----------
    x_nm, y_nm : (n,) float64, nm
        Positions, sorted so that the localizations of a ROI are neighbours. Their order within a ROI does
        not matter.
    starts, stops : (n_roi,) int64
        ROI i is the slice ``[starts[i], stops[i])`` and lies inside one tile. Slices may leave gaps and
        may overlap.
    grid : Grid
        Bins and tiles. Bins are half open, ``[left, right)``, and counted from the origin of the coordinates.

    Returns
    -------
    (n_roi, K) uint16, or uint32 where a tile has more than 65,535 bins
        Entry ``[i, k - 1]`` is the number of bins of ROI i that hold k localizations. Empty bins are not
        counted. K is the largest count of all ROIs, at least 1: there is no overflow bucket, which would
        change the Kolmogorov-Smirnov distance. A ROI without localizations is a row of zeros.

    Raises
    ------
    ValueError
        If x and y, or starts and stops, differ in length; if a slice leaves the localizations; if a ROI
        holds localizations of two tiles or a position that is NaN or infinite.

    Notes
    -----
    Shirgill et al. 2025, doi:10.1038/s41467-025-63674-x, Methods, Dissimilarity algorithm.

    The result takes 2 (or 4) n_roi K bytes and the work 4 bytes a localization. A bead that puts 50,000
    localizations into one bin gives K = 50,000: 100 kB for every ROI of the call, so a caller with many
    thousand ROIs passes them in batches.

    Examples
    --------
    >>> x_nm = np.array([10.0, 20.0, 40.0, 3010.0])
    >>> y_nm = np.array([10.0, 20.0, 10.0, 10.0])
    >>> tile_histograms(x_nm, y_nm, np.array([0, 3]), np.array([3, 4]), Grid()).tolist()
    [[1, 1], [1, 0]]
    """
    x_nm, y_nm = (np.ascontiguousarray(positions, dtype=np.float64) for positions in (x_nm, y_nm))
    starts, stops = (np.ascontiguousarray(bounds, dtype=np.int64) for bounds in (starts, stops))
    _check_slices(x_nm, y_nm, starts, stops)
    ranks = np.empty(int((stops - starts).sum()), dtype=np.int32)
    roi, stray = _rank(x_nm, y_nm, starts, stops, float(grid.bin_nm), grid.tile_bins, ranks)
    if roi >= 0:
        raise ValueError(
            f"localization {stray} at ({x_nm[stray]}, {y_nm[stray]}) nm is not in the tile of ROI {roi}, "
            f"whose first localization is at ({x_nm[starts[roi]]}, {y_nm[starts[roi]]}) nm: "
            "sort the localizations by tile and leave out those without a finite position"
        )
    dtype = np.uint16 if grid.tile_bins**2 <= np.iinfo(np.uint16).max else np.uint32
    histograms = np.zeros((len(starts), int(ranks.max(initial=1))), dtype=dtype)
    _tally(ranks, stops - starts, histograms)
    return histograms


def occupied(histograms: NDArray[np.generic]) -> NDArray[np.int64 | np.float64]:
    """Return the number of bins that hold at least one localization: the sample size n of a ROI.

    Divided by ``grid.tile_bins**2`` it is the fraction of the tile that is occupied.

    Parameters
    ----------
    histograms : (n_roi, K) integers, or floats for expected histograms
        Entry ``[i, k - 1]`` is the (expected) number of bins that hold k localizations.

    Returns
    -------
    (n_roi,) int64 for integers, float64 for floats
        0 for a ROI without localizations. Added from k = 1 upwards, so that columns of zeros behind the
        last bin do not change a bit of the result. NaN in a row gives NaN.

    Raises
    ------
    ValueError
        If the histograms are not two-dimensional.

    Examples
    --------
    >>> occupied(np.array([[3, 1], [0, 0]])).tolist()
    [4, 0]
    """
    return _sums(histograms, by_count=False)


def localizations(histograms: NDArray[np.generic]) -> NDArray[np.int64 | np.float64]:
    """Return the number of localizations of each ROI: the sum of k h[k].

    Parameters
    ----------
    histograms : (n_roi, K) integers, or floats for expected histograms
        Entry ``[i, k - 1]`` is the (expected) number of bins that hold k localizations.

    Returns
    -------
    (n_roi,) int64 for integers, float64 for floats
        0 for a ROI without localizations; added as in `occupied`. NaN in a row gives NaN.

    Raises
    ------
    ValueError
        If the histograms are not two-dimensional.

    Examples
    --------
    >>> localizations(np.array([[3, 1], [0, 0]])).tolist()
    [5, 0]
    """
    return _sums(histograms, by_count=True)


def _check_slices(
    x_nm: NDArray[np.float64], y_nm: NDArray[np.float64], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> None:
    """Raise ValueError where the kernel would read outside the arrays."""
    if x_nm.ndim != 1 or x_nm.shape != y_nm.shape:
        raise ValueError(f"x_nm has shape {x_nm.shape}, y_nm {y_nm.shape}: give one x and one y a localization")
    if starts.ndim != 1 or starts.shape != stops.shape:
        raise ValueError(f"starts has shape {starts.shape}, stops {stops.shape}: give one of each a ROI")
    wrong = np.flatnonzero((starts < 0) | (starts > stops) | (stops > len(x_nm)))
    if wrong.size:
        roi = wrong[0]
        raise ValueError(
            f"ROI {roi} is the slice [{starts[roi]}, {stops[roi]}) of {len(x_nm)} localizations: "
            "a slice needs 0 <= start <= stop <= number of localizations"
        )


def _sums(histograms: NDArray[np.generic], *, by_count: bool) -> NDArray[np.int64 | np.float64]:
    """Return the sum of h[k], or of k h[k], of each row; int64 for integers."""
    if histograms.ndim != 2:
        raise ValueError(f"histograms have shape {histograms.shape}: give an array of shape (ROIs, counts)")
    dtype: type[np.int64 | np.float64] = np.int64 if histograms.dtype.kind in "iu" else np.float64
    sums = np.zeros(len(histograms), dtype=dtype)
    _add_rows(histograms, by_count, sums)
    return sums


@njit(cache=True, nogil=True, error_model="numpy")
def _rank(
    x_nm: NDArray[np.float64],
    y_nm: NDArray[np.float64],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    bin_nm: float,
    tile_bins: int,
    ranks: NDArray[np.int32],
) -> tuple[int, int]:
    """Rank the localizations of each bin 1, 2, 3, ...; return the ROI and localization at fault, or -1s."""
    counts = np.empty(tile_bins * tile_bins, dtype=np.int32)
    position = 0
    for roi in range(len(starts)):
        counts[:] = 0
        left = nan
        bottom = nan
        for i in range(starts[roi], stops[roi]):
            # Floats, not integers: NaN and infinity then fail the comparison below.
            column = np.floor(x_nm[i] / bin_nm)
            row = np.floor(y_nm[i] / bin_nm)
            if i == starts[roi]:
                left = np.floor(column / tile_bins) * tile_bins
                bottom = np.floor(row / tile_bins) * tile_bins
            column -= left
            row -= bottom
            if not (0 <= column < tile_bins and 0 <= row < tile_bins):
                return roi, i
            address = int(row) * tile_bins + int(column)
            counts[address] += 1
            ranks[position] = counts[address]
            position += 1
    return -1, -1


@njit(cache=True, nogil=True, error_model="numpy")
def _tally(ranks: NDArray[np.int32], sizes: NDArray[np.int64], histograms: NDArray[np.unsignedinteger]) -> None:
    """Turn ranks into histograms: the k-th localization of a bin makes it one of k, no longer of k - 1."""
    position = 0
    for roi in range(len(sizes)):
        for _ in range(sizes[roi]):
            rank = ranks[position]
            histograms[roi, rank - 1] += 1
            if rank > 1:
                histograms[roi, rank - 2] -= 1
            position += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _add_rows(histograms: NDArray[np.generic], by_count: bool, sums: NDArray[np.int64 | np.float64]) -> None:
    """Add h[k], or k h[k], of each row to sums, from k = 1 upwards."""
    for roi in range(histograms.shape[0]):
        for k in range(1, histograms.shape[1] + 1):
            sums[roi] += histograms[roi, k - 1] * (k if by_count else 1)
