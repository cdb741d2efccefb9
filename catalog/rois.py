"""The ROIs that are scored in a mode, and their histograms, thinned where the mode says so."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute import thinning
from lake import datasets, paths
from lake.parameters import Parameters


def scored(n_localizations: NDArray[Any], mode: str, parameters: Parameters) -> NDArray[np.int64]:
    """Return the ROIs that are scored: those with localizations, or with enough to be thinned.

    Raises
    ------
    ValueError
        If there is no such mode.
    """
    if mode not in paths.MODES:
        raise ValueError(f"mode is {mode!r}; choose one of {', '.join(paths.MODES)}")
    at_least = parameters.thinning_target if mode == "thinned" else 1
    return np.flatnonzero(n_localizations >= at_least).astype(np.int64)


def roi_histograms(
    url: str, dataset: tuple[str, str], mode: str, parameters: Parameters, start: int, stop: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the histograms of some scored ROIs of a dataset, thinned in the thinned mode, and their indices.

    Parameters
    ----------
    url : str
        The lake.
    dataset : (dataset, version)
        The dataset.
    mode : str
        One of :data:`lake.paths.MODES`.
    parameters : Parameters
        Of the generation.
    start, stop : int
        Which of the ROIs that are scored in the mode.
    """
    prefix = paths.dataset(*dataset)
    counts = datasets.read_array(url, f"{prefix}/rois/n_localizations")
    roi = scored(counts, mode, parameters)[start:stop]
    stored = np.asarray(datasets.open_array(url, f"{prefix}/histograms")[roi[0] : roi[-1] + 1])
    chosen = stored[roi - roi[0]]
    if mode == "unthinned":
        return chosen, roi
    return thin(chosen, dataset, roi, parameters), roi


def thin(
    histograms: NDArray[Any], dataset: tuple[str, str], roi: NDArray[np.int64], parameters: Parameters
) -> NDArray[np.float64]:
    """Thin histograms as the generation's parameters say; a ROI's seed follows from the run's and from the ROI."""
    target = parameters.thinning_target
    if parameters.thinning == "exact":
        return thinning.thin_exact(histograms, target)
    # A version that came back after it was retired has a number after its hash; its ROIs are the same.
    name = "/".join((dataset[0], dataset[1].split("-")[0]))
    identity = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], np.uint32)
    seeds = [np.random.SeedSequence([parameters.seed, *identity.tolist(), int(i)]) for i in roi]
    return thinning.thin_monte_carlo(histograms, target, parameters.thinning_repeats, seeds)
