"""Figures of localizations and of lambda, in one style.

Every function draws into `ax` where one is given, otherwise into a new figure of its own, and returns the
Axes: ``ax.figure.savefig("figure.pdf")`` writes it. Neither pyplot nor matplotlib's settings are touched.
The colours are those of Okabe and Ito, and the maps inferno and cividis: colour-blind readers can tell them
apart, and equal steps look equal. `title` is the first line above a figure; the numbers behind it follow.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from lake.grid import Grid

INK = "#222222"
REFERENCE = "#D55E00"
OTHER = "#0072B2"
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""Colours of datasets; beyond seven they come again, dashed."""
LAMBDA = r"Dissimilarity $\lambda$"
MEAN_LAMBDA = r"Mean dissimilarity $\lambda$"
LIMIT = r"$\lambda = 1$, significance limit ($\alpha = 0.05$)"
"""Beyond it two ROIs differ by a Kolmogorov-Smirnov test (doi:10.1038/s41467-025-63674-x, equations 1-5)."""

UM = "\N{MICRO SIGN}m"

MAX_BINS = 2**26
"""Largest image in bins: half a GB of counts."""

DRAWN_BINS = 500
"""Bins along the longer side of an image whose bins are not chosen: about what a printed figure resolves."""

MAX_NUMBERED = 16
"""Largest heatmap, in conditions, with room for a number in each cell."""

DRAWN_QUANTILES = 2_000
"""Values behind the outline of a violin. Of more pairs their quantiles give the same outline at once."""


