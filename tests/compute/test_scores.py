"""Scores of dataset pairs, against NumPy over the ROI pairs, however the matrix is cut into tiles."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.blocks import segment_edges
from compute.scores import BIN_WIDTH, BINS, PartialScores, merge, summarise

SIZES = st.lists(st.integers(0, 7), min_size=1, max_size=5).filter(any)


def symmetric(n, rng):
    """Return lambda of n ROIs with themselves: some above the histogram's end, some on bin borders."""
    matrix = rng.gamma(2.0, rng.choice([0.2, 1.0, 4.0]), (n, n))
    matrix = np.where(rng.random((n, n)) < 0.2, np.round(matrix, 1), matrix).astype(np.float32)
    return np.tril(matrix, -1) + np.tril(matrix, -1).T


def cut(matrix, sizes, row_cuts, column_cuts):
    """Summarise the tiles between the cuts, as one run does them."""
    n = len(matrix)
    rows, cols = ([0, *sorted(cuts), n] for cuts in (row_cuts, column_cuts))
    parts = []
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(cols):
            if top < bottom and left < right:
                tile = np.ascontiguousarray(matrix[top:bottom, left:right])
                segments = segment_edges(sizes, top, bottom), segment_edges(sizes, left, right)
                parts.append(summarise(tile, *segments, top - left))
    return parts


def pairs_slowly(matrix, sizes):
    """Return the lambda values of each pair of datasets: each ROI pair once, none with itself."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    pairs = {}
    for i in range(len(matrix)):
        for j in range(i):
            pairs.setdefault((int(owner[i]), int(owner[j])), []).append(matrix[i, j])
    return {key: np.array(values, np.float32) for key, values in pairs.items()}


def assert_scores(found, pairs):
    assert list(zip(found.row.tolist(), found.column.tolist(), strict=True)) == sorted(pairs)
    for index, key in enumerate(sorted(pairs)):
        values = pairs[key]
        exact = values.astype(np.float64)
        assert found.n_pairs[index] == len(values)
        assert found.mean[index] == pytest.approx(exact.mean(), rel=1e-12)
        if len(values) > 1:
            assert found.sd[index] == pytest.approx(exact.std(ddof=1), rel=1e-9, abs=1e-12)
        else:
            assert math.isnan(found.sd[index])
        assert found.smallest[index] == values.min()
        assert found.largest[index] == values.max()
        bins = np.minimum((values * np.float32(1 / BIN_WIDTH)).astype(int), BINS - 1)
        np.testing.assert_array_equal(found.histogram[index], np.bincount(bins, minlength=BINS))


@st.composite
def cuttings(draw):
    sizes = draw(SIZES)
    cuts = st.sets(st.integers(0, sum(sizes)), max_size=4)
    return sizes, draw(cuts), draw(cuts), draw(st.integers(0, 2**32 - 1))


@given(cuttings())
@settings(deadline=None, max_examples=80)
def test_scores__equal_numpy_however_the_matrix_is_cut(cutting):
    sizes, row_cuts, column_cuts, seed = cutting
    matrix = symmetric(sum(sizes), np.random.default_rng(seed))
    parts = cut(matrix, sizes, row_cuts, column_cuts)
    assert_scores(merge(PartialScores.concatenate(parts)), pairs_slowly(matrix, sizes))


@given(cuttings(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_scores__do_not_depend_on_the_cuts_or_on_the_order_of_merging(cutting, random):
    sizes, row_cuts, column_cuts, seed = cutting
    matrix = symmetric(sum(sizes), np.random.default_rng(seed))
    whole = merge(PartialScores.concatenate(cut(matrix, sizes, (), ())))
    parts = cut(matrix, sizes, row_cuts, column_cuts)
    random.shuffle(parts)
    middle = random.randint(0, len(parts))
    halves = [merge(PartialScores.concatenate(parts[:middle])), *parts[middle:]]
    merged = merge(PartialScores.concatenate(halves))
    for name in ("row", "column", "n_pairs", "smallest", "largest", "histogram"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.sd, whole.sd, rtol=1e-12, atol=1e-12)


def test_summarise__leaves_out_the_diagonal_and_what_lies_above_it():
    tile = np.arange(12, dtype=np.float32).reshape(3, 4)
    one_row, one_column = (np.array([5]), np.array([0, 3])), (np.array([2]), np.array([0, 4]))
    counts = {d: summarise(tile, one_row, one_column, d).n_pairs.tolist() for d in (-3, -2, 0, 1, 2, 4, 9)}
    assert counts == {-3: [], -2: [], 0: [3], 1: [6], 2: [9], 4: [12], 9: [12]}
    below = summarise(tile, one_row, one_column, 0)
    assert (below.row.tolist(), below.column.tolist()) == ([5], [2])
    assert below.mean.tolist() == [pytest.approx((4 + 8 + 9) / 3)]


@given(st.floats(0, 50, width=32), st.integers(2, 40))
@settings(deadline=None, max_examples=40)
def test_scores__of_a_constant_lambda_have_no_spread(value, n):
    tile = np.full((n, n), value, np.float32)
    one = (np.array([0]), np.array([0, n]))
    parts = [summarise(tile[k : k + 1], (np.array([0]), np.array([0, 1])), one, k) for k in range(n)]
    for scores in (summarise(tile, one, one, 0), merge(PartialScores.concatenate(parts))):
        assert scores.n_pairs.tolist() == [n * (n - 1) // 2]
        assert scores.mean[0] == pytest.approx(value, rel=1e-12)
        if n > 2:
            assert scores.sd[0] == pytest.approx(0, abs=1e-12 * max(1, value))


def test_scores__keep_their_precision_far_from_zero():
    """A spread of 0.01 around 1000: the sum of squares alone would lose it."""
    rng = np.random.default_rng(1)
    tile = (1000 + rng.normal(0, 1e-2, (300, 200))).astype(np.float32)
    sizes = [200, 300]
    parts = [
        summarise(tile[k : k + 50], (np.array([1]), np.array([0, 50])), segment_edges(sizes, 0, 200), 200 + k)
        for k in range(0, 300, 50)
    ]
    merged = merge(PartialScores.concatenate(parts))
    assert merged.sd[0] == pytest.approx(tile.astype(np.float64).std(ddof=1), rel=1e-9)


def test_scores__count_what_lies_above_the_last_bin():
    tile = np.array([[0.05, 0.1, 9.99, 10.0, 400.0]], np.float32)
    scores = summarise(tile, (np.array([1]), np.array([0, 1])), (np.array([0]), np.array([0, 5])), 5)
    histogram = scores.histogram[0]
    assert (histogram[0], histogram[1], histogram[99], histogram[100]) == (1, 1, 1, 2)
    assert histogram.sum() == 5


def test_merge__of_nothing_is_nothing():
    nothing = merge(PartialScores.concatenate([]))
    assert len(nothing) == 0
    assert nothing.histogram.shape == (0, BINS)


def test_take__chooses_entries_by_mask_and_by_index():
    tile = np.arange(9, dtype=np.float32).reshape(3, 3)
    each = (np.arange(3), np.arange(4))
    scores = summarise(tile, each, each, 3)
    assert scores.take(scores.column == 1).mean.tolist() == [1.0, 4.0, 7.0]
    assert scores.take(np.array([8, 0])).mean.tolist() == [8.0, 0.0]
