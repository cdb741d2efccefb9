"""Timing, and the lakes that benchmarks are run on."""

import datetime as dt
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from compute.histogram import tile_histograms
from compute.simulate import PRESETS, simulate_roi
from jobs import pipeline
from lake import datasets, paths, tables
from lake.grid import Grid

SHARED_DATA = Path(os.environ.get("NANOLAKE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def best(function: Callable[[], Any], repeats: int = 5) -> float:
    """Return the shortest of some wall times, after one run that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def once(function: Callable[[], Any]) -> float:
    """Return the wall time of one run."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def simulated_histograms(n: int, seed: int = 0) -> np.ndarray:
    """Return histograms of ROIs with 1,200 localizations in 5 to 60 clusters, a different number in each."""
    rng = np.random.default_rng(seed)
    grid = Grid()
    presets = [p for name, p in PRESETS.items() if name.startswith("clusters-") and name[9:].isdigit()]
    rois = []
    for _ in range(n):
        preset = presets[rng.integers(len(presets))]
        rois.append(np.concatenate([simulate_roi(rng, preset), rng.uniform(0, grid.tile_nm, (300, 2))]))
    stops = np.cumsum([len(roi) for roi in rois])
    starts = stops - [len(roi) for roi in rois]
    xy = np.concatenate(rois)
    return tile_histograms(xy[:, 0], xy[:, 1], starts, stops, grid)


def add_datasets(lake_folder: Path, histograms: np.ndarray, rois_each: int, first: int = 0) -> None:
    """Register datasets of simulated histograms in a lake, as an ingest would, without localizations."""
    lake = pipeline.open_lake(lake_folder)
    rows = []
    for index, start in enumerate(range(0, len(histograms), rois_each), first):
        own = histograms[start : start + rois_each]
        name, version = f"simulated-{index:05d}", f"{index:016x}"
        prefix = paths.dataset(name, version)
        counts = (own * np.arange(1, own.shape[1] + 1)).sum(axis=1).astype(np.int64)
        sums = datasets.write_rois(lake.url, prefix, {"n_localizations": counts}, own)
        datasets.seal(lake.url, prefix, {"checksums": sums})
        rows.append(
            {
                "dataset": name,
                "title": name,
                "version": version,
                "revision": 1,
                "state": "live",
                "n_rois": len(own),
                "n_rois_occupied": int((counts > 0).sum()),
                "n_rois_dense": int((counts >= lake.parameters.thinning_target).sum()),
                "max_bin_count": int(np.flatnonzero(own.any(axis=0))[-1]) + 1,
                "ingested_at": dt.datetime.now(dt.UTC),
            }
        )
    version = tables.append(lake.url, "datasets", rows)
    now = dt.datetime.now(dt.UTC)
    row = {"run": f"bench-{first}", "kind": "ingest", "started_at": now, "finished_at": now}
    tables.append(lake.url, "runs", [row | {"datasets_version": version}])
