"""Thinned histograms, against rational arithmetic, closed forms, published values and each other."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.histogram import localizations, occupied, tile_histograms
from compute.thinning import dense_enough, target_localizations, thin_exact, thin_monte_carlo
from lake.grid import Grid

GRID = Grid()

BINS_OF_COUNT = st.one_of(
    st.dictionaries(st.integers(1, 12), st.integers(1, 60), min_size=1, max_size=8),
    st.dictionaries(st.integers(1, 400), st.integers(1, 3), min_size=1, max_size=5),
)


@st.composite
def thinnings(draw):
    """Draw a histogram and a target that it reaches."""
    bins_of_count = draw(BINS_OF_COUNT)
    total = sum(count * bins for count, bins in bins_of_count.items())
    return bins_of_count, draw(st.one_of(st.integers(1, total), st.just(total), st.just(max(1, total - 1))))


def as_row(bins_of_count, width=None):
    row = np.zeros(width or max(bins_of_count), dtype=np.uint16)
    for count, bins in bins_of_count.items():
        row[count - 1] = bins
    return row


def thin_rationally(bins_of_count, target, ks):
    """Return E[h'(k)] for each k, rounded once at the end."""
    total = sum(count * bins for count, bins in bins_of_count.items())
    ways = math.comb(total, target)
    return [
        float(
            sum(
                Fraction(bins * math.comb(count, k) * math.comb(total - count, target - k), ways)
                for count, bins in bins_of_count.items()
                if k <= target
            )
        )
        for k in ks
    ]


def clustered(n_roi, seed):
    """Return histograms of n_roi tiles with clusters of 25 to 40 localizations and a background."""
    rng = np.random.default_rng(seed)
    points = []
    for i in range(n_roi):
        centres = rng.uniform(200, 2800, (20 + i, 1, 2))
        clusters = centres + rng.normal(0, 30, (20 + i, 25 + 15 * (i % 2), 2))
        points.append(np.concatenate([clusters.reshape(-1, 2), rng.uniform(0, 3000, (1000 + 40 * i, 2))]))
    sizes = np.array([len(p) for p in points])
    x_nm, y_nm = np.concatenate(points).T
    return tile_histograms(x_nm, y_nm, sizes.cumsum() - sizes, sizes.cumsum(), GRID)


# The exact expectation


@given(thinnings())
@settings(deadline=None, max_examples=60)  # the first example compiles; large binomials take their time
def test_thin_exact__equals_rational_arithmetic(thinning):
    bins_of_count, target = thinning
    (thinned,) = thin_exact(as_row(bins_of_count)[None], target)
    expected = np.array(thin_rationally(bins_of_count, target, range(1, len(thinned) + 1)))
    np.testing.assert_allclose(thinned, expected, rtol=1e-12, atol=1e-280)


@pytest.mark.parametrize("target", [1, 270, 900, 7990])
def test_thin_exact__keeps_its_digits_beside_a_bead(target):
    bins_of_count = {1: 700, 2: 150, 10: 20, 300: 1, 6500: 1}
    row = as_row(bins_of_count)
    ks = [1, 2, 5, 20, 100, 269, 270, 500, 700, 880, 900, 3000, 6499, 6500]
    (thinned,) = thin_exact(row[None], target)
    expected = thin_rationally(bins_of_count, target, ks)
    assert sum(value > 0 for value in expected) >= 1
    np.testing.assert_allclose(thinned[np.array(ks) - 1], expected, rtol=1e-12, atol=1e-280)


@given(thinnings())
@settings(deadline=None)
def test_thin_exact__keeps_the_target_number_of_localizations(thinning):
    bins_of_count, target = thinning
    thinned = thin_exact(as_row(bins_of_count)[None], target)
    np.testing.assert_allclose(localizations(thinned), target, rtol=1e-10)
    assert 0 < occupied(thinned)[0] <= sum(bins_of_count.values()) * (1 + 1e-12)


@given(BINS_OF_COUNT)
@settings(deadline=None)
def test_thin_exact__to_all_localizations_is_the_histogram(bins_of_count):
    row = as_row(bins_of_count)
    thinned = thin_exact(row[None], int(localizations(row[None])[0]))
    np.testing.assert_allclose(thinned[0], row, rtol=1e-12, atol=1e-12)


@given(BINS_OF_COUNT)
@settings(deadline=None)
def test_thin_exact__to_one_localization_leaves_one_bin_of_one(bins_of_count):
    (thinned,) = thin_exact(as_row(bins_of_count)[None], 1)
    assert thinned[0] == pytest.approx(1.0, rel=1e-12)
    assert not thinned[1:].any()


@pytest.mark.parametrize("target", [1, 37, 900, 2000])
def test_thin_exact__of_single_localizations_is_the_target(target):
    assert thin_exact(np.array([[2000]]), target) == pytest.approx(target, rel=1e-12)


@pytest.mark.parametrize("target", [1, 37, 900, 2000])
def test_thin_exact__of_one_bin_is_that_bin_with_the_target(target):
    (thinned,) = thin_exact(as_row({2000: 1})[None], target)
    assert thinned[target - 1] == 1.0
    assert thinned.sum() == 1.0


def test_thin_exact__of_two_bins_by_hand():
    # Bins of 3 and 2, keep 2 of 5: both in the first 3/10, both in the second 1/10, one in each 6/10.
    (thinned,) = thin_exact(as_row({3: 1, 2: 1})[None], 2)
    np.testing.assert_allclose(thinned, [2 * 6 / 10, 4 / 10, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("density_per_um2", "occupied_bins", "single"), [(100, 860, 0.955), (30, 266, 0.987), (10, 90, 0.996)]
)
def test_thin_exact__of_a_random_pattern_has_the_measured_numbers(density_per_um2, occupied_bins, single):
    # Complete spatial randomness as measured beforehand; in theory n = 10,000 (1 - exp(-M / 10,000)).
    xy = np.random.default_rng(11).uniform(0, 3000, (2, 20_000))
    dense = tile_histograms(*xy, np.array([0]), np.array([20_000]), GRID)
    thinned = thin_exact(dense, target_localizations(density_per_um2, GRID))
    assert occupied(thinned)[0] == pytest.approx(occupied_bins, abs=1.0)
    assert thinned[0, 0] / occupied(thinned)[0] == pytest.approx(single, abs=0.001)


@given(st.lists(BINS_OF_COUNT, min_size=1, max_size=8), st.randoms(use_true_random=False), st.integers(1, 400))
@settings(deadline=None)
def test_thin_exact__a_roi_has_the_same_bits_in_every_company(rows, random, target):
    width = max(max(row) for row in rows)
    histograms = np.stack([as_row(row, width) for row in rows])
    histograms = histograms[dense_enough(histograms, target)]
    together = thin_exact(histograms, target)
    order = random.sample(range(len(histograms)), len(histograms))
    np.testing.assert_array_equal(thin_exact(histograms[order], target), together[order])
    for row, thinned in zip(histograms, together, strict=True):
        trimmed = np.trim_zeros(row, "b")
        np.testing.assert_array_equal(thin_exact(trimmed[None], target)[0], thinned[: len(trimmed)])
        assert not thinned[len(trimmed) :].any()


def test_thin_exact__takes_every_integer_and_layout():
    histograms = clustered(4, seed=1)
    expected = thin_exact(histograms, 900)
    for dtype in (np.int64, np.uint32, np.uint64, np.int32):
        np.testing.assert_array_equal(thin_exact(histograms.astype(dtype), 900), expected)
    np.testing.assert_array_equal(thin_exact(np.asfortranarray(histograms), 900), expected)


def test_thin_exact__of_no_rois_is_empty():
    assert thin_exact(np.zeros((0, 4), np.uint16), 900).shape == (0, 4)


# The paper's Monte Carlo


def test_thin_monte_carlo__converges_to_the_exact_expectation():
    # 200 independent averages of 25 subsamples each give the standard error of their mean.
    histograms = np.repeat(clustered(1, seed=2), 200, axis=0)
    averages = thin_monte_carlo(histograms, 900, repeats=25, seeds=np.random.SeedSequence(3).spawn(200))
    (exact,) = thin_exact(histograms[:1], 900)
    common = exact > 0.1  # rarer counts may not occur at all, and then show no spread
    assert common.sum() >= 5
    error = np.abs(averages.mean(axis=0) - exact)[common]
    assert (error < 5 * averages.std(axis=0, ddof=1)[common] / math.sqrt(200)).all()
    assert (averages.std(axis=0)[common] > 0).all()


def test_thin_monte_carlo__error_shrinks_with_the_square_root_of_the_repeats():
    histograms = np.repeat(clustered(1, seed=4), 150, axis=0)
    exact = thin_exact(histograms[:1], 900)[:, :4]

    def error(repeats):
        averages = thin_monte_carlo(histograms, 900, repeats, seeds=np.random.SeedSequence(repeats).spawn(150))
        return np.sqrt(((averages[:, :4] - exact) ** 2).mean(axis=0))

    np.testing.assert_allclose(error(4) / error(64), 4.0, rtol=0.25)


def test_thin_monte_carlo__each_subsample_is_a_histogram_of_the_target():
    histograms = clustered(3, seed=5)
    for i in range(5):
        once = thin_monte_carlo(histograms, 900, repeats=1, seeds=np.arange(3) + 10 * i)
        np.testing.assert_array_equal(once, once.round())
        assert localizations(once).tolist() == [900.0] * 3
    everything = thin_monte_carlo(histograms[:1], int(localizations(histograms)[0]), repeats=3, seeds=[7])
    np.testing.assert_array_equal(everything, histograms[:1])


def test_thin_monte_carlo__a_roi_depends_only_on_its_seed():
    histograms = clustered(6, seed=6)
    seeds = np.random.SeedSequence(8).spawn(6)
    together = thin_monte_carlo(histograms, 900, 10, seeds)
    order = [4, 0, 5, 2, 1, 3]
    shuffled = thin_monte_carlo(histograms[order], 900, 10, [seeds[i] for i in order])
    np.testing.assert_array_equal(shuffled, together[order])
    np.testing.assert_array_equal(thin_monte_carlo(histograms[3:4], 900, 10, seeds[3:4]), together[3:4])
    assert (thin_monte_carlo(histograms[3:4], 900, 10, seeds[:1]) != together[3:4]).any()


# What both refuse


def thin_once(histograms, target):
    return thin_monte_carlo(histograms, target, repeats=1, seeds=range(len(histograms)))


@pytest.mark.parametrize("thin", [thin_exact, thin_once])
def test_thinning__refuses_what_it_cannot_thin(thin):
    with pytest.raises(ValueError, match=r"2 of 3 ROIs hold fewer than 5 .* ROI 1 with 4.*dense_enough"):
        thin(np.array([[1, 2], [2, 1], [0, 0]]), 5)
    with pytest.raises(ValueError, match="target is 0"):
        thin(np.array([[1, 2]]), 0)
    with pytest.raises(TypeError, match="histograms are float64"):
        thin(np.array([[1.0, 2.0]]), 2)
    with pytest.raises(ValueError, match="a histogram holds -1"):
        thin(np.array([[5, -1]]), 2)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        thin(np.array([1, 2]), 2)


def test_thin_monte_carlo__refuses_no_repeats_and_missing_seeds():
    histograms = np.array([[5], [6]])
    with pytest.raises(ValueError, match="repeats is 0"):
        thin_monte_carlo(histograms, 2, 0, seeds=[1, 2])
    with pytest.raises(ValueError, match="1 seeds for 2 ROIs"):
        thin_monte_carlo(histograms, 2, 5, seeds=[1])


# The target


@pytest.mark.parametrize(
    ("density_per_um2", "grid", "target"),
    [(100, GRID, 900), (30, GRID, 270), (10.04, GRID, 90), (10.06, GRID, 91), (100, Grid(tile_bins=50), 225)],
)
def test_target_localizations__is_density_times_area(density_per_um2, grid, target):
    assert target_localizations(density_per_um2, grid) == target


@pytest.mark.parametrize("density_per_um2", [0, -5, 0.05, math.nan, math.inf])
def test_target_localizations__refuses_less_than_one(density_per_um2):
    with pytest.raises(ValueError, match="at least one localization a tile"):
        target_localizations(density_per_um2, GRID)


def test_dense_enough__keeps_rois_that_reach_the_target():
    histograms = np.array([[900, 0], [897, 1], [0, 450], [0, 0]], np.uint16)
    assert dense_enough(histograms, 900).tolist() == [True, False, True, False]
    thin_exact(histograms[dense_enough(histograms, 900)], 900)
