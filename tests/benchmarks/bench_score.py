"""A whole score, everything persisted, against scipy's distances in memory; and an incremental one against it."""

import tempfile
from pathlib import Path

import numpy as np
from measuring import add_datasets, once, simulated_histograms
from scipy.spatial.distance import cdist

from compute.similarity import cumulate
from jobs import pipeline

ROIS, EACH, NEW = 20_000, 500, 200
_SAMPLE = 2_000


def measure() -> list[dict]:
    """Return the rows."""
    histograms = simulated_histograms(ROIS + NEW)
    values = cumulate(histograms[:ROIS]).values.astype(np.float64)
    # cdist is timed on a tenth of the rows: its time is proportional to them, and the whole would take 3 GB.
    peer = once(lambda: cdist(values[:_SAMPLE], values, "chebyshev")) * ROIS / _SAMPLE
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        pipeline.init(lake)
        add_datasets(lake, histograms[:1000], EACH)
        pipeline.score(lake, workers=2)  # compiles, and leaves what a first run must start
        lake = Path(folder) / "lake2"
        pipeline.init(lake)
        add_datasets(lake, histograms[:ROIS], EACH)
        full = {}
        seconds = once(lambda: full.setdefault("runs", pipeline.score(lake, workers=2)))
        add_datasets(lake, histograms[ROIS:], NEW, first=ROIS // EACH)
        incremental = {}
        more = once(lambda: incremental.setdefault("runs", pipeline.score(lake, workers=2)))
        nothing = once(lambda: pipeline.score(lake, workers=2))
    compute_full, compute_more = full["runs"][0].seconds, incremental["runs"][0].seconds
    pairs = full["runs"][0].n_pairs
    return [
        {
            "what": f"score of {ROIS:,} ROIs, both modes, persisted, 2 workers ({pairs / seconds / 1e6:.0f} M pairs/s)",
            "seconds": seconds,
            "peer": "cdist of one mode, in memory, one thread, extrapolated from a tenth of the rows",
            "peer_seconds": peer,
            "ratio": peer / seconds,
            "goal": "> 1 times faster",
            "met": peer > seconds,
        },
        {
            "what": f"incremental score of {NEW} ROIs ({more:.2f} s in all; {nothing:.2f} s when nothing is new)",
            "seconds": compute_more,
            "peer": "the full run, without the start of the cluster",
            "peer_seconds": compute_full,
            "ratio": compute_more / compute_full,
            "goal": "<= 0.05 + start",
            "met": compute_more / compute_full <= 0.05,
        },
    ]
