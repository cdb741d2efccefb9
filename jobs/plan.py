"""What a scoring run computes: decided before it starts, stored, and never changed.

The name of a run follows from its plan. So a second run with the same work to do finds the first one's finished
tasks, whoever started it.
"""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compute import blocks
from compute.blocks import Panel
from lake import current, datasets, paths, storage
from lake.current import ScoredRun
from lake.parameters import Lake, Parameters, parameters_from

TILE = 1024
"""ROIs along the side of a lambda tile: 4 MB of float32, some milliseconds of work."""

TILES_PER_TASK = 32
"""Tiles of one task, so that the scheduler's 2.5 ms a task do not count."""


@dataclass(frozen=True)
class Plan:
    """A scoring run.

    Attributes
    ----------
    generation : str
        Generation that the run belongs to.
    sequence : int
        Its number in the generation, from 0.
    parameters : dict
        Parameters of the generation.
    tile : int
        ROIs along the side of a tile.
    datasets : tuple of (dataset, version)
        Datasets that the run adds, in the order of their ROIs.
    sizes : dict of mode to tuple of int
        Scored ROIs of each.
    width : int
        Largest count of localizations in a bin of any live dataset.
    base : tuple of ScoredRun
        Runs before it in the generation.
    retired : tuple of (dataset, version)
        Datasets of these runs that are live no more.
    datasets_version : int
        Version of the datasets table that the plan was made from.
    """

    generation: str
    sequence: int
    parameters: dict[str, Any]
    tile: int
    datasets: tuple[tuple[str, str], ...]
    sizes: dict[str, tuple[int, ...]]
    width: int
    base: tuple[ScoredRun, ...]
    retired: tuple[tuple[str, str], ...]
    datasets_version: int

    @functools.cached_property
    def run(self) -> str:
        """Name of the run: its number and a hash of what it computes; which tiles, depends on the retired too."""
        content = {k: v for k, v in asdict(self).items() if k != "datasets_version"}
        content["tiles_per_task"] = TILES_PER_TASK  # what a finished task has done depends on it
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{self.sequence:06d}-{digest[:8]}"

    @property
    def scoring(self) -> Parameters:
        """Parameters of the generation."""
        return parameters_from(self.parameters, self.generation)

    def panel(self, mode: str) -> Panel:
        """Return the panel that the run adds in a mode."""
        n_before = sum(sum(run.sizes[mode]) for run in self.base)
        return Panel(n_before, sum(self.sizes[mode]), self.tile)

    def panel_path(self, mode: str) -> str:
        """Return the Zarr group of that panel."""
        return paths.panel(self.generation, self.run, mode)

    def panels(self, mode: str) -> list[tuple[str, int]]:
        """Return path and rows of all panels of the generation, this run's last."""
        before = [(paths.panel(self.generation, r.run, mode), sum(r.sizes[mode])) for r in self.base]
        return [*before, (self.panel_path(mode), sum(self.sizes[mode]))]

    def all_datasets(self) -> list[tuple[str, str]]:
        """Return all datasets of the generation in the order of their ROIs, this run's last."""
        return [pair for run in self.base for pair in run.datasets] + list(self.datasets)

    def all_sizes(self, mode: str) -> list[int]:
        """Return the scored ROIs of each of :meth:`all_datasets`."""
        return [size for run in self.base for size in run.sizes[mode]] + list(self.sizes[mode])

    def live(self, mode: str) -> NDArray[np.bool_]:
        """Return which earlier ROIs belong to live datasets."""
        retired = set(self.retired)
        flags = [pair not in retired for run in self.base for pair in run.datasets]
        sizes = [size for run in self.base for size in run.sizes[mode]]
        return np.repeat(np.asarray(flags, np.bool_), sizes)

    def n_pairs(self) -> int:
        """Return the ROI pairs that the run compares, in both modes."""
        return sum(blocks.n_pairs(int(self.live(mode).sum()), self.panel(mode).n_new) for mode in paths.MODES)

    def n_tiles(self) -> int:
        """Return the lambda tiles that the run writes, in both modes."""
        return sum(
            len(batch.columns)
            for mode in paths.MODES
            for batch in self.panel(mode).batches(TILES_PER_TASK, self.live(mode))
        )

    def nbytes(self) -> int:
        """Return the size of the lambda tiles before compression."""
        return self.n_tiles() * self.tile**2 * np.dtype(self.scoring.lambda_dtype).itemsize


def encode(plan: Plan) -> bytes:
    """Return a plan as JSON."""
    return json.dumps(asdict(plan)).encode()


def decode(data: bytes) -> Plan:
    """Return the plan that :func:`encode` wrote."""

    def pairs(values: Any) -> tuple[tuple[str, str], ...]:
        return tuple((name, version) for name, version in values)

    def sizes(values: Any) -> dict[str, tuple[int, ...]]:
        return {mode: tuple(numbers) for mode, numbers in values.items()}

    content = json.loads(data)
    content["datasets"], content["retired"] = pairs(content["datasets"]), pairs(content["retired"])
    content["sizes"] = sizes(content["sizes"])
    content["base"] = tuple(ScoredRun(r["run"], pairs(r["datasets"]), sizes(r["sizes"])) for r in content["base"])
    return Plan(**content)


