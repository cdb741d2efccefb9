"""Exact thinning against the paper's 100 random subsamples."""

import numpy as np
from measuring import best, once, simulated_histograms

from compute.thinning import thin_exact, thin_monte_carlo


def measure() -> list[dict]:
    """Return the row."""
    histograms = simulated_histograms(200)
    ours = best(lambda: thin_exact(histograms, 900))
    seeds = [np.random.SeedSequence([0, i]) for i in range(len(histograms))]
    thin_monte_carlo(histograms[:2], 900, 2, seeds[:2])
    peer = once(lambda: thin_monte_carlo(histograms, 900, 100, seeds))
    return [
        {
            "what": f"exact thinning of 200 ROIs: {ours / 200 * 1e6:.1f} us a ROI",
            "seconds": ours,
            "peer": "Monte Carlo, 100 repeats",
            "peer_seconds": peer,
            "ratio": peer / ours,
            "goal": ">= 20 times faster",
            "met": peer / ours >= 20,
        }
    ]
