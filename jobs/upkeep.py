"""Checking a lake against its checksums, and deleting what nobody needs any more."""

import datetime as dt
import json
import time
from dataclasses import dataclass

import numpy as np

from catalog.generation import Generation, open_generation
from compute import similarity
from compute.similarity import Cdf
from jobs.progress import progress_bar
from jobs.runs import publish_row
from lake import current, datasets, paths, storage, tables
from lake import similarity as panels
from lake.current import Published
from lake.parameters import Lake

SAMPLE = 100
"""Lambda values that verify computes again in each panel."""


@dataclass(frozen=True)
class Verified:
    """What a verification looked at, and what it found.

    Attributes
    ----------
    datasets, panels, values : int
        Dataset versions and panels whose checksums were compared, lambda values computed again.
    problems : list of str
        What is wrong; empty for a sound lake.
    """

    datasets: int
    panels: int
    values: int
    problems: list[str]


def verify(lake: Lake, seed: int = 0) -> Verified:
    """Compare every live array with its checksums and compute a sample of lambda values again.

    Parameters
    ----------
    lake : Lake
        The lake.
    seed : int
        Seed of the sample.
    """
    published = current.published(lake.url)
    live = current.live_datasets(lake.url, published.datasets_version).select(["dataset", "version"]).to_pylist()
    problems: list[str] = []
    generation = open_generation(lake, published) if published.generation else None
    n_panels, values = 0, 0
    damaged: set[str] = set()
    steps = len(live) + (len(generation.runs) * len(paths.MODES) if generation else 0)
    with progress_bar("verify", steps) as advance:
        for row in live:
            problems += datasets.verify(lake.url, paths.dataset(row["dataset"], row["version"]))
            advance(1, row["dataset"])
        for index, run in enumerate(generation.runs if generation else ()):
            assert generation is not None
            for mode in paths.MODES:
                advance(1, f"{run.run} {mode}")
                if not sum(run.sizes[mode]):
                    continue
                n_panels += 1
                wrong = _verify_panel(generation, index, mode)
                if wrong:
                    damaged.add(mode)
                if mode not in damaged:  # with a damaged support, reading CDFs may take any amount of memory
                    found, wrong = _verify_values(generation, index, mode, np.random.default_rng(seed))
                    values += found
                problems += wrong
    return Verified(len(live), n_panels, values, problems)


def _verify_panel(generation: Generation, index: int, mode: str) -> list[str]:
    url, run = generation.lake.url, generation.runs[index].run
    try:
        sums = json.loads(storage.read(url, paths.checksums(generation.name, run)))[mode]
    except KeyError as error:
        return [f"checksums are missing: {error.args[0]}"]
    panel = paths.panel(generation.name, run, mode)
    return [p for name, chunks in sums.items() for p in datasets.verify_array(url, f"{panel}/{name}", chunks)]


def _verify_values(generation: Generation, index: int, mode: str, rng: np.random.Generator) -> tuple[int, list[str]]:
    """Compute lambda of some ROI pairs of a panel again, from the stored CDFs."""
    url = generation.lake.url
    stored = generation.panels(mode)
    before = sum(rows for _, rows in stored[:index])
    path, n_new = stored[index]
    row = int(rng.integers(n_new))
    matrix = datasets.open_array(url, f"{path}/lambda")
    kept = np.asarray(matrix[row, : before + row + 1])
    columns = np.flatnonzero(~np.isnan(kept))
    columns = rng.choice(columns, min(SAMPLE, len(columns)), replace=False)
    one = Cdf(*panels.read_cdf(url, panels.panel_ranges(stored, before + row, before + row + 1)))
    wrong = []
    for column in columns.tolist():
        ranges = panels.panel_ranges(stored, column, column + 1)
        other = similarity.columns(Cdf(*panels.read_cdf(url, ranges)))
        value = similarity.lambda_tile(one, other, generation.parameters.alpha)[0, 0].astype(matrix.dtype)
        if value != kept[column]:
            wrong.append(f"{path}/lambda row {row} column {column}: {kept[column]}, computed again {value}")
    return len(columns), wrong


@dataclass(frozen=True)
class Vacuumed:
    """What was deleted, or would be.

    Attributes
    ----------
    prefixes : list of str
        Folders of the lake.
    nbytes : int
        Their size.
    """

    prefixes: list[str]
    nbytes: int


def vacuum(lake: Lake, older_than_days: float = 7.0, *, dry_run: bool = False) -> Vacuumed:
    """Delete dataset versions, generations and runs that nothing published refers to, and partial results.

    Parameters
    ----------
    lake : Lake
        The lake.
    older_than_days : float
        Leave what changed later: an ingest or a scoring run may be at work on it, or a reader may hold it.
    dry_run : bool
        Only say what would be deleted.
    """
    started = dt.datetime.now(dt.UTC)
    limit = time.time() - older_than_days * 86400
    published = current.published(lake.url)
    needed = _needed(lake, published)
    prefixes, nbytes = [], 0
    partials = [paths.partials(published.generation, run) for run in published.runs if published.generation]
    for prefix in [*_all_prefixes(lake), *partials]:
        found = [] if prefix in needed else list(storage.keys(lake.url, prefix))
        if not found or any(changed > limit for _, _, changed in found):
            continue
        prefixes.append(prefix)
        nbytes += sum(size for _, size, _ in found)
        if not dry_run:
            storage.delete(lake.url, prefix)
    if not dry_run:
        # Readers open the datasets table at a published version: name the compacted one before files go.
        tables.compact(lake.url, published.generation)
        publish_row(lake, "vacuum", started, {"datasets_version": tables.version(lake.url, "datasets")})
        tables.vacuum(lake.url, older_than_days)
    return Vacuumed(prefixes, nbytes)


def _needed(lake: Lake, published: Published) -> set[str]:
    """Return the prefixes that the catalog reads, now or when all that is registered is published."""
    versions = {
        paths.dataset(row["dataset"], row["version"])
        for table_version in (None, published.datasets_version)
        for row in current.live_datasets(lake.url, table_version).select(["dataset", "version"]).to_pylist()
    }
    return versions | {paths.run(published.generation, run) for run in published.runs if published.generation}


def _all_prefixes(lake: Lake) -> list[str]:
    """Return all dataset versions and scoring runs that are stored."""
    return [
        f"{parent}/{name}"
        for top in (paths.datasets(), paths.similarity())
        for folder in storage.folders(lake.url, top)
        for parent in [f"{top}/{folder}"]
        for name in storage.folders(lake.url, parent)
    ]
