"""Score: plan what is missing, have the workers compute it, merge the scores, publish them in one row."""

import contextlib
import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compute import scores
from compute.scores import PartialScores
from jobs import plan as plans
from jobs import score_tasks
from jobs.cluster import Workers
from jobs.plan import Plan
from jobs.progress import progress_bar
from jobs.runs import run_row
from lake import datasets, paths, storage, tables
from lake import similarity as panels
from lake.parameters import Lake
from lake.tables import AlreadyCommittedError

MEMORY_SHARE = 0.5
"""Part of a worker's memory that a tile may take; the rest is Python, its libraries and caches."""

Cluster = Callable[[], AbstractContextManager[Workers]]


@dataclass(frozen=True)
class Scored:
    """What a scoring run did.

    Attributes
    ----------
    generation, run : str
        Where its panels are.
    n_datasets, n_pairs, n_tiles : int
        Datasets added, ROI pairs compared and tiles written, in both modes.
    seconds : float
        Wall time, without the start of the cluster.
    resumed : int
        Tasks that an interrupted run had finished.
    thinning_density_per_um2 : float
        Density of the thinned mode in this generation.
    """

    generation: str
    run: str
    n_datasets: int
    n_pairs: int
    n_tiles: int
    seconds: float
    resumed: int
    thinning_density_per_um2: float


def score(
    lake: Lake,
    cluster: Cluster,
    *,
    full: bool = False,
    overrides: dict[str, Any] | None = None,
    tile: int = plans.TILE,
) -> list[Scored]:
    """Score what is missing; return the runs that this took, none if all was there.

    An interrupted run is finished first, as it was planned; what arrived since is scored by the next one.

    Parameters
    ----------
    lake : Lake
        The lake.
    cluster : callable
        Starts the workers.
    full : bool
        Score everything anew, in a new generation.
    overrides : dict, optional
        Parameters of a new generation that differ from the lake's.
    tile : int
        ROIs along the side of a lambda tile.

    Raises
    ------
    ValueError
        If a tile does not fit into a worker's memory.
    """
    runs: list[Scored] = []
    while True:
        fresh = plans.make_plan(lake, full=full and not runs, overrides=overrides or {}, tile=tile)
        if fresh is None:
            return runs
        plan = plans.unfinished(lake, fresh) or fresh
        try:
            runs.append(_run(lake, plan, cluster))
        except AlreadyCommittedError:
            # Another scorer published this place in the generation first: see what is left to do.
            full = False


def _run(lake: Lake, plan: Plan, cluster: Cluster) -> Scored:
    started = dt.datetime.now(dt.UTC)
    with cluster() as workers:
        plans.check_memory(plan, int(workers.memory_bytes * MEMORY_SHARE))
        clock = time.monotonic()
        storage.create(lake.url, paths.plan(plan.generation, plan.run), plans.encode(plan))
        create_panels(lake, plan)
        done = finished_tasks(lake, plan)
        compute(lake, plan, workers, done)
        count = workers.count
    merge_and_publish(lake, plan, started, count)
    return Scored(
        plan.generation,
        plan.run,
        len(plan.datasets),
        plan.n_pairs(),
        plan.n_tiles(),
        time.monotonic() - clock,
        len(done),
        plan.scoring.thinning_density_per_um2,
    )


def create_panels(lake: Lake, plan: Plan) -> None:
    """Make the panels of a run."""
    for mode in paths.MODES:
        panel = plan.panel(mode)
        if not panel.n_new:
            continue
        width = plan.width if mode == "unthinned" else min(plan.width, plan.scoring.thinning_target)
        panels.create_panel(
            lake.url,
            plan.panel_path(mode),
            (panel.n_new, panel.n_columns),
            width,
            plan.tile,
            plan.scoring.lambda_dtype,
        )


def finished_tasks(lake: Lake, plan: Plan) -> set[str]:
    """Return the objects that finished tasks of a run have left."""
    return {key for key, _, _ in storage.keys(lake.url, paths.partials(plan.generation, plan.run))}


