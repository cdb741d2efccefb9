"""The lambda kernel against scipy's Chebyshev distances, one thread, normalisation included."""

import numpy as np
from measuring import SHARED_DATA, best
from scipy.spatial.distance import cdist

from catalog.reading import read_tiled
from compute.similarity import Cdf, columns, critical_factor, cumulate, lambda_tile
from lake import collection
from lake.grid import Grid

N = 1024


def real_histograms() -> np.ndarray | None:
    """Return the histograms of the real collection's ROIs, None where it is absent."""
    if not SHARED_DATA.is_dir():
        return None
    parts = [
        read_tiled(file, Grid(), None, whole_field=False).histograms
        for folder in collection.find_datasets(SHARED_DATA / "collection")
        for file in folder.files
    ]
    width = max(part.shape[1] for part in parts)
    stacked = np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])
    stacked = stacked[stacked.any(axis=1)]
    return np.random.default_rng(0).permutation(stacked)[: 2 * N]


def full_support(k: int = 64) -> np.ndarray:
    """Return random histograms in which every count up to k occurs."""
    return np.random.default_rng(1).integers(1, 50, (2 * N, k))


def compare(histograms: np.ndarray, what: str, goal: float) -> dict:
    """Return the row for N x N pairs."""
    cdf = cumulate(histograms)
    half = len(cdf) // 2
    rows = Cdf(cdf.values[:half], cdf.occupied[:half], cdf.support[:half])
    cols = Cdf(cdf.values[half:], cdf.occupied[half:], cdf.support[half:])
    a, b = rows.values.astype(np.float64), cols.values.astype(np.float64)
    laid_out = columns(cols)
    ours = best(lambda: lambda_tile(rows, laid_out))
    peer = best(lambda: cdist(a, b, "chebyshev"), 3)
    reference = cdist(a, b, "chebyshev") / (
        critical_factor() * np.sqrt(1 / rows.occupied[:, None] + 1 / cols.occupied[None, :])
    )
    assert np.abs(lambda_tile(rows, laid_out) - reference).max() < 1e-5
    pairs = len(rows) * len(cols)
    return {
        "what": f"lambda kernel, {what}: {ours / pairs * 1e9:.2f} ns a pair, scipy cdist {peer / pairs * 1e9:.1f} ns",
        "seconds": ours,
        "peer": "scipy.spatial.distance.cdist(..., 'chebyshev')",
        "peer_seconds": peer,
        "ratio": peer / ours,
        "goal": f">= {goal:g} times faster",
        "met": peer / ours >= goal,
    }


def measure() -> list[dict]:
    """Return the rows."""
    rows = [compare(full_support(), "full support K = 64", 8)]
    real = real_histograms()
    if real is not None:
        rows.insert(0, compare(real, "real collection", 40))
    return rows
