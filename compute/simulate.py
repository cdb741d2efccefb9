"""Simulated localizations in one tile: clusters, fibres, uniform background and mixtures of them.

The recipes are those of the nano-org paper (doi:10.1038/s41467-025-63674-x, Methods, "Data simulations").
Where the paper leaves a choice open, the choice made here is a parameter or stands in the docstring.
Every function returns coordinates inside the half-open tile [0, tile_nm) x [0, tile_nm), and exactly as many
localizations as asked for, because a localization that falls outside is drawn again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from lake.grid import Grid

type Coordinates = NDArray[np.float64]
type Sampler = Callable[[Generator, int], Coordinates]
type Orientation = Literal["random", "parallel"]
type Placement = Literal["random", "even"]

TILE_NM = Grid().tile_nm
"""Side of the tile that is filled, in nm: the default tile of a lake."""

PRECISION_SPREAD = 0.3
"""Standard deviation of ln(precision); that of ln(photons) is twice as much: precision is 1/sqrt(photons)."""


def uniform(rng: Generator, total: int, tile_nm: float = TILE_NM) -> Coordinates:
    """Draw localizations without any structure (complete spatial randomness).

    Parameters
    ----------
    rng : numpy.random.Generator
    total : int
        Number of localizations.
    tile_nm : float
        Side of the tile in nm.

    Returns
    -------
    (total, 2) float64, nm
        Localizations.

    Raises
    ------
    ValueError
        If total is negative or tile_nm is not positive.

    Examples
    --------
    >>> uniform(np.random.default_rng(0), 3).shape
    (3, 2)
    """
    _check(total, tile_nm)
    return _inside(rng.random((total, 2)) * tile_nm, tile_nm)


def gaussian_clusters(
    rng: Generator, n_clusters: int, total: int, sigma_nm: ArrayLike = 30.0, tile_nm: float = TILE_NM
) -> Coordinates:
    """Draw localizations in Gaussian clusters at uniformly random positions.

    The clusters share the localizations as equally as whole numbers allow. For p localizations a cluster ask
    for a total of p * n_clusters.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_clusters, total : int
        Numbers of clusters, at least 1, and of localizations.
    sigma_nm : float or (2,) array_like, nm
        Standard deviation of a cluster; one for each axis gives elongated clusters.
    tile_nm : float
        Side of the tile in nm.

    Returns
    -------
    (total, 2) float64, nm
        Localizations, cluster after cluster.

    Raises
    ------
    ValueError
        If n_clusters is below 1, total or sigma_nm negative, or tile_nm not positive.

    Examples
    --------
    >>> gaussian_clusters(np.random.default_rng(0), n_clusters=10, total=900).shape
    (900, 2)
    """
    if n_clusters < 1:
        raise ValueError(f"n_clusters is {n_clusters}: ask for at least one, or for uniform localizations")
    _check(total, tile_nm)
    centres = uniform(rng, n_clusters, tile_nm)
    cluster = np.arange(total) * n_clusters // max(total, 1)
    return _scatter(rng, centres[cluster], sigma_nm, tile_nm)


def fibres(
    rng: Generator,
    n_fibres: int,
    total: int,
    orientation: Orientation = "random",
    placement: Placement = "random",
    width_nm: float = 10.0,
    tile_nm: float = TILE_NM,
) -> Coordinates:
    """Draw localizations along straight fibres, as of a cytoskeleton.

    All fibres are labelled alike: each localization falls on any nanometre of fibre with equal probability,
    so longer fibres carry more of them.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_fibres, total : int
        Numbers of fibres, at least 1, and of localizations.
    orientation : {'random', 'parallel'}
        Every fibre with its own direction, or all with the same one (itself random).
    placement : {'random', 'even'}
        Distances from the centre of the tile that are random, or equally spaced.
    width_nm : float
        Standard deviation of the distance from the fibre's axis in nm.
    tile_nm : float
        Side of the tile in nm.

    Returns
    -------
    (total, 2) float64, nm
        Localizations, fibre after fibre.

    Raises
    ------
    ValueError
        If n_fibres is below 1, total or width_nm negative, tile_nm not positive, or a word is not known.

    Examples
    --------
    >>> fibres(np.random.default_rng(0), n_fibres=8, total=900, orientation="parallel").shape
    (900, 2)
    """
    if n_fibres < 1:
        raise ValueError(f"n_fibres is {n_fibres}: ask for at least one, or for uniform localizations")
    _check(total, tile_nm)
    if orientation not in ("random", "parallel") or placement not in ("random", "even"):
        words = f"orientation is {orientation!r} and placement {placement!r}"
        raise ValueError(f"{words}: choose 'random' or 'parallel', and 'random' or 'even'")
    ends = _fibre_lines(rng, n_fibres, orientation, placement, tile_nm)
    along = ends[:, 1] - ends[:, 0]
    length_nm = np.hypot(along[:, 0], along[:, 1])
    fibre = np.repeat(np.arange(n_fibres), rng.multinomial(total, length_nm / length_nm.sum()))
    axis = ends[fibre, 0] + rng.random((total, 1)) * along[fibre]
    return _scatter(rng, np.clip(axis, 0.0, tile_nm), width_nm, tile_nm)


def mixture(rng: Generator, total: int, parts: Sequence[tuple[float, Sampler]]) -> Coordinates:
    """Draw localizations of several kinds, in fixed proportions.

    Parameters
    ----------
    rng : numpy.random.Generator
    total : int
        Number of localizations.
    parts : sequence of (fraction, sampler)
        The fractions add up to 1; a sampler takes the generator and a number n and returns (n, 2) nm.

    Returns
    -------
    (total, 2) float64, nm
        Localizations, part after part. The numbers are rounded so that they add up to total.

    Raises
    ------
    ValueError
        If total is negative, a fraction is negative, or the fractions do not add up to 1.

    Examples
    --------
    >>> halves = [(0.5, uniform), (0.5, lambda rng, n: gaussian_clusters(rng, 3, n))]
    >>> mixture(np.random.default_rng(0), 901, halves).shape
    (901, 2)
    """
    fractions = np.array([fraction for fraction, _ in parts], dtype=np.float64)
    if total < 0:
        raise ValueError(f"total is {total}: ask for 0 localizations or more")
    if not (np.all(fractions >= 0) and np.isclose(fractions.sum(), 1.0)):
        raise ValueError(f"the fractions are {fractions.tolist()}: they need to be positive and add up to 1")
    borders = np.rint(np.cumsum(fractions) * total).astype(np.int64)
    counts = np.diff(borders, prepend=0)
    drawn = [sampler(rng, int(n)) for n, (_, sampler) in zip(counts, parts, strict=True) if n > 0]
    return np.concatenate(drawn) if drawn else np.empty((0, 2))


def localization_error(
    rng: Generator, xy_nm: Coordinates, precision_nm: float, tile_nm: float = TILE_NM
) -> tuple[Coordinates, NDArray[np.float64]]:
    """Move molecules to where a microscope would localize them.

    Each precision is drawn from a log-normal distribution, as photon counts vary from blink to blink, and the
    error of the localization is Gaussian with that standard deviation.

    Parameters
    ----------
    rng : numpy.random.Generator
    xy_nm : (n, 2) float64, nm
        True positions, inside the tile.
    precision_nm : float
        Median precision in nm; with 0 the positions stay as they are.
    tile_nm : float
        Side of the tile in nm; localizations stay inside.

    Returns
    -------
    (n, 2) float64, nm
        Localizations.
    (n,) float64, nm
        Precision of each.

    Raises
    ------
    ValueError
        If precision_nm is negative or not finite, or a position lies outside the tile.

    Examples
    --------
    >>> xy_nm, precision_nm = localization_error(np.random.default_rng(0), np.full((4, 2), 1500.0), 10.0)
    >>> xy_nm.shape, precision_nm.shape
    ((4, 2), (4,))
    """
    precision = precision_nm * np.exp(PRECISION_SPREAD * rng.standard_normal(len(xy_nm)))
    return _scatter(rng, xy_nm, precision[:, None], tile_nm), precision


@dataclass(frozen=True)
class Preset:
    """A recipe for the ROIs of one condition: clusters, fibres, and the rest uniform.

    Attributes
    ----------
    clustered, fibrous : float
        Fractions of the localizations that lie in clusters and on fibres; what is left of 1 is uniform.
    n_clusters, n_fibres : tuple of int
        Numbers of clusters and fibres; each ROI takes one of them with equal probability. One number makes a
        homogeneous condition, a range a variable one, two numbers two sub-populations.
    cluster_sigma_nm : float
        Standard deviation of a cluster in nm.
    orientation, placement, fibre_width_nm
        As in :func:`fibres`.
    total : int
        Localizations in a ROI.

    Raises
    ------
    ValueError
        If a fraction is negative, their sum exceeds 1, or a number of clusters or fibres is missing.

    Examples
    --------
    >>> Preset(clustered=0.5, n_clusters=(10,)).total
    900
    """

    clustered: float = 0.0
    fibrous: float = 0.0
    n_clusters: tuple[int, ...] = ()
    cluster_sigma_nm: float = 30.0
    n_fibres: tuple[int, ...] = ()
    orientation: Orientation = "random"
    placement: Placement = "random"
    fibre_width_nm: float = 10.0
    total: int = 900

    @property
    def unstructured(self) -> float:
        """Fraction of the localizations that is uniform."""
        return round(1.0 - self.clustered - self.fibrous, 12)  # 1 - 0.9 - 0.1 is below 0

    def __post_init__(self) -> None:
        if min(self.clustered, self.fibrous, self.unstructured) < 0:
            fractions = f"{self.clustered} clustered and {self.fibrous} fibrous"
            raise ValueError(f"the fractions are {fractions}: they need to be positive and at most 1 together")
        if (self.clustered > 0 and not self.n_clusters) or (self.fibrous > 0 and not self.n_fibres):
            numbers = f"n_clusters is {self.n_clusters} and n_fibres {self.n_fibres}"
            raise ValueError(f"{numbers}: a part with a fraction above 0 needs at least one number")


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {f"clusters-{n}": Preset(clustered=1.0, n_clusters=(n,)) for n in (10, 12, 15, 20, 30, 60, 90)}
    | {
        "clusters-variable": Preset(clustered=1.0, n_clusters=tuple(range(5, 16))),
        "clusters-two-populations": Preset(clustered=1.0, n_clusters=(10, 30)),
        "fibres-random": Preset(fibrous=1.0, n_fibres=(10,)),
        "fibres-parallel": Preset(fibrous=1.0, n_fibres=(10,), orientation="parallel", placement="even"),
        "mixture": Preset(clustered=0.5, fibrous=0.5, n_clusters=(10,), n_fibres=(10,)),
        "uniform": Preset(),
    }
)
"""The paper's simulated conditions by name: 900 localizations a ROI (100 per um2) in clusters of 30 nm as in
Fig. 2b, and heterogeneous numbers of clusters as in Fig. S4. What the paper does not state is ours: numbers
and width of fibres, and the numbers of clusters of the heterogeneous conditions."""


def simulate_roi(rng: Generator, preset: Preset, tile_nm: float = TILE_NM) -> Coordinates:
    """Draw the localizations of one ROI.

    Parameters
    ----------
    rng : numpy.random.Generator
        One generator a ROI makes ROIs independent of their order.
    preset : Preset
        The recipe.
    tile_nm : float
        Side of the tile in nm.

    Returns
    -------
    (preset.total, 2) float64, nm
        Localizations inside [0, tile_nm), without localization error.

    Raises
    ------
    ValueError
        If a number of the preset is out of its range.

    Examples
    --------
    >>> simulate_roi(np.random.default_rng(0), PRESETS["clusters-12"]).shape
    (900, 2)
    """

    def clusters(rng: Generator, n: int) -> Coordinates:
        n_clusters = int(rng.choice(preset.n_clusters))
        return gaussian_clusters(rng, n_clusters, n, preset.cluster_sigma_nm, tile_nm)

    def lines(rng: Generator, n: int) -> Coordinates:
        form = (preset.orientation, preset.placement, preset.fibre_width_nm)
        return fibres(rng, int(rng.choice(preset.n_fibres)), n, *form, tile_nm)

    parts: list[tuple[float, Sampler]] = [(preset.clustered, clusters), (preset.fibrous, lines)]
    parts.append((preset.unstructured, partial(uniform, tile_nm=tile_nm)))
    return mixture(rng, preset.total, parts)


def _scatter(rng: Generator, centres_nm: Coordinates, sigma_nm: ArrayLike, tile_nm: float) -> Coordinates:
    """Draw one Gaussian localization around each centre (n, 2); a sigma_nm of 0 returns the centres.

    Drawing again what falls outside gives the truncated normal distribution, here drawn by inversion.
    """
    sigma = np.broadcast_to(np.asarray(sigma_nm, dtype=np.float64), centres_nm.shape)
    if not np.all(np.isfinite(sigma) & (sigma >= 0)):
        raise ValueError(f"the spread is {sigma_nm!r} nm: it needs to be finite and at least 0 nm")
    if not np.all((centres_nm >= 0) & (centres_nm <= tile_nm)):
        raise ValueError(f"a position lies outside the tile [0, {tile_nm:g}] nm: shift it into the tile")
    # The smallest positive number instead of 0 makes the limits infinite, and the localization its centre.
    width = np.maximum(sigma, np.finfo(np.float64).tiny)
    with np.errstate(over="ignore"):
        low, high = ndtr(-centres_nm / width), ndtr((tile_nm - centres_nm) / width)
    # A draw of exactly 0 or 1 would be infinite; no double falls beyond 40 standard deviations.
    normal = np.clip(ndtri(low + rng.random(centres_nm.shape) * (high - low)), -40.0, 40.0)
    return _inside(centres_nm + sigma * normal, tile_nm)


def _fibre_lines(
    rng: Generator, n_fibres: int, orientation: Orientation, placement: Placement, tile_nm: float
) -> Coordinates:
    """Draw straight fibres across the tile and return both ends of each, (n_fibres, 2, 2) in nm."""
    angles = rng.random(n_fibres if orientation == "random" else 1) * np.pi
    direction = np.broadcast_to(np.stack([np.cos(angles), np.sin(angles)], axis=1), (n_fibres, 2))
    even = (np.arange(n_fibres) + rng.random()) / n_fibres
    position = even if placement == "even" else rng.random(n_fibres)
    # A line meets the tile when its distance from the centre is below half the tile's extent across the line.
    distance_nm = (position - 0.5) * tile_nm * np.abs(direction).sum(axis=1)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    foot = tile_nm / 2 + distance_nm[:, None] * normal
    with np.errstate(divide="ignore"):
        reach = np.sort(np.stack([-foot / direction, (tile_nm - foot) / direction]), axis=0)
    span = np.stack([reach[0].max(axis=1), reach[1].min(axis=1)], axis=1)
    ends: Coordinates = np.clip(foot[:, None, :] + span[:, :, None] * direction[:, None, :], 0.0, tile_nm)
    return ends


def _check(count: int, tile_nm: float) -> None:
    """Refuse a negative number of localizations and a tile without a side."""
    if count < 0:
        raise ValueError(f"total is {count}: ask for 0 localizations or more")
    if not (tile_nm > 0 and np.isfinite(tile_nm)):
        raise ValueError(f"tile_nm is {tile_nm}: a tile needs a positive side in nm")


def _inside(xy_nm: Coordinates, tile_nm: float) -> Coordinates:
    """Move what rounding has put on the tile's upper border to the last number below it."""
    return np.clip(xy_nm, 0.0, np.nextafter(tile_nm, 0.0))