def compute(lake: Lake, plan: Plan, workers: Workers, done: set[str]) -> None:
    """Run the tasks that are missing: first the histogram blocks, then the lambda tiles, of both modes."""
    place = (lake.url, plan.generation, plan.run)

    def missing(mode: str, name: str) -> bool:
        return paths.partial(plan.generation, plan.run, mode, name) not in done

    cdfs = [
        (score_tasks.cdf_task, (*place, mode, block), 0)
        for mode in paths.MODES
        for block in range(plan.panel(mode).row_blocks)
        if missing(mode, score_tasks.cdf_name(block))
    ]
    _run_tasks("histograms", cdfs, workers)
    tiles = [
        (score_tasks.tiles_task, (*place, mode, batch), len(batch.columns))
        for mode in paths.MODES
        for batch in plans.batches_of(plan, mode)
        if missing(mode, score_tasks.tiles_name(batch))
    ]
    _run_tasks("lambda tiles", tiles, workers, plan.tile**2)


Task = tuple[Callable[..., None], tuple[Any, ...], int]

_WAVE = 1000
"""Tasks that the scheduler holds at a time."""


def _run_tasks(title: str, tasks: list[Task], workers: Workers, pairs_per_tile: int = 0) -> None:
    """Run tasks in waves, with progress in tiles and pairs per second; the first error ends the run."""
    total = sum(tiles or 1 for _, _, tiles in tasks)
    waiting = iter(tasks)
    running: dict[Any, int] = {}
    completed = workers.finished([])
    started, tiles_done = time.monotonic(), 0
    with progress_bar(title, total) as advance:
        while True:
            for function, arguments, tiles in waiting:
                future = workers.submit(function, *arguments)
                running[future] = tiles
                completed.add(future)
                if len(running) >= _WAVE:
                    break
            if not running:
                return
            future = next(iter(completed))
            tiles = running.pop(future)
            future.result()
            tiles_done += tiles
            rate = tiles_done / max(1e-9, time.monotonic() - started)
            note = f"{rate:.1f} tiles/s, {rate * pairs_per_tile / 1e6:.1f} M pairs/s" if tiles else ""
            advance(tiles or 1, note)


def merge_and_publish(lake: Lake, plan: Plan, started: dt.datetime, workers: int) -> None:
    """Merge the partial scores, append them, and publish the run with one row.

    Raises
    ------
    AlreadyCommittedError
        If another run took this place in the generation.
    """
    _store_checksums(lake, plan)
    batches = pa.RecordBatchReader.from_batches(tables.SCORES, _score_batches(lake, plan))
    # Committed already by this very run, before it was interrupted, or by its twin: the rows are the same.
    with contextlib.suppress(AlreadyCommittedError):
        tables.append_once(lake.url, "scores", batches, f"{plan.generation}/{plan.run}", 1)
    row = run_row(lake, "score", started) | {
        "run": plan.run,
        "generation": plan.generation,
        "sequence": plan.sequence,
        "workers": workers,
        "parameters": json.dumps(plan.parameters),
        "n_datasets": len(plan.datasets),
        "n_pairs": plan.n_pairs(),
        "n_tiles": plan.n_tiles(),
        "datasets_version": plan.datasets_version,
        "scores_version": tables.version(lake.url, "scores"),
        "datasets": [name for name, _ in plan.datasets],
        "versions": [version for _, version in plan.datasets],
        **{f"rois_{mode}": list(plan.sizes[mode]) for mode in paths.MODES},
    }
    rows = pa.Table.from_pylist([row], schema=tables.RUNS)
    tables.append_once(lake.url, "runs", rows, plan.generation, plan.sequence)


