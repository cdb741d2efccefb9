"""Histograms of tiles, against a count in pure Python and by hand."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.histogram import localizations, occupied, tile_histograms
from lake.grid import Grid

GRID = Grid()

# Points on bin edges, the floats just beside them, and points anywhere; few bins, so that bins fill up.
EDGES = st.integers(-205, 205).map(lambda i: i * 30.0)
BESIDE = st.tuples(EDGES, st.sampled_from([-math.inf, math.inf])).map(lambda pair: math.nextafter(*pair))
NEAR_ZERO = st.integers(-3, 3).map(lambda i: i * 15.0)
COORDINATES = st.one_of(EDGES, BESIDE, NEAR_ZERO, st.floats(-7000, 7000))
POINTS = st.lists(st.tuples(COORDINATES, COORDINATES), max_size=150)


def sorted_by_tile(points, grid=GRID):
    """Return x, y, starts, stops of the points sorted by tile."""
    x_nm, y_nm = np.array(points, dtype=float).reshape(-1, 2).T
    tiles = np.column_stack([grid.tiles(x_nm), grid.tiles(y_nm)])
    order = np.lexsort(tiles.T)
    _, starts, sizes = np.unique(tiles[order][:, ::-1], axis=0, return_index=True, return_counts=True)
    return x_nm[order], y_nm[order], starts, starts + sizes


def count_slowly(x_nm, y_nm, starts, stops, grid=GRID):
    """Return one {k: number of bins} for each ROI."""
    return [
        Counter(
            Counter(
                (math.floor(x / grid.bin_nm), math.floor(y / grid.bin_nm))
                for x, y in zip(x_nm[start:stop].tolist(), y_nm[start:stop].tolist(), strict=True)
            ).values()
        )
        for start, stop in zip(starts, stops, strict=True)
    ]


def as_counters(histograms):
    return [{k + 1: int(row[k]) for k in np.flatnonzero(row)} for row in histograms]


@given(POINTS)
@settings(deadline=None)  # the first example compiles the kernels
def test_tile_histograms__equal_a_count_in_pure_python(points):
    slices = sorted_by_tile(points)
    histograms = tile_histograms(*slices, GRID)
    expected = count_slowly(*slices)
    assert as_counters(histograms) == expected
    assert histograms.shape == (len(expected), max((max(h) for h in expected), default=1))
    assert localizations(histograms).tolist() == [sum(k * n for k, n in h.items()) for h in expected]
    assert occupied(histograms).tolist() == [sum(h.values()) for h in expected]


@given(POINTS, st.sampled_from([(7.3, 13), (100.0, 1), (0.1, 300)]))
@settings(deadline=None)
def test_tile_histograms__follow_the_grid(points, sides):
    grid = Grid(*sides)
    slices = sorted_by_tile(points, grid)
    assert as_counters(tile_histograms(*slices, grid)) == count_slowly(*slices, grid)


@given(POINTS.filter(bool), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_tile_histograms__do_not_depend_on_order_or_on_other_rois(points, random):
    x_nm, y_nm, starts, stops = sorted_by_tile(points)
    histograms = tile_histograms(x_nm, y_nm, starts, stops, GRID)
    random.shuffle(points)
    np.testing.assert_array_equal(tile_histograms(*sorted_by_tile(points), GRID), histograms)
    rois = random.sample(range(len(starts)), len(starts))
    np.testing.assert_array_equal(tile_histograms(x_nm, y_nm, starts[rois], stops[rois], GRID), histograms[rois])
    alone = tile_histograms(x_nm, y_nm, starts[-1:], stops[-1:], GRID)
    np.testing.assert_array_equal(alone[0], histograms[-1, : alone.shape[1]])
    assert not histograms[-1, alone.shape[1] :].any()


def test_tile_histograms__bins_are_half_open():
    x_nm = np.array([-30.0, -1e-12, 0.0, math.nextafter(30.0, 0.0), 30.0])
    histograms = tile_histograms(x_nm, np.zeros(5), np.array([0, 2]), np.array([2, 5]), GRID)
    assert histograms.tolist() == [[0, 1], [1, 1]]


def test_tile_histograms__rois_share_no_bins():
    # The last two lie in the same bin of their tiles.
    x_nm = np.array([2999.0, 3000.0, 6000.0])
    histograms = tile_histograms(x_nm, np.zeros(3), np.arange(3), np.arange(1, 4), GRID)
    assert histograms.tolist() == [[1], [1], [1]]


def test_tile_histograms__empty_rois_are_rows_of_zeros():
    x_nm = np.array([10.0, 10.0])
    histograms = tile_histograms(x_nm, x_nm, np.array([0, 0, 2]), np.array([0, 2, 2]), GRID)
    assert histograms.tolist() == [[0, 0], [0, 1], [0, 0]]
    none = tile_histograms(x_nm, x_nm, np.array([1]), np.array([1]), GRID)
    assert none.tolist() == [[0]]
    assert tile_histograms(x_nm, x_nm, np.array([], int), np.array([], int), GRID).shape == (0, 1)


def test_tile_histograms__overlapping_slices_are_counted_each():
    x_nm = np.array([10.0, 10.0, 10.0, 40.0])
    histograms = tile_histograms(x_nm, x_nm, np.array([0, 1, 0]), np.array([2, 4, 4]), GRID)
    assert as_counters(histograms) == [{2: 1}, {1: 1, 2: 1}, {1: 1, 3: 1}]


def test_tile_histograms__a_bead_has_no_overflow_bucket():
    x_nm = np.concatenate([np.full(50_000, 1000.0), [5.0, 3005.0]])
    histograms = tile_histograms(x_nm, x_nm, np.array([0, 50_001]), np.array([50_001, 50_002]), GRID)
    assert histograms.shape == (2, 50_000)
    assert histograms.dtype == np.uint16
    assert as_counters(histograms) == [{1: 1, 50_000: 1}, {1: 1}]


def test_tile_histograms__hold_more_bins_than_16_bits():
    side = (np.arange(300) + 0.5) * 30.0
    x_nm, y_nm = (axis.ravel() for axis in np.meshgrid(side, side))
    histograms = tile_histograms(x_nm, y_nm, np.array([0]), np.array([90_000]), Grid(tile_bins=300))
    assert histograms.dtype == np.uint32
    assert histograms.tolist() == [[90_000]]


def test_tile_histograms__take_strided_and_integer_arrays():
    points = np.array([[10, 10], [20, 20], [40, 10]])
    histograms = tile_histograms(points[:, 0], points[:, 1], np.array([0], np.int32), np.array([3], np.uint8), GRID)
    assert histograms.tolist() == [[1, 1]]


@pytest.mark.parametrize("stray", [3000.0, -1e-9, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_tile_histograms__refuse_two_tiles_and_missing_positions(stray, place):
    x_nm = np.array([5.0, 10.0, 15.0, 20.0])
    x_nm[1 + place] = stray
    starts, stops = np.array([0, 1]), np.array([1, 4])
    for xy in ((x_nm, np.full(4, 10.0)), (np.full(4, 10.0), x_nm)):
        with pytest.raises(ValueError, match=r"localization \d at .* is not in the tile of ROI 1"):
            tile_histograms(*xy, starts, stops, GRID)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 1), (0, 4)])
def test_tile_histograms__refuse_slices_outside_the_localizations(start, stop):
    with pytest.raises(ValueError, match=rf"ROI 1 is the slice \[{start}, {stop}\) of 3"):
        tile_histograms(np.zeros(3), np.zeros(3), np.array([0, start]), np.array([1, stop]), GRID)


def test_tile_histograms__refuse_unequal_lengths():
    one = np.array([0])
    with pytest.raises(ValueError, match=r"x_nm has shape \(3,\), y_nm \(2,\)"):
        tile_histograms(np.zeros(3), np.zeros(2), one, one, GRID)
    with pytest.raises(ValueError, match=r"starts has shape \(1,\), stops \(2,\)"):
        tile_histograms(np.zeros(3), np.zeros(3), one, np.array([0, 1]), GRID)


def test_occupied__and_localizations_keep_the_bits_when_zeros_are_added():
    # numpy's pairwise sum fails this: it splits a row by its length.
    expected = np.random.default_rng(5).random((20, 37))
    wider = np.pad(expected, ((0, 0), (0, 300)))
    np.testing.assert_array_equal(occupied(wider), occupied(expected))
    np.testing.assert_array_equal(localizations(wider), localizations(expected))
    np.testing.assert_allclose(occupied(expected), expected.sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(localizations(expected), expected @ np.arange(1, 38), rtol=1e-13)


def test_occupied__is_whole_for_counts_and_real_for_expectations():
    assert occupied(np.array([[2, 1]], np.uint16)).dtype == np.int64
    assert localizations(np.array([[65_535, 65_535]], np.uint16)).tolist() == [3 * 65_535]
    assert occupied(np.array([[0.5, 0.25]], np.float32)).tolist() == [0.75]
    assert np.isnan(occupied(np.array([[np.nan, 1.0]]))).all()


@pytest.mark.parametrize("statistic", [occupied, localizations])
def test_row_sums__refuse_one_histogram_without_its_axis(statistic):
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        statistic(np.array([1, 2, 3]))
