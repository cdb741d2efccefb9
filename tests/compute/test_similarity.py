"""The dissimilarity lambda, against published values, SciPy and a slow reference in float64."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from compute.similarity import ALPHA, LANES, Cdf, columns, critical_factor, cumulate, lambda_tile
from compute.thinning import thin_exact

# Bins by count: dense short histograms, long tails, single bars, and large numbers of bins.
BINS_OF_COUNT = st.one_of(
    st.dictionaries(st.integers(1, 8), st.integers(1, 40), min_size=1, max_size=8),
    st.dictionaries(st.integers(1, 300), st.integers(1, 3), min_size=1, max_size=6),
    st.dictionaries(st.integers(1, 3), st.integers(1, 10_000), min_size=1, max_size=3),
)
ROIS = st.lists(BINS_OF_COUNT, min_size=2, max_size=12)


def as_rows(rois):
    rows = np.zeros((len(rois), max(max(roi) for roi in rois)), np.int64)
    for row, roi in zip(rows, rois, strict=True):
        for count, bins in roi.items():
            row[count - 1] = bins
    return rows


def lambdas(histograms, alpha=ALPHA):
    cdf = cumulate(histograms)
    return lambda_tile(cdf, columns(cdf), alpha)


def lambda_slowly(h, g, alpha=ALPHA):
    """Return lambda and D of two histograms by the paper's equations 1 to 5, in float64."""
    width = max(len(h), len(g))
    h, g = (np.pad(np.asarray(x, float), (0, width - len(x))) for x in (h, g))
    n, m = h.sum(), g.sum()
    d = max(abs(h[:k].sum() / n - g[:k].sum() / m) for k in range(1, width + 1))
    j = (n + m) / (n * m)
    c = math.sqrt(-math.log(alpha / 2) / 2)
    return d / (c * math.sqrt(j)), d


def tolerance(h, g):
    """Return what rounding the two CDFs and the result to float32 may change lambda by."""
    n, m = np.sum(h), np.sum(g)
    return 2.0**-23 * math.sqrt(n * m / (n + m)) / critical_factor() + 1e-6 * lambda_slowly(h, g)[0]


def clustered_rows(n, seed):
    """Return histograms of very different support, as real collections have them."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, 200), np.int64)
    for row in rows:
        support = int(min(200, 1 + rng.geometric(0.15) + (rng.random() < 0.1) * rng.integers(100)))
        row[:support] = rng.integers(0, 60, support)
        row[support - 1] = 1 + rng.integers(3)
    return rows


@pytest.mark.parametrize(
    ("h", "g", "published"),
    [([4, 0], [0, 4], 1.0413165), ([3, 1], [1, 3], 0.5206583)],
)
def test_lambda__equals_the_golden_values(h, g, published):
    found = lambdas(np.array([h, g]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0, published], [published, 0]], atol=6e-8)


def test_critical_factor__is_that_of_the_level():
    assert critical_factor() == pytest.approx(1.3581015, abs=5e-8)
    assert critical_factor(0.01) == pytest.approx(1.6276236, abs=5e-8)
    assert lambdas(np.array([[4, 0], [0, 4]]), 0.01)[0, 1] == pytest.approx(math.sqrt(2) / 1.6276236, abs=1e-6)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 2])
def test_critical_factor__refuses_what_is_no_level(alpha):
    with pytest.raises(ValueError, match=f"alpha is {alpha}: .* between 0 and 1"):
        critical_factor(alpha)


@given(BINS_OF_COUNT, BINS_OF_COUNT)
@settings(deadline=None, max_examples=60)
def test_lambda__has_the_distance_of_scipy_on_the_counts_of_occupied_bins(h, g):
    samples = [np.repeat(list(roi), list(roi.values())) for roi in (h, g)]
    with np.errstate(all="ignore"):
        d = stats.ks_2samp(*samples, method="asymp").statistic
    n, m = map(len, samples)
    rows = as_rows([h, g])
    expected = d / (critical_factor() * math.sqrt((n + m) / (n * m)))
    assert abs(lambdas(rows)[0, 1] - expected) <= tolerance(*rows)


@given(ROIS, st.sampled_from([0.05, 0.01, 0.5]))
@settings(deadline=None, max_examples=25)
def test_lambda__equals_the_slow_reference(rois, alpha):
    rows = as_rows(rois)
    found = lambdas(rows, alpha)
    for i, h in enumerate(rows):
        for j, g in enumerate(rows):
            assert abs(found[i, j] - lambda_slowly(h, g, alpha)[0]) <= 4 * tolerance(h, g)


@given(ROIS)
@settings(deadline=None, max_examples=60)
def test_lambda__is_symmetric_bit_for_bit_and_zero_with_itself(rois):
    found = lambdas(as_rows(rois))
    np.testing.assert_array_equal(found.view(np.uint32), found.T.view(np.uint32))
    np.testing.assert_array_equal(np.diagonal(found), 0)


@given(ROIS, st.randoms(use_true_random=False), st.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_lambda__of_a_pair_depends_on_nothing_else(rois, random, cut):
    """Neither on the order of rows and columns, nor on the tile, nor on who else is there."""
    rows = as_rows(rois)
    whole = lambdas(rows)
    row_order = random.sample(range(len(rois)), min(cut, len(rois)))
    column_order = random.sample(range(len(rois)), random.randint(1, len(rois)))
    part = lambda_tile(cumulate(rows[row_order]), columns(cumulate(rows[column_order])))
    np.testing.assert_array_equal(part, whole[np.ix_(row_order, column_order)])


@pytest.mark.parametrize("n", [1, LANES - 1, LANES, LANES + 1, 2 * LANES + 37])
def test_lambda__does_not_depend_on_the_groups_of_columns(n):
    rows = clustered_rows(n, seed=n)
    rows[0] = np.eye(1, 200, 150)  # a long support, so that the short ones of its group meet the padding
    whole = lambdas(rows)
    pairs = np.random.default_rng(0).integers(n, size=(150, 2))
    for i, j in pairs:
        alone = lambdas(rows[[i, j]])
        assert whole[i, j] == whole[j, i] == alone[0, 1] == alone[1, 0]
        assert abs(whole[i, j] - lambda_slowly(rows[i], rows[j])[0]) <= tolerance(rows[i], rows[j])


def test_lambda__looks_no_further_than_the_smaller_support():
    """Beyond one ROI's support its CDF is 1, and the largest difference has been seen."""
    long_tail = np.zeros(385, np.int64)
    long_tail[[0, 1, 2, 384]] = 50, 30, 10, 10
    short = np.array([90, 10] + [0] * 383)
    found = lambdas(np.array([long_tail, short]))[0, 1]
    assert abs(found - lambda_slowly(long_tail, short)[0]) <= tolerance(long_tail, short)
    # The difference is largest where the short one ends, and at no count before.
    ends_late = lambdas(np.array([[0, 0, 0, 10], [10, 0, 0, 0]]))[0, 1]
    assert ends_late == pytest.approx(math.sqrt(5) / critical_factor(), rel=1e-6)


