"""Simulated localizations: closed forms, bounds, determinism, and the ordering of the paper's Fig. 2b."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, ks_2samp, kstest

from compute.simulate import (
    PRESETS,
    TILE_NM,
    Preset,
    _fibre_lines,
    _scatter,
    fibres,
    gaussian_clusters,
    localization_error,
    mixture,
    simulate_roi,
    uniform,
)

SIGNIFICANCE = np.sqrt(-np.log(0.05 / 2) / 2)


def occupied_bin_counts(xy_nm):
    bins = np.floor(xy_nm / 30.0).astype(int)
    return np.unique(bins[:, 0] * 100 + bins[:, 1], return_counts=True)[1]


def slow_lambda(counts_a, counts_b):
    n, m = len(counts_a), len(counts_b)
    d = ks_2samp(counts_a, counts_b, method="asymp").statistic
    return d / (SIGNIFICANCE * np.sqrt((n + m) / (n * m)))


def condition(preset, n_rois=30):
    """Bin counts of the ROIs of a preset, each from its own generator."""
    rngs = (np.random.default_rng([roi, preset.total, *preset.n_clusters]) for roi in range(n_rois))
    return [occupied_bin_counts(simulate_roi(rng, preset)) for rng in rngs]


@given(
    name=st.sampled_from(sorted(PRESETS)),
    total=st.integers(0, 300),
    tile_nm=st.floats(1.0, 1e5),
    sigma_nm=st.floats(0.0, 1e6),
    seed=st.integers(0, 2**32),
)
def test_simulate_roi__returns_the_exact_number_inside_the_tile(name, total, tile_nm, sigma_nm, seed):
    preset = replace(PRESETS[name], total=total, cluster_sigma_nm=sigma_nm, fibre_width_nm=sigma_nm)
    xy_nm = simulate_roi(np.random.default_rng(seed), preset, tile_nm)
    assert xy_nm.shape == (total, 2)
    assert xy_nm.dtype == np.float64
    assert np.all((xy_nm >= 0) & (xy_nm < tile_nm))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_simulate_roi__is_determined_by_the_seed(name):
    first, again, other = (simulate_roi(np.random.default_rng(seed), PRESETS[name]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_presets__hold_the_paper_s_density():
    assert {preset.total for preset in PRESETS.values()} == {900}
    assert [PRESETS[f"clusters-{n}"].n_clusters for n in (10, 12, 15, 20, 30, 60, 90)] == [
        (10,), (12,), (15,), (20,), (30,), (60,), (90,),
    ]  # fmt: skip
    assert PRESETS["clusters-10"].cluster_sigma_nm == 30.0


def test_uniform__fills_all_parts_of_the_tile_alike():
    xy_nm = uniform(np.random.default_rng(7), 20_000)
    counts = np.histogram2d(*xy_nm.T, bins=10, range=[[0, TILE_NM]] * 2)[0]
    assert chisquare(counts.ravel()).pvalue > 0.01


def test_gaussian_clusters__share_the_localizations_equally():
    xy_nm = gaussian_clusters(np.random.default_rng(0), 7, 100, sigma_nm=0.0)
    counts = np.unique(xy_nm, axis=0, return_counts=True)[1]
    assert sorted(counts) == [14] * 5 + [15] * 2


def test_gaussian_clusters__have_the_spread_asked_for_along_each_axis():
    # In a tile that dwarfs the cluster, the border takes no part.
    xy_nm = gaussian_clusters(np.random.default_rng(3), 1, 40_000, sigma_nm=(30.0, 90.0), tile_nm=1e7)
    np.testing.assert_allclose(xy_nm.std(axis=0, ddof=1), [30.0, 90.0], rtol=0.02)
    assert abs(np.corrcoef(xy_nm.T)[0, 1]) < 0.02


def test_gaussian_clusters__lie_at_uniform_positions():
    centres_nm = gaussian_clusters(np.random.default_rng(5), 2_000, 2_000, sigma_nm=0.0)
    assert kstest(centres_nm.ravel() / TILE_NM, "uniform").pvalue > 0.01


def test_scatter__at_the_border_is_the_half_normal_distribution():
    centres_nm = np.tile([0.0, TILE_NM], (40_000, 1))
    xy_nm = _scatter(np.random.default_rng(0), centres_nm, 30.0, TILE_NM)
    mean_nm = 30.0 * np.sqrt(2 / np.pi)
    np.testing.assert_allclose(xy_nm.mean(axis=0), [mean_nm, TILE_NM - mean_nm], atol=0.4)


def test_scatter__equals_drawing_again_what_falls_outside():
    rng, centre_nm, sigma_nm = np.random.default_rng(11), np.array([20.0, 2980.0]), 50.0
    again = centre_nm + sigma_nm * rng.standard_normal((20_000, 2))
    while (outside := np.any((again < 0) | (again >= TILE_NM), axis=1)).any():
        again[outside] = centre_nm + sigma_nm * rng.standard_normal((outside.sum(), 2))
    ours = _scatter(rng, np.tile(centre_nm, (20_000, 1)), sigma_nm, TILE_NM)
    for axis in (0, 1):
        assert ks_2samp(ours[:, axis], again[:, axis]).pvalue > 0.01


@pytest.mark.parametrize("placement", ["random", "even"])
@pytest.mark.parametrize("orientation", ["random", "parallel"])
def test_fibre_lines__end_on_the_border_of_the_tile(orientation, placement):
    ends = _fibre_lines(np.random.default_rng(2), 500, orientation, placement, TILE_NM)
    to_border_nm = np.minimum(ends, TILE_NM - ends).min(axis=-1)
    np.testing.assert_allclose(to_border_nm, 0.0, atol=1e-6)
    assert np.all(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) > 0)


def angles_of(ends):
    along = ends[:, 1] - ends[:, 0]
    return np.arctan2(along[:, 1], along[:, 0]) % np.pi


def test_fibre_lines__parallel_have_one_angle_and_random_have_all():
    parallel = angles_of(_fibre_lines(np.random.default_rng(4), 50, "parallel", "random", TILE_NM))
    assert np.var(parallel) == pytest.approx(0.0, abs=1e-18)
    free = angles_of(_fibre_lines(np.random.default_rng(4), 2_000, "random", "random", TILE_NM))
    assert kstest(free / np.pi, "uniform").pvalue > 0.01


def test_fibre_lines__even_placement_spaces_them_equally():
    ends = _fibre_lines(np.random.default_rng(9), 12, "parallel", "even", TILE_NM)
    along = ends[6, 1] - ends[6, 0]
    normal = np.array([-along[1], along[0]]) / np.hypot(*along)
    distances_nm = ends[:, 0] @ normal
    np.testing.assert_allclose(np.diff(distances_nm, n=2), 0.0, atol=1e-6)


def test_fibres__of_no_width_are_straight_lines():
    xy_nm = fibres(np.random.default_rng(1), 1, 500, width_nm=0.0)
    centred = xy_nm - xy_nm.mean(axis=0)
    assert np.linalg.svd(centred, compute_uv=False)[1] == pytest.approx(0.0, abs=1e-6)


def test_fibres__have_the_width_asked_for_across_and_are_uniform_along():
    rng = np.random.default_rng(8)
    (start, stop), *_ = _fibre_lines(np.random.default_rng(8), 1, "random", "random", TILE_NM)
    xy_nm = fibres(rng, 1, 20_000, width_nm=10.0)
    length_nm = np.linalg.norm(stop - start)
    direction = (stop - start) / length_nm
    across_nm = (xy_nm - start) @ np.array([-direction[1], direction[0]])
    assert np.std(across_nm) == pytest.approx(10.0, rel=0.03)
    assert kstest((xy_nm - start) @ direction / length_nm, "uniform").statistic < 0.02


def test_fibres__carry_localizations_in_proportion_to_their_length():
    ends = _fibre_lines(np.random.default_rng(6), 4, "random", "random", TILE_NM)
    xy_nm = fibres(np.random.default_rng(6), 4, 40_000, width_nm=0.0)
    along = ends[:, 1] - ends[:, 0]
    length_nm = np.linalg.norm(along, axis=1)
    offset = xy_nm[:, None, :] - ends[None, :, 0]
    away_nm = np.abs(offset[..., 0] * along[:, 1] - offset[..., 1] * along[:, 0]) / length_nm
    counts = np.bincount(away_nm.argmin(axis=1), minlength=4)
    assert chisquare(counts, 40_000 * length_nm / length_nm.sum()).pvalue > 0.01


@given(
    weights=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6).filter(lambda w: sum(w) > 1e-3),
    total=st.integers(0, 2_000),
)
def test_mixture__splits_the_total_by_the_fractions(weights, total):
    fractions = np.array(weights) / sum(weights)
    parts = [(fraction, lambda _, n, i=i: np.full((n, 2), float(i))) for i, fraction in enumerate(fractions)]
    which = mixture(np.random.default_rng(0), total, parts)[:, 0]
    assert len(which) == total
    counts = np.bincount(which.astype(int), minlength=len(parts))
    assert np.all(np.abs(counts - fractions * total) <= 1)


def test_localization_error__is_gaussian_with_the_precision_returned():
    true_nm = np.full((20_000, 2), 1_500.0)
    xy_nm, precision_nm = localization_error(np.random.default_rng(0), true_nm, 12.0)
    assert np.median(precision_nm) == pytest.approx(12.0, rel=0.02)
    assert np.std(np.log(precision_nm)) == pytest.approx(0.3, rel=0.03)
    assert kstest(((xy_nm - true_nm) / precision_nm[:, None]).ravel(), "norm").pvalue > 0.01


def test_localization_error__of_nothing_moves_nothing():
    true_nm = uniform(np.random.default_rng(0), 50)
    xy_nm, precision_nm = localization_error(np.random.default_rng(0), true_nm, 0.0)
    np.testing.assert_array_equal(xy_nm, true_nm)
    np.testing.assert_array_equal(precision_nm, 0.0)
    assert localization_error(np.random.default_rng(0), np.empty((0, 2)), 10.0)[0].shape == (0, 2)


@pytest.fixture(scope="module")
def ten_clusters():
    return condition(PRESETS["clusters-10"])


def test_simulate_roi__gives_the_self_similarity_of_ten_clusters(ten_clusters):
    within = [slow_lambda(a, b) for a, b in combinations(ten_clusters, 2)]
    assert np.mean(within) == pytest.approx(0.39, rel=0.2)
    assert np.std(within, ddof=1) == pytest.approx(0.14, rel=0.2)


def test_simulate_roi__gives_the_order_of_figure_2b(ten_clusters):
    means = []
    for name in ("clusters-12", "clusters-15", "clusters-20", "clusters-30"):
        others = condition(PRESETS[name])
        means.append(np.mean([slow_lambda(a, b) for a, b in product(ten_clusters, others)]))
    assert means == sorted(means)
    np.testing.assert_allclose(means, [0.57, 0.94, 1.52, 2.37], rtol=0.2)


def test_simulate_roi__two_populations_are_less_similar_to_themselves(ten_clusters):
    mixed = condition(PRESETS["clusters-two-populations"])
    within = np.array([slow_lambda(a, b) for a, b in combinations(mixed, 2)])
    # Fig. S4: the scores have two peaks, within and between the populations, and a gap between the peaks.
    peaks, gap = ((within < 0.9) | (within > 1.6)).mean(), ((within >= 0.9) & (within <= 1.6)).mean()
    assert peaks > 5 * gap
    fixed = [slow_lambda(a, b) for a, b in combinations(ten_clusters, 2)]
    assert within.std() > 3 * np.std(fixed)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: uniform(rng, -1), "total is -1: ask for 0"),
        (lambda rng: uniform(rng, 1, tile_nm=0.0), "tile_nm is 0.0: a tile needs a positive side"),
        (lambda rng: uniform(rng, 1, tile_nm=np.inf), "tile_nm is inf"),
        (lambda rng: gaussian_clusters(rng, 0, 10), "n_clusters is 0: ask for at least one"),
        (lambda rng: gaussian_clusters(rng, 1, -1), "total is -1"),
        (lambda rng: gaussian_clusters(rng, 1, 1, sigma_nm=-1.0), "the spread is -1.0 nm"),
        (lambda rng: gaussian_clusters(rng, 1, 1, sigma_nm=np.nan), "the spread is nan nm"),
        (lambda rng: fibres(rng, 0, 10), "n_fibres is 0: ask for at least one"),
        (lambda rng: fibres(rng, 1, 10, "diagonal"), "orientation is 'diagonal' .* choose 'random'"),
        (lambda rng: fibres(rng, 1, 10, placement="odd"), "placement 'odd': choose 'random'"),
        (lambda rng: mixture(rng, -1, [(1.0, uniform)]), "total is -1"),
        (lambda rng: mixture(rng, 1, []), r"fractions are \[\]"),
        (lambda rng: mixture(rng, 1, [(0.5, uniform)]), r"fractions are \[0.5\]: .* add up to 1"),
        (lambda rng: mixture(rng, 1, [(1.5, uniform), (-0.5, uniform)]), "need to be positive"),
        (lambda rng: localization_error(rng, np.array([[-1.0, 0.0]]), 1.0), "outside the tile"),
        (lambda rng: localization_error(rng, np.array([[np.nan, 0.0]]), 1.0), "outside the tile"),
        (lambda rng: localization_error(rng, np.array([[1.0, 0.0]]), -1.0), "the spread is"),
        (
            lambda _: Preset(clustered=0.7, fibrous=0.7, n_clusters=(1,), n_fibres=(1,)),
            "at most 1 together",
        ),
        (lambda _: Preset(clustered=-0.1), "-0.1 clustered"),
        (lambda _: Preset(clustered=1.0), "needs at least one number"),
        (lambda _: Preset(fibrous=1.0), "needs at least one number"),
    ],
)
def test_simulate__refuses_what_makes_no_sense(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0))


def test_preset__fractions_may_add_up_to_one_in_decimals_only():
    preset = Preset(clustered=0.9, fibrous=0.1, n_clusters=(3,), n_fibres=(2,))
    assert preset.unstructured == 0.0
    assert simulate_roi(np.random.default_rng(0), preset).shape == (900, 2)
