"""Figures: what is drawn, in which order, with which words, and that the caller's Axes and settings are kept."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from catalog import plots
from catalog.plots import (
    LIMIT,
    SERIES,
    condition_heatmap,
    lambda_violins,
    localization_image,
    ranking,
    self_similarity,
)

RNG = np.random.default_rng(0)
LAMBDAS = {
    "KIR2DL1": RNG.normal(1.4, 0.2, 300),
    "TIGIT NK": RNG.normal(0.4, 0.1, 435),
    "TIGIT CD4": RNG.normal(0.7, 0.1, 5_000),
}
MEANS = pd.DataFrame([[0.4, 2.0], [2.0, np.nan]], index=["A", "B"], columns=["A", "B"])
HITS = pd.DataFrame(
    {"dataset": ["b", "a"], "title": ["B", "A"], "mean": [1.2, 0.4], "sd": [0.3, 0.1], "n_pairs": [900, 435]}
)
DRAW = {
    "localization_image": lambda **kw: localization_image([0.0, 10.0, 2500.0], [0.0, 5.0, 900.0], **kw),
    "self_similarity": lambda **kw: self_similarity(LAMBDAS, **kw),
    "lambda_violins": lambda **kw: lambda_violins(LAMBDAS, "TIGIT NK", **kw),
    "condition_heatmap": lambda **kw: condition_heatmap(MEANS, **kw),
    "ranking": lambda **kw: ranking(HITS, **kw),
}


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def limit_line(ax):
    return [line for line in ax.lines if line.get_linestyle() == "--" and set(line.get_xdata()) == {1.0}]


@pytest.mark.parametrize("name", DRAW)
def test_figures__are_new_ones_that_save_without_pyplot(name, tmp_path):
    before = dict(mpl.rcParams)
    first, second = DRAW[name](), DRAW[name]()
    assert first.figure is not second.figure
    for suffix in ("png", "pdf"):
        path = tmp_path / f"figure.{suffix}"
        first.figure.savefig(path)
        assert path.stat().st_size > 5_000
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", DRAW)
def test_figures__are_drawn_into_the_axes_given(name, tmp_path):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert DRAW[name](ax=right, title="Mine") is right
    assert right.get_title(loc="left").startswith("Mine\nn = ")
    assert not left.has_data()
    assert figure.axes == [left, right]
    figure.savefig(tmp_path / "figure.png")


def test_localization_image__counts_the_bins_of_the_lake():
    x_nm, y_nm = [29.9, 30.0, 30.0, 95.0], [61.0, 60.0, 89.9, 0.0]
    ax = localization_image(x_nm, y_nm, bin_nm=30.0)
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0, 0, 0, 1], [0, 0, 0, 0], [1, 2, 0, 0]])
    # y grows downwards: the upper edge of the image is the smallest y.
    assert ax.images[0].get_extent() == pytest.approx((0.0, 0.12, 0.09, 0.0))
    assert ax.get_title(loc="left") == "n = 4 localizations"


def test_localization_image__of_negative_coordinates_starts_at_their_bins():
    ax = localization_image([-31.0, -1.0], [-1.0, -1.0], bin_nm=30.0)
    np.testing.assert_array_equal(ax.images[0].get_array(), [[1, 1]])
    assert ax.images[0].get_extent() == pytest.approx((-0.06, 0.0, 0.0, -0.03))


def test_localization_image__draws_only_the_extent_in_whole_bins():
    x_nm, y_nm = [5.0, 31.0, 59.0, 61.0, np.nan], [5.0, 5.0, 5.0, 5.0, 5.0]
    ax = localization_image(x_nm, y_nm, bin_nm=30.0, extent_nm=(30.0, 60.0, 0.0, 40.0))
    np.testing.assert_array_equal(ax.images[0].get_array(), [[2], [0]])
    assert ax.get_title(loc="left") == "n = 2 localizations"


def test_localization_image__of_nothing_needs_an_extent():
    ax = localization_image([], [], extent_nm=(0.0, 3000.0, 0.0, 3000.0))
    assert ax.images[0].get_array().shape == (100, 100)
    assert ax.images[0].get_array().sum() == 0
    with pytest.raises(ValueError, match="no localizations: give some, or an extent_nm"):
        localization_image([np.nan], [1.0])


@pytest.mark.parametrize(("side_nm", "bin_nm"), [(3_000.0, 30), (15_000.0, 30), (80_000.0, 180)])
def test_localization_image__takes_larger_bins_in_a_larger_field(side_nm, bin_nm):
    ax = localization_image([0.0], [0.0], extent_nm=(0.0, side_nm, 0.0, side_nm))
    (colour_bar,) = ax.child_axes
    assert colour_bar.get_ylabel() == f"Localizations per {bin_nm} nm bin"
    assert ax.images[0].get_array().shape == (np.ceil(side_nm / bin_nm),) * 2


@pytest.mark.parametrize(
    ("width_nm", "bar"), [(3_000.0, "0.5 µm"), (12_000.0, "2 µm"), (30_000.0, "5 µm"), (60.0, "0.01 µm")]
)
def test_localization_image__has_a_scale_bar_of_its_length(width_nm, bar):
    ax = localization_image([0.0], [0.0], bin_nm=30.0, extent_nm=(0.0, width_nm, 0.0, width_nm))
    (text,) = ax.texts
    assert text.get_text() == bar
    white = ax.patches[1]
    assert to_hex(white.get_facecolor()) == "#ffffff"
    assert white.get_width() * width_nm / 1000 == pytest.approx(float(bar.split()[0]))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (µm)", "y (µm)")


def test_localization_image__shows_single_localizations_beside_clusters():
    x_nm = np.concatenate([np.full(1_000, 15.0), 3_000 * RNG.random(500)])
    ax = localization_image(x_nm, np.full(1_500, 15.0), bin_nm=30.0)
    red, green, blue, _ = ax.images[0].to_rgba(np.array([[1]]))[0, 0]
    assert max(red, green, blue) > 0.4


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"extent_nm": (10.0, 10.0, 0.0, 1.0)}, r"extent_nm is \(10.0, 10.0, 0.0, 1.0\): give x_min < x_max"),
        ({"extent_nm": (0.0, np.inf, 0.0, 1.0)}, "extent_nm is"),
        (
            {"extent_nm": (0.0, 1e6, 0.0, 1e6), "bin_nm": 10.0},
            "100000 x 100000 bins of 10 nm are too many: raise",
        ),
        ({"bin_nm": 0.0}, "bin_nm is 0.0"),
    ],
)
def test_localization_image__refuses_impossible_fields(keywords, message):
    with pytest.raises(ValueError, match=message):
        localization_image([0.0], [0.0], **keywords)


def test_self_similarity__draws_per_cent_of_pairs_for_each_dataset():
    ax = self_similarity({"A": [0.05, 0.15, 0.15, 1.25], "B": [0.5, np.nan]}, bin_width=0.1)
    outlines = [patch for patch in ax.patches if not patch.get_fill()]
    shares, edges, _ = outlines[0].get_data()
    np.testing.assert_allclose(edges, np.arange(14) * 0.1)
    np.testing.assert_allclose(shares[[0, 1, 12]], [25.0, 50.0, 25.0])
    assert outlines[1].get_data()[0].sum() == pytest.approx(100.0)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["A: mean 0.40, n = 4", "B: mean 0.50, n = 1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"Dissimilarity $\lambda$", "ROI pairs (%)")
    assert ax.get_title(loc="left") == "Self-similarity\nn = ROI pairs, bins of 0.1"
    assert len(limit_line(ax)) == 1


def test_self_similarity__takes_a_single_array_or_matrix():
    ax = self_similarity(np.array([[0.2, 0.4], [0.4, 0.2]]))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mean 0.30, n = 4"]


def test_self_similarity__tells_many_datasets_apart():
    ax = self_similarity({f"dataset {n}": [0.1 * n] for n in range(16)})
    outlines = [patch for patch in ax.patches if not patch.get_fill()]
    looks = {(to_hex(patch.get_edgecolor()), patch.get_linestyle()) for patch in outlines}
    assert len(looks) == 16
    assert {colour for colour, _ in looks} == {colour.lower() for colour in SERIES}


def test_lambda_violins__are_sorted_and_colour_the_reference():
    ax = lambda_violins(LAMBDAS, "TIGIT NK")
    assert labels(ax) == [
        f"{name}\nmean {LAMBDAS[name].mean():.2f}, n = {LAMBDAS[name].size:,}"
        for name in ("TIGIT NK", "TIGIT CD4", "KIR2DL1")
    ]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    bodies = ax.collections[:3]
    assert [to_hex(body.get_facecolor()) for body in bodies] == ["#d55e00", "#0072b2", "#0072b2"]
    means = ax.collections[-1].get_offsets()[:, 0]
    np.testing.assert_allclose(means, sorted(values.mean() for values in LAMBDAS.values()))
    assert ax.get_title(loc="left").splitlines()[0] == "TIGIT NK against itself and 2 others"


def test_lambda_violins__mark_the_significance_limit():
    ax = lambda_violins({"A": [0.1, 0.2]}, "A")
    assert len(limit_line(ax)) == 1
    assert LIMIT in [text.get_text() for text in ax.texts]
    assert ax.get_xlim()[0] == 0
    assert ax.get_xlim()[1] > 1


def test_lambda_violins__outlines_of_quantiles_are_those_of_all_pairs(monkeypatch):
    values = np.concatenate([RNG.normal(0.5, 0.1, 20_000), RNG.normal(1.5, 0.2, 20_000)])
    drawn = lambda_violins({"A": values}, "A").collections[0].get_paths()[0].vertices
    monkeypatch.setattr(plots, "DRAWN_QUANTILES", 10**6)
    exact = lambda_violins({"A": values}, "A").collections[0].get_paths()[0].vertices
    # Heights are of 0.8; the place along lambda is the same.
    np.testing.assert_allclose(drawn, exact, atol=0.02)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5], [0.0, 0.0]])
def test_lambda_violins__draw_values_without_spread(values, tmp_path):
    ax = lambda_violins({"A": values, "B": [0.1, 0.9]}, "A")
    ax.figure.savefig(tmp_path / "figure.png")
    assert len(labels(ax)) == 2


def test_lambda_violins__need_the_reference_and_values():
    with pytest.raises(KeyError, match="reference is 'C': choose one of 'A', 'B'"):
        lambda_violins({"A": [1.0], "B": [1.0]}, "C")
    with pytest.raises(ValueError, match="dataset 'B' has no lambda: leave it out"):
        lambda_violins({"A": [1.0], "B": [np.nan]}, "A")


def test_self_similarity__needs_values():
    with pytest.raises(ValueError, match="dataset 'A' has no lambda"):
        self_similarity({"A": []})
    with pytest.raises(ValueError, match="0 datasets"):
        self_similarity({})
    with pytest.raises(ValueError, match=r"bins of 0\.0: give a dataset and a positive width"):
        self_similarity([1.0], bin_width=0.0)


def test_condition_heatmap__writes_readable_numbers_into_the_cells():
    values = np.linspace(0.0, 2.0, 256).reshape(16, 16)
    names = [f"condition {n}" for n in range(16)]
    ax = condition_heatmap(pd.DataFrame(values, names, names))
    assert [text.get_text() for text in ax.texts] == [f"{value:.2f}" for value in values.ravel()]
    for text, value in zip(ax.texts, values.ravel(), strict=True):
        assert contrast(text.get_color(), ax.images[0].to_rgba(value)) >= 4.5
    assert labels(ax) == names
    assert [label.get_text() for label in ax.get_xticklabels()] == names
    (colour_bar,) = ax.child_axes
    assert colour_bar.get_ylabel() == r"Mean dissimilarity $\lambda$"


def contrast(colour, other):
    """Contrast ratio of WCAG 2, which asks for 4.5."""

    def luminance(name):
        rgb = np.array(mpl.colors.to_rgb(tuple(name) if not isinstance(name, str) else name))
        return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [
            0.2126,
            0.7152,
            0.0722,
        ]

    dark, light = sorted((luminance(colour), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_condition_heatmap__shows_missing_means_in_grey():
    ax = condition_heatmap(MEANS)
    assert [text.get_text() for text in ax.texts] == ["0.40", "2.00", "2.00", "none"]
    np.testing.assert_array_equal(np.ma.getmaskarray(ax.images[0].get_array()), MEANS.isna())
    nothing = condition_heatmap(MEANS * np.nan)
    assert [text.get_text() for text in nothing.texts] == ["none"] * 4


def test_condition_heatmap__leaves_out_numbers_that_would_not_fit():
    names = [str(n) for n in range(17)]
    assert not condition_heatmap(pd.DataFrame(np.ones((17, 17)), names, names)).texts


@pytest.mark.parametrize(
    "means",
    [
        pd.DataFrame([[1.0, 2.0]], ["A"], ["A", "B"]),
        pd.DataFrame([[1.0, 2.0], [2.0, 1.0]], ["A", "B"], ["B", "A"]),
        pd.DataFrame(),
    ],
)
def test_condition_heatmap__needs_the_same_conditions_in_rows_and_columns(means):
    with pytest.raises(ValueError, match="give the same conditions in both, in the same order"):
        condition_heatmap(means)


def test_ranking__draws_bars_in_ascending_order():
    ax = ranking(HITS, title="Similar to A")
    assert labels(ax) == ["A", "B"]
    assert [bar.get_width() for bar in ax.patches] == [0.4, 1.2]
    (errors,) = ax.collections
    np.testing.assert_allclose([line[:, 0] for line in errors.get_segments()], [[0.3, 0.5], [0.9, 1.5]])
    assert ax.get_xlim()[1] > 1.5
    facts = "n = 2 datasets, 1,335 ROI pairs; error bars one standard deviation"
    assert ax.get_title(loc="left") == f"Similar to A\n{facts}"
    assert ax.get_xlabel() == r"Mean dissimilarity $\lambda$"
    assert len(limit_line(ax)) == 1


def test_ranking__takes_ids_without_titles_and_leaves_out_rows_without_scores():
    hits = pd.DataFrame({"dataset": ["b", "a", "c"], "mean": [1.2, 0.4, np.nan], "sd": [np.nan, 0.1, np.nan]})
    ax = ranking(hits)
    assert labels(ax) == ["a", "b"]
    assert ax.get_title(loc="left") == "n = 2 datasets; error bars one standard deviation"


def test_ranking__keeps_datasets_of_one_title_apart():
    hits = pd.DataFrame({"title": ["A", "A"], "mean": [0.5, 0.4], "sd": [0.1, 0.1]})
    assert [bar.get_width() for bar in ranking(hits).patches] == [0.4, 0.5]


def test_ranking__names_what_is_missing():
    with pytest.raises(KeyError, match=r"columns \['dataset', 'sd'\] are missing"):
        ranking(pd.DataFrame({"mean": [1.0]}))
    with pytest.raises(ValueError, match="none of 0 rows has a mean"):
        ranking(HITS.iloc[:0])
