"""What is current in a lake: its live datasets, and the runs whose scores count."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake import paths, tables

_RUN_COLUMNS = (
    "run", "kind", "generation", "sequence", "parameters", "datasets_version",
)  # fmt: skip
_ROI_COLUMNS = ("run", "datasets", "versions", "rois_unthinned", "rois_thinned")


def live_datasets(url: str, version: int | None = None) -> pa.Table:
    """Return one row for every live dataset: its last one.

    Parameters
    ----------
    url : str
        Normalised URL of the lake.
    version : int, optional
        Version of the table; by default the newest, published or not.
    """
    rows = tables.read(url, "datasets", version=version)
    codes = rows["dataset"].combine_chunks().dictionary_encode().indices.to_numpy()
    n_datasets = codes.max(initial=-1) + 1
    if n_datasets == rows.num_rows:
        return rows.filter(pc.equal(rows["state"], "live")).combine_chunks()
    keys = [(name, "ascending") for name in ("revision", "ingested_at", "version")]
    order = pc.sort_indices(rows, sort_keys=keys).to_numpy()
    last = np.full(n_datasets, -1)
    last[codes[order]] = order  # of equal indices the last assignment stays
    newest = np.zeros(rows.num_rows, np.bool_)
    newest[last] = True
    return rows.filter(pc.and_(pa.array(newest), pc.equal(rows["state"], "live"))).combine_chunks()


@dataclass(frozen=True)
class ScoredRun:
    """The ROIs that one published run added to a generation.

    Attributes
    ----------
    run : str
        Its name.
    datasets : tuple of (dataset, version)
        In the order of their ROIs.
    sizes : dict of mode to tuple of int
        ROIs of each dataset that are scored in the mode.
    """

    run: str
    datasets: tuple[tuple[str, str], ...]
    sizes: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Published:
    """What readers see: the newest generation, its runs, and the version of the datasets table.

    Attributes
    ----------
    datasets_version : int
        Newest version of the datasets table that a finished run names.
    generation : str or None
        Newest generation; None before the first scoring run.
    runs : tuple of str
        Its runs in sequence.
    parameters : dict
        Parameters of the generation.
    """

    datasets_version: int
    generation: str | None
    runs: tuple[str, ...]
    parameters: dict[str, Any]


def published(url: str) -> Published:
    """Return what the finished runs have published."""
    rows = tables.read(url, "runs", columns=_RUN_COLUMNS)
    visible = pc.max(rows["datasets_version"]).as_py() or 0
    scored = rows.filter(pc.equal(rows["kind"], "score"))
    generation = pc.max(scored["generation"]).as_py()
    if generation is None:
        return Published(visible, None, (), {})
    own = scored.filter(pc.equal(scored["generation"], generation)).sort_by("sequence").to_pylist()
    return Published(
        visible,
        generation,
        tuple(row["run"] for row in own),
        json.loads(own[-1]["parameters"]),
    )


def scored_runs(url: str, generation: str | None, runs: Sequence[str]) -> list[ScoredRun]:
    """Return the ROIs of the runs of a generation, in sequence."""
    if generation is None or not runs:
        return []
    rows = tables.read(url, "runs", columns=(*_ROI_COLUMNS, "generation"), filters=[("generation", "=", generation)])
    by_run = {row["run"]: row for row in rows.to_pylist()}
    return [
        ScoredRun(
            run,
            tuple(zip(by_run[run]["datasets"], by_run[run]["versions"], strict=True)),
            {mode: tuple(by_run[run][f"rois_{mode}"]) for mode in paths.MODES},
        )
        for run in runs
    ]