def make_plan(lake: Lake, *, full: bool, overrides: dict[str, Any], tile: int) -> Plan | None:
    """Return what is to be scored, None if nothing is.

    Parameters
    ----------
    lake : Lake
        The lake.
    full : bool
        Score all live datasets in a new generation, instead of the new ones in the present generation.
    overrides : dict
        Parameters of a new generation that differ from the lake's.
    tile : int
        ROIs along the side of a tile.

    Raises
    ------
    ValueError
        If parameters are given for a generation that has others.
    """
    published = current.published(lake.url)
    rows = current.live_datasets(lake.url, published.datasets_version)
    live = {(r["dataset"], r["version"]): r for r in rows.select(_COLUMNS).to_pylist()}
    if full or published.generation is None:
        number = int(published.generation[1:]) + 1 if published.generation else 1
        generation, base = paths.generation_id(number), []
        parameters = parameters_from(lake.parameters.model_dump() | overrides, "score")
    else:
        generation = published.generation
        base = current.scored_runs(lake.url, generation, published.runs)
        parameters = parameters_from(published.parameters, generation)
        _refuse_overrides(parameters, overrides)
    scored = {pair for run in base for pair in run.datasets}
    new = sorted(live.keys() - scored)
    if not new:
        return None
    return Plan(
        generation=generation,
        sequence=len(base),
        parameters=parameters.model_dump(),
        tile=tile,
        datasets=tuple(new),
        sizes={
            "unthinned": tuple(int(live[pair]["n_rois_occupied"]) for pair in new),
            "thinned": tuple(_dense_rois(lake, pair, live[pair], parameters) for pair in new),
        },
        width=max(1, *(int(row["max_bin_count"]) for row in live.values())),
        base=tuple(base),
        retired=tuple(sorted(scored - live.keys())),
        datasets_version=published.datasets_version,
    )


_COLUMNS = ["dataset", "version", "n_rois_occupied", "n_rois_dense", "max_bin_count"]


def _refuse_overrides(present: Parameters, overrides: dict[str, Any]) -> None:
    values = present.model_dump()
    for name, value in overrides.items():
        if values[name] != value:
            raise ValueError(
                f"{name} {value}: the present scores have {values[name]}; score all anew with --full to change it"
            )


def _dense_rois(lake: Lake, pair: tuple[str, str], row: dict[str, Any], parameters: Parameters) -> int:
    """Return how many ROIs of a dataset hold enough localizations to be thinned."""
    if parameters.thinning_target == lake.parameters.thinning_target:
        return int(row["n_rois_dense"])
    counts = datasets.read_array(lake.url, f"{paths.dataset(*pair)}/rois/n_localizations")
    return int((counts >= parameters.thinning_target).sum())


def unfinished(lake: Lake, fresh: Plan) -> Plan | None:
    """Return a plan that an interrupted run left and that still holds, rather than a fresh one.

    It holds when it has the same place in the same generation with the same parameters, and all its datasets are
    live: what came later is the next run's. Of larger tiles than are asked for now, the workers may have no room.
    A generation that takes the place of another begins with all datasets, or readers would miss those that came later.
    """
    live = set(fresh.datasets)
    all_of_them = fresh.sequence == 0 and fresh.generation != paths.generation_id(1)
    for name in storage.folders(lake.url, paths.generation(fresh.generation)):
        if not name.startswith(f"{fresh.sequence:06d}-") or name == fresh.run:
            continue
        try:
            left = decode(storage.read(lake.url, paths.plan(fresh.generation, name)))
        except KeyError:
            continue
        if left.run != name:
            continue  # planned by a version that cuts tasks differently
        same = left.parameters == fresh.parameters and left.base == fresh.base and left.tile <= fresh.tile
        if same and (set(left.datasets) == live if all_of_them else set(left.datasets) <= live):
            return left
    return None


def check_memory(plan: Plan, memory_bytes: int) -> None:
    """Refuse a plan whose tiles do not fit into a worker.

    Raises
    ------
    ValueError
        Says which tile would fit.
    """
    need = blocks.worker_bytes(plan.tile, plan.width)
    if need <= memory_bytes:
        return
    fits = blocks.tile_that_fits(memory_bytes, plan.width, plan.tile)
    way_out = f"use --tile-rois {fits}" if fits else "give the workers more memory, or fewer workers with --workers"
    raise ValueError(
        f"a tile of {plan.tile} ROIs with up to {plan.width} localizations a bin needs {need / 2**30:.2f} GiB, "
        f"and a worker has {memory_bytes / 2**30:.2f} GiB for it; {way_out}"
    )


def batches_of(plan: Plan, mode: str) -> Sequence[blocks.Batch]:
    """Return the tile tasks of a run in a mode."""
    return list(plan.panel(mode).batches(TILES_PER_TASK, plan.live(mode)))