def localization_image(
    x_nm: ArrayLike,
    y_nm: ArrayLike,
    *,
    bin_nm: float | None = None,
    extent_nm: tuple[float, float, float, float] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the number of localizations in each bin, with a scale bar.

    Parameters
    ----------
    x_nm, y_nm : (n,) array_like, nm
        Coordinates; those outside the extent and NaN are not counted.
    bin_nm : float, optional
        Side of a bin in nm; by default the smallest multiple of 30 that needs no more than 500 bins a side.
        Bins are those of the lake's grid, counted from the origin of the coordinates.
    extent_nm : (x_min, x_max, y_min, y_max), optional
        Field to draw in nm, widened to whole bins; by default that of the localizations.
    title, ax
        See the top of this module.

    Returns
    -------
    matplotlib.axes.Axes
        Axes in um, y downwards as in camera images. Colours go with the square root of the number, so that
        single localizations are seen beside clusters; the brightest 1 % of the occupied bins share one.

    Raises
    ------
    ValueError
        If there is neither a localization nor an extent, the extent is empty, or the bins exceed 2^26.

    Examples
    --------
    >>> localization_image([0.0, 10.0, 500.0], [0.0, 10.0, 400.0]).get_xlabel()
    'x (µm)'
    """
    counts, low_nm, bin_nm = _count_in_bins(x_nm, y_nm, extent_nm, bin_nm)
    low_um, high_um = low_nm / 1000, (low_nm + bin_nm * np.array(counts.shape[::-1])) / 1000
    brightest = max(1.0, float(np.percentile(counts[counts > 0], 99))) if counts.any() else 1.0
    size_in = 4 * (high_um - low_um) / np.max(high_um - low_um)
    ax = ax if ax is not None else _new_axes(size_in[0] + 1.6, size_in[1] + 0.9)
    borders = (low_um[0], high_um[0], high_um[1], low_um[1])
    image = ax.imshow(counts, cmap="inferno", norm=PowerNorm(0.5, 0, brightest), extent=borders)
    label = f"Localizations per {bin_nm:g} nm bin"
    bar = _colour_bar(image, ax, label, extend="max" if counts.max() > brightest else "neither")
    bar.locator = MaxNLocator(5, integer=True)
    _scale_bar(ax, high_um[0] - low_um[0])
    return _finish(ax, f"x ({UM})", f"y ({UM})", title, f"n = {counts.sum():,} localizations")


def self_similarity(
    lambdas: Mapping[str, ArrayLike] | ArrayLike,
    *,
    bin_width: float = 0.1,
    title: str = "Self-similarity",
    ax: Axes | None = None,
) -> Axes:
    """Draw histograms of lambda between the ROIs within datasets; several peaks show sub-populations.

    Parameters
    ----------
    lambdas : mapping of str to array_like, or array_like
        Lambda of the ROI pairs within each dataset by its name, or of one dataset. NaN is left out.
    bin_width : float
        Width of the histograms' bins.
    title, ax
        See the top of this module.

    Returns
    -------
    matplotlib.axes.Axes
        Per cent of the pairs over lambda.

    Raises
    ------
    ValueError
        If there is no dataset, a dataset has no finite value, or bin_width is not positive.

    Examples
    --------
    >>> self_similarity({"TIGIT": [0.3, 0.4, 0.5]}).get_ylabel()
    'ROI pairs (%)'
    """
    named = lambdas if isinstance(lambdas, Mapping) else {"": lambdas}
    values = {name: _finite(name, array) for name, array in named.items()}
    if not (values and bin_width > 0):
        raise ValueError(f"{len(values)} datasets, bins of {bin_width}: give a dataset and a positive width")
    ax = ax if ax is not None else _new_axes(5.6, 3.6)
    top = max(array.max() for array in values.values())
    edges = np.arange(np.floor(top / bin_width) + 2) * bin_width
    for index, (name, array) in enumerate(values.items()):
        colour, dash = SERIES[index % len(SERIES)], ("-", "--", ":")[index // len(SERIES) % 3]
        share = np.histogram(array, edges)[0] * (100 / array.size)
        label = f"{name}: mean {array.mean():.2f}, n = {array.size:,}".removeprefix(": ")
        ax.stairs(share, edges, fill=True, color=colour, alpha=0.12)
        ax.stairs(share, edges, color=colour, linestyle=dash, linewidth=1.5, label=label)
    _mark_limit(ax, top)
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=8, labelcolor=INK, edgecolor="none", framealpha=0.8)
    return _finish(ax, LAMBDA, "ROI pairs (%)", title, f"n = ROI pairs, bins of {bin_width:g}")


def lambda_violins(
    lambdas: Mapping[str, ArrayLike], reference: str, *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw lambda of a reference against itself and other datasets, the most similar one on top.

    Parameters
    ----------
    lambdas : mapping of str to array_like
        Lambda of the ROI pairs of the reference and each dataset, by the dataset's name; for the reference
        that is its self-similarity. NaN is left out.
    reference : str
        Name of the reference, which has a colour of its own.
    title, ax
        See the top of this module; by default the title names the reference.

    Returns
    -------
    matplotlib.axes.Axes
        Violins in ascending order of their means.

    Raises
    ------
    KeyError
        If the reference is not among the datasets.
    ValueError
        If a dataset has no finite value.

    Examples
    --------
    >>> ax = lambda_violins({"KIR2DL1": [1.1, 1.3], "TIGIT": [0.3, 0.5]}, "TIGIT")
    >>> [label.get_text().splitlines()[0] for label in ax.get_yticklabels()]
    ['TIGIT', 'KIR2DL1']
    """
    if reference not in lambdas:
        raise KeyError(f"reference is {reference!r}: choose one of {', '.join(map(repr, lambdas))}")
    values = {name: _finite(name, array) for name, array in lambdas.items()}
    names = sorted(values, key=lambda name: values[name].mean())
    ax = ax if ax is not None else _new_axes(5.6, 1.4 + 0.5 * len(names))
    places = np.arange(len(names))
    outlines = [_quantiles(values[name]) for name in names]
    form: Any = {"orientation": "horizontal", "showextrema": False, "bw_method": 0.2}
    violins: Any = ax.violinplot(outlines, places, widths=0.8, **form)
    for name, body in zip(names, violins["bodies"], strict=True):
        colour = REFERENCE if name == reference else OTHER
        body.set(facecolor=colour, edgecolor=INK, alpha=0.75, linewidth=0.6)
    quartiles = np.array([np.percentile(values[name], [25, 75]) for name in names])
    ax.hlines(places, quartiles[:, 0], quartiles[:, 1], color=INK, linewidth=3)
    means = [values[name].mean() for name in names]
    ax.scatter(means, places, s=18, color="white", edgecolors=INK, linewidths=0.8, zorder=3)
    _mark_limit(ax, max(array.max() for array in values.values()))
    labels = [f"{name}\nmean {values[name].mean():.2f}, n = {values[name].size:,}" for name in names]
    _list_downwards(ax, labels)
    title = title or f"{reference} against itself and {len(names) - 1} others"
    return _finish(ax, LAMBDA, "", title, "n = ROI pairs; white dot mean, bar quartiles")


def condition_heatmap(means: pd.DataFrame, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw the mean lambda of every pair of conditions.

    Parameters
    ----------
    means : pandas.DataFrame
        Square, with the same conditions in rows and columns. NaN (no ROI pairs) is grey.
    title, ax
        See the top of this module.

    Returns
    -------
    matplotlib.axes.Axes
        Heatmap from 0, with numbers up to 16 conditions; a line in the colour bar marks lambda = 1.

    Raises
    ------
    ValueError
        If the table is empty, or its rows and columns are not the same conditions in the same order.

    Examples
    --------
    >>> ax = condition_heatmap(pd.DataFrame([[0.4, 1.2], [1.2, 0.5]], ["A", "B"], ["A", "B"]))
    >>> [text.get_text() for text in ax.texts]
    ['0.40', '1.20', '1.20', '0.50']
    """
    if means.empty or list(means.index) != list(means.columns):
        shape = f"rows {list(means.index)} and columns {list(means.columns)}"
        raise ValueError(f"the table has {shape}: give the same conditions in both, in the same order")
    names, values = [str(name) for name in means.index], means.to_numpy(dtype=np.float64)
    ax = ax if ax is not None else _new_axes(3.0 + 0.5 * len(names), 1.8 + 0.5 * len(names))
    cividis = mpl.colormaps["cividis"].with_extremes(bad="#cccccc")
    top = max(1.0, float(np.nanmax(values, initial=0.0)))
    image = ax.imshow(np.ma.masked_invalid(values), cmap=cividis, vmin=0, vmax=top)
    bar = _colour_bar(image, ax, MEAN_LAMBDA)
    bar.ax.axhline(1.0, color="white", linewidth=1.5)
    if len(names) <= MAX_NUMBERED:
        for (row, column), value in np.ndenumerate(values):
            text = f"{value:.2f}" if np.isfinite(value) else "none"
            colour = _readable_on(image.to_rgba(value)) if np.isfinite(value) else INK
            ax.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    return _finish(ax, "", "", title, f"n = {len(names)} conditions; white line: " + r"$\lambda = 1$")


def ranking(hits: pd.DataFrame, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw a list of similar datasets as bars, the most similar one on top.

    Parameters
    ----------
    hits : pandas.DataFrame
        Columns `title` or `dataset`, `mean` and `sd` of lambda, as `Catalog.similar` returns them, and
        `n_pairs` where it is known. Rows without a mean are left out.
    title, ax
        See the top of this module.

    Returns
    -------
    matplotlib.axes.Axes
        Bars of the mean, with one standard deviation.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If no row has a mean.

    Examples
    --------
    >>> ax = ranking(pd.DataFrame({"title": ["B", "A"], "mean": [1.2, 0.4], "sd": [0.3, 0.1]}))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['A', 'B']
    """
    name = "title" if "title" in hits.columns else "dataset"
    if missing := sorted({name, "mean", "sd"} - set(hits.columns)):
        raise KeyError(f"columns {missing} are missing: hits need 'title' or 'dataset', 'mean' and 'sd'")
    ranked = hits.dropna(subset=["mean"]).sort_values("mean", kind="stable")
    if ranked.empty:
        raise ValueError(f"none of {len(hits)} rows has a mean: give at least one dataset with a score")
    mean, sd = ranked["mean"].to_numpy(dtype=np.float64), ranked["sd"].to_numpy(dtype=np.float64)
    ax = ax if ax is not None else _new_axes(5.6, 1.3 + 0.3 * len(ranked))
    places = np.arange(len(ranked))
    ax.barh(places, mean, height=0.7, color=OTHER, alpha=0.75)
    ax.errorbar(mean, places, xerr=sd, fmt="none", ecolor=INK, elinewidth=1, capsize=2.5)
    _mark_limit(ax, float(np.nanmax(mean + np.nan_to_num(sd))))
    _list_downwards(ax, [str(label) for label in ranked[name]])
    pairs = f", {int(ranked['n_pairs'].sum()):,} ROI pairs" if "n_pairs" in ranked.columns else ""
    facts = f"n = {len(ranked)} datasets{pairs}; error bars one standard deviation"
    return _finish(ax, MEAN_LAMBDA, "", title, facts)


def _new_axes(width_in: float, height_in: float) -> Axes:
    return Figure(figsize=(width_in, height_in), dpi=150, layout="constrained").subplots()


def _finish(ax: Axes, x_label: str, y_label: str, title: str, facts: str) -> Axes:
    """Give the Axes its labels and the style that all figures share."""
    ax.set_xlabel(x_label, fontsize=9, color=INK)
    ax.set_ylabel(y_label, fontsize=9, color=INK)
    # Above the limit's label, where there is one.
    pad = 16 if any(text.get_text() == LIMIT for text in ax.texts) else 6
    ax.set_title("\n".join(filter(None, (title, facts))), loc="left", fontsize=9, color=INK, pad=pad)
    ax.tick_params(labelsize=8, colors=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(INK)
    return ax


def _colour_bar(image: AxesImage, ax: Axes, label: str, extend: str = "neither") -> Colorbar:
    """Draw a colour bar as high as the image beside it."""
    figure = ax.get_figure(root=True)
    assert figure is not None, "an Axes that was drawn on has a figure"
    bar = figure.colorbar(image, cax=ax.inset_axes((1.03, 0.0, 0.035, 1.0)), extend=extend)
    bar.set_label(label, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.outline.set_visible(False)
    return bar


def _list_downwards(ax: Axes, labels: Sequence[str]) -> None:
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def _mark_limit(ax: Axes, top: float) -> None:
    """Draw lambda from 0 to beyond the limit, with a labelled line at the limit."""
    right = max(1.2, 1.04 * top)
    ax.set_xlim(0, right)
    ax.axvline(1.0, color=INK, linestyle="--", linewidth=1, zorder=1.5)
    above: Any = {"transform": ax.get_xaxis_transform(), "ha": "left" if right > 2 else "right"}
    ax.text(1.0, 1.01, LIMIT, va="bottom", fontsize=8, color=INK, **above)


def _scale_bar(ax: Axes, width_um: float) -> None:
    """Draw a bar of 1, 2 or 5 times a power of ten um, at most a quarter of the image, on a dark plate."""
    power = 10.0 ** np.floor(np.log10(width_um / 4))
    length_um = max(step for step in (1, 2, 5) if step * power <= width_um / 4) * power
    length = length_um / width_um
    whole: Any = {"transform": ax.transAxes}
    ax.add_patch(Rectangle((0.03, 0.03), length + 0.04, 0.1, color="black", alpha=0.6, **whole))
    ax.add_patch(Rectangle((0.05, 0.045), length, 0.012, color="white", **whole))
    ax.text(0.05 + length / 2, 0.065, f"{length_um:g} {UM}", ha="center", color="white", fontsize=8, **whole)


def _count_in_bins(
    x_nm: ArrayLike, y_nm: ArrayLike, extent_nm: tuple[float, ...] | None, bin_nm: float | None
) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Return the counts (rows, columns), the lower corner in nm (2,), and the side of the bins."""
    xy = np.stack([np.asarray(x_nm, dtype=np.float64), np.asarray(y_nm, dtype=np.float64)], axis=1)
    xy = xy[np.isfinite(xy).all(axis=1)]
    if extent_nm is None and not xy.size:
        raise ValueError("there are no localizations: give some, or an extent_nm to draw")
    low, high = (xy.min(axis=0), xy.max(axis=0)) if extent_nm is None else np.reshape(extent_nm, (2, 2)).T
    if extent_nm is not None and not (np.isfinite(extent_nm).all() and np.all(low < high)):
        raise ValueError(f"extent_nm is {extent_nm}: give x_min < x_max and y_min < y_max in nm")
    grid = Grid(30.0 * max(1, np.ceil(np.max(high - low) / 30.0 / DRAWN_BINS)) if bin_nm is None else bin_nm)
    first, last = grid.bins(low), grid.bins(high) if extent_nm is None else -grid.bins(-high) - 1
    shape = last - first + 1
    if np.prod(shape) > MAX_BINS:
        bins = f"{shape[0]} x {shape[1]} bins of {grid.bin_nm:g} nm"
        raise ValueError(f"{bins} are too many: raise bin_nm, or draw a part")
    own = grid.bins(xy) - first
    column, row = own[np.all((own >= 0) & (own < shape), axis=1)].T
    counts = np.bincount(row * shape[0] + column, minlength=np.prod(shape)).reshape(shape[::-1])
    return counts, first * grid.bin_nm, grid.bin_nm


def _finite(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    array = array[np.isfinite(array)]
    if not array.size:
        raise ValueError(f"dataset {name!r} has no lambda: leave it out, or score it first")
    return array


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.quantile(values, np.linspace(0, 1, min(values.size, DRAWN_QUANTILES)))


def _readable_on(rgba: ArrayLike) -> str:
    """Return black or white, whichever has more contrast with a background (WCAG 2 luminance)."""
    rgb = np.asarray(rgba, dtype=np.float64)[:3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return "white" if linear @ [0.2126, 0.7152, 0.0722] < 0.179 else "black"