def _store_checksums(lake: Lake, plan: Plan) -> None:
    """Gather the checksums that the tasks left into one object beside the panels."""
    sums: dict[str, datasets.Checksums] = {}
    for mode in paths.MODES:
        panel = plan.panel(mode)
        names = [score_tasks.cdf_name(block) for block in range(panel.row_blocks)]
        found = [json.loads(_partial(lake, plan, mode, name)) for name in names]
        for batch in plans.batches_of(plan, mode):
            found += [score_tasks.decode_partial(_partial(lake, plan, mode, score_tasks.tiles_name(batch)))[1]]
        merged: datasets.Checksums = {}
        for part in found:
            for name, chunks in part.items():
                merged.setdefault(name, {}).update(chunks)
        sums[mode] = merged
    key = paths.checksums(plan.generation, plan.run)
    storage.write(lake.url, key, json.dumps(sums).encode())


def _partial(lake: Lake, plan: Plan, mode: str, name: str) -> bytes:
    return storage.read(lake.url, paths.partial(plan.generation, plan.run, mode, name))


def _score_batches(lake: Lake, plan: Plan) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the scores table, some datasets at a time: memory does not grow with the run."""
    for mode in paths.MODES:
        for merged in _merged(lake, plan, mode):
            yield from score_rows(plan, mode, merged)


def _merged(lake: Lake, plan: Plan, mode: str) -> Iterator[PartialScores]:
    """Yield the scores of the run's datasets, each when its last row block has been merged."""
    carried = PartialScores.concatenate([])
    batches = plans.batches_of(plan, mode)
    ends = np.cumsum(plan.all_sizes(mode))
    panel = plan.panel(mode)
    for block in range(panel.row_blocks):
        parts = [
            score_tasks.decode_partial(_partial(lake, plan, mode, score_tasks.tiles_name(batch)))[0]
            for batch in batches
            if batch.row == block
        ]
        carried = scores.merge(PartialScores.concatenate([carried, *parts]))
        complete = ends[carried.row] <= panel.n_before + panel.rows(block)[1]
        yield carried.take(complete)
        carried = carried.take(~complete)


def score_rows(plan: Plan, mode: str, merged: PartialScores) -> Iterator[pa.RecordBatch]:
    """Yield score rows in both directions, leaving out datasets that are live no more."""
    pairs = plan.all_datasets()
    retired = set(plan.retired)
    keep = np.array([pairs[c] not in retired for c in merged.column], np.bool_)
    merged = merged.take(keep)
    if not len(merged):
        return
    names = np.array([name for name, _ in pairs], object)
    versions = np.array([version for _, version in pairs], object)
    mirrored = merged.row != merged.column
    yield _batch(plan, mode, merged, (names, versions), (merged.row, merged.column))
    other = merged.take(mirrored)
    if len(other):
        yield _batch(plan, mode, other, (names, versions), (other.column, other.row))


def _batch(
    plan: Plan,
    mode: str,
    merged: PartialScores,
    labels: tuple[NDArray[Any], NDArray[Any]],
    direction: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> pa.RecordBatch:
    names, versions = labels
    of, other = direction
    n = len(merged)
    sd = np.where(merged.n_pairs > 1, merged.sd, np.nan)
    offsets = np.arange(n + 1, dtype=np.int32) * scores.BINS
    columns = {
        "generation": pa.array([plan.generation] * n),
        "run": pa.array([plan.run] * n),
        "mode": pa.array([mode] * n),
        "dataset": pa.array(names[of], pa.string()),
        "version": pa.array(versions[of], pa.string()),
        "other": pa.array(names[other], pa.string()),
        "other_version": pa.array(versions[other], pa.string()),
        "n_pairs": pa.array(merged.n_pairs),
        "mean": pa.array(merged.mean),
        "sd": pa.array(sd, mask=np.isnan(sd)),
        "min": pa.array(merged.smallest.astype(np.float64)),
        "max": pa.array(merged.largest.astype(np.float64)),
        "histogram": pa.ListArray.from_arrays(offsets, merged.histogram.ravel()),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in tables.SCORES.names], schema=tables.SCORES)
