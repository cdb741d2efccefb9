"""The flow of a lake, in order: ingest -> tile -> histogram -> lambda tiles -> scores -> catalog.

Read this first. Each function is one command of ``nanolake``; what happens inside stands in the modules named:

* :func:`init`     makes the lake: parameters, tables and the Intake door.
* :func:`ingest`   looks at what a collection offers (:mod:`jobs.candidates`), has the workers sort each file into tiles
  and count the histograms (:mod:`jobs.ingest_tasks`), and registers the datasets (:mod:`jobs.ingest`).
* :func:`score`    plans what is missing (:mod:`jobs.plan`); computes CDFs and lambda tiles
  (:mod:`jobs.score_tasks`); merges the scores and publishes them (:mod:`jobs.score`).
* :func:`remove`   takes a dataset out of the catalog.

Analysts come in by :func:`catalog.open_catalog`. Checking and cleaning stand in :mod:`jobs.upkeep`.
"""

import datetime as dt
import functools
import os
from collections.abc import Sequence
from typing import Any

from catalog.entries import write_catalog
from jobs import ingest as ingesting
from jobs import plan as plans
from jobs import score as scoring
from jobs.cluster import local_cluster
from jobs.ingest import Outcome
from jobs.plan import TILE, Plan
from jobs.runs import publish_row
from jobs.score import Scored
from lake import current, parameters, tables
from lake.parameters import Lake, Parameters, open_lake


def init(url: str | os.PathLike[str], values: Parameters | None = None) -> Lake:
    """Make a lake, or open the one that is there with the same parameters."""
    lake = parameters.create(url, values or Parameters())
    tables.create(lake.url)
    write_catalog(lake)
    return lake


def ingest(
    url: str | os.PathLike[str],
    collections: Sequence[str | os.PathLike[str]],
    *,
    workers: int | None = None,
    whole_field: bool = False,
    strict: bool = False,
) -> Outcome:
    """Ingest collections; return what was registered and what was wrong with the rest."""
    return ingesting.ingest(
        open_lake(url),
        [os.fspath(c) for c in collections],
        functools.partial(local_cluster, workers),
        whole_field=whole_field,
        strict=strict,
    )


def score(
    url: str | os.PathLike[str],
    *,
    full: bool = False,
    workers: int | None = None,
    tile: int = TILE,
    **overrides: Any,
) -> list[Scored]:
    """Score what is missing, or everything anew; return the runs that this took."""
    cluster = functools.partial(local_cluster, workers)
    return scoring.score(open_lake(url), cluster, full=full, overrides=overrides, tile=tile)


def plan(url: str | os.PathLike[str], *, full: bool = False, tile: int = TILE, **overrides: Any) -> Plan | None:
    """Return what :func:`score` would do, None if there is nothing to do."""
    lake = open_lake(url)
    fresh = plans.make_plan(lake, full=full, overrides=overrides, tile=tile)
    return None if fresh is None else plans.unfinished(lake, fresh) or fresh


def remove(url: str | os.PathLike[str], dataset: str) -> None:
    """Take a dataset out of the catalog; its arrays stay until they are vacuumed.

    Raises
    ------
    KeyError
        If there is no such live dataset.
    """
    lake = open_lake(url)
    started = dt.datetime.now(dt.UTC)
    live = {row["dataset"]: row for row in current.live_datasets(lake.url).to_pylist()}
    if dataset not in live:
        raise KeyError(f"no dataset {dataset!r} in {url}; `nanolake ls {url}` lists them")
    row = live[dataset] | {
        "state": "removed",
        "revision": live[dataset]["revision"] + 1,
        "ingested_at": started,
        "seconds": 0.0,
    }
    version = tables.append(lake.url, "datasets", [row])
    publish_row(lake, "remove", started, {"datasets_version": version, "n_datasets": 1, "datasets": [dataset]})