@given(ROIS, st.integers(1, 40))
@settings(deadline=None, max_examples=30)
def test_cumulate__does_not_depend_on_zeros_beyond_the_support(rois, more):
    rows = as_rows(rois)
    plain, padded = cumulate(rows), cumulate(np.pad(rows, ((0, 0), (0, more))))
    np.testing.assert_array_equal(padded.values, plain.values)
    np.testing.assert_array_equal(padded.support, plain.support)
    np.testing.assert_array_equal(padded.occupied, plain.occupied)


@given(ROIS)
@settings(deadline=None, max_examples=30)
def test_cumulate__gives_distributions(rois):
    rows = as_rows(rois)
    cdf = cumulate(rows)
    assert cdf.support.tolist() == [max(roi) for roi in rois]
    assert cdf.occupied.tolist() == [sum(roi.values()) for roi in rois]
    assert (np.diff(cdf.values, axis=1) >= 0).all()
    np.testing.assert_allclose(cdf.values, rows.cumsum(axis=1) / rows.sum(axis=1)[:, None], rtol=1e-7)
    for values, support in zip(cdf.values, cdf.support, strict=True):
        assert (values[support - 1 :] == 1).all()
        assert (values[: support - 1] < 1).all()


def test_lambda__takes_thinned_histograms_of_real_numbers():
    rng = np.random.default_rng(7)
    rows = rng.integers(0, 30, (20, 6)).astype(np.uint16)
    rows[:, 0] += 40
    thinned = thin_exact(rows, 60)
    found = lambdas(thinned)
    np.testing.assert_array_equal(found, found.T)
    for i, h in enumerate(thinned):
        for j, g in enumerate(thinned):
            assert abs(found[i, j] - lambda_slowly(h, g)[0]) <= tolerance(h, g)
    # Expected histograms have thin tails: the support ends where float32 cannot tell the CDF from 1.
    cdf = cumulate(thinned)
    assert cdf.values.dtype == np.float32
    assert (cdf.support <= thinned.shape[1]).all()
    assert not np.allclose(cdf.occupied, np.round(cdf.occupied))


def test_lambda__ignores_a_tail_below_float32():
    head = np.array([[5.0, 5.0, 0.0], [5.0, 5.0, 1e-9], [9.0, 1.0, 0.0]])
    cdf = cumulate(head)
    assert cdf.support.tolist() == [2, 2, 2]
    found = lambda_tile(cdf, columns(cdf))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


@pytest.mark.parametrize("empty", [[0, 0], [0.0, 0.0], [float("nan"), 1.0]])
def test_cumulate__refuses_a_roi_without_occupied_bins(empty):
    with pytest.raises(ValueError, match="ROI 1 has no occupied bin: leave such ROIs out"):
        cumulate(np.array([[1, 0], empty]))


def test_columns__hold_every_roi_once_sorted_by_support():
    cdf = cumulate(clustered_rows(300, seed=3))
    laid = columns(cdf)
    assert sorted(laid.order.tolist()) == list(range(300))
    assert (np.diff(cdf.support[laid.order]) >= 0).all()
    np.testing.assert_array_equal(laid.reciprocal[:300], cdf.reciprocal[laid.order])
    assert len(laid.values) == int(laid.heights.sum()) * LANES


def test_cdf__has_a_length_and_reciprocals():
    cdf = Cdf(np.ones((2, 1), np.float32), np.array([4.0, 3.0]), np.ones(2, np.int32))
    assert len(cdf) == 2
    np.testing.assert_array_equal(cdf.reciprocal, np.array([1 / 4, 1 / 3], np.float32))
