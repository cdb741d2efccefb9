"""Scoring: an incremental lake equals a full one, bit for bit, and a killed or doubled run changes nothing."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy import stats
from small_collections import PARAMETERS, gather, write_dataset, write_variants

from catalog import open_catalog
from jobs import ingest as ingesting
from jobs import pipeline
from jobs import plan as plans
from jobs import score as scoring
from jobs.cluster import local_cluster
from lake import datasets, paths, tables
from lake.parameters import open_lake
from lake.tables import AlreadyCommittedError

NAMES = ("a", "b", "c", "d", "sparse", "void")
MODES = paths.MODES


@pytest.fixture(scope="session")
def workers():
    with local_cluster(2) as running:
        yield running


@pytest.fixture(scope="session")
def variants(tmp_path_factory):
    """Two versions of six small datasets: folder of (name, version)."""
    folder = tmp_path_factory.mktemp("variants")
    collections = {version: write_variants(folder / str(version), NAMES, version) for version in (0, 1)}
    return {(name, version): collections[version] / name for name in NAMES for version in collections}


@pytest.fixture(scope="session")
def built(tmp_path_factory, variants, workers):
    """Return a lake in which every version was built: what an ingest that died before registering leaves."""
    lake = tmp_path_factory.mktemp("built") / "lake"
    pipeline.init(lake, PARAMETERS)
    for version in (0, 1):
        ingest(lake, workers, [variants[name, version] for name in NAMES])
    return lake


def new_lake(folder, built, **parameters):
    lake = folder / "lake"
    pipeline.init(lake, PARAMETERS.model_copy(update=parameters))
    shutil.copytree(built / "datasets", lake / "datasets")
    return lake


def ingest(lake, workers, folders):
    collection = gather(Path(f"{lake}-collections") / str(time.monotonic_ns()), folders)
    outcome = ingesting.ingest(open_lake(lake), [str(collection)], lambda: nullcontext(workers))
    assert outcome.problems == []
    return outcome


def score(lake, workers, **options):
    return scoring.score(open_lake(lake), lambda: nullcontext(workers), **options)


def lambdas(lake):
    """Return every lambda matrix of the live datasets of a lake."""
    catalog = open_catalog(lake)
    found = {}
    with dask.config.set(scheduler="synchronous"):
        for mode, size in (("unthinned", "n_rois_occupied"), ("thinned", "n_rois_dense")):
            scored = catalog.datasets.loc[catalog.datasets[size] > 0, "dataset"]
            for a, b in itertools.combinations_with_replacement(sorted(scored), 2):
                found[mode, a, b] = catalog.lambda_matrix(a, b, mode).values
    return found


def score_frame(lake, mode):
    frame = open_catalog(lake).scores(mode).set_index(["dataset", "other"]).sort_index()
    return frame.drop(columns=["generation", "run", "version", "other_version", "mode"])


def assert_same_lambdas(found, expected):
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key].view(np.uint8), values.view(np.uint8), err_msg=str(key))


def assert_same_scores(lake, reference):
    for mode in MODES:
        found, expected = score_frame(lake, mode), score_frame(reference, mode)
        assert found.index.tolist() == expected.index.tolist()
        assert found["n_pairs"].tolist() == expected["n_pairs"].tolist()
        for name in ("min", "max"):
            np.testing.assert_array_equal(found[name], expected[name])
        for name in ("mean", "sd"):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-12)
        for row, wanted in zip(found["histogram"], expected["histogram"], strict=True):
            np.testing.assert_array_equal(row, wanted)


# Incremental equals full.

STEPS = st.one_of(
    st.tuples(st.just("ingest"), st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True), st.integers(0, 1)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.just("score"), st.sampled_from([3, 8, 1024]), st.none()),
)  # fmt: skip


@pytest.fixture(scope="session")
def full_lakes(tmp_path_factory, variants, built, workers):
    """Return a function from live versions to a fresh lake with all of them, scored in full; made once each."""
    made = {}

    def full_lake(live):
        key = tuple(sorted(live.items()))
        if key not in made:
            lake = new_lake(tmp_path_factory.mktemp("full"), built)
            ingest(lake, workers, [variants[pair] for pair in key])
            score(lake, workers, full=True)
            made[key] = lake, lambdas(lake)
        return made[key]

    return full_lake


@given(st.lists(STEPS, min_size=3, max_size=7))
@settings(
    deadline=None,
    max_examples=5,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),  # an example takes seconds: do not shrink
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_incremental__equals_full(tmp_path_factory, variants, built, full_lakes, workers, steps):
    assert_incremental_equals_full(tmp_path_factory, variants, built, full_lakes, workers, steps)


def assert_incremental_equals_full(tmp_path_factory, variants, built, full_lakes, workers, steps):
    lake = new_lake(tmp_path_factory.mktemp("steps"), built)
    live = {}
    for step, what, argument in [("ingest", ["b", "sparse"], 0), *steps, ("score", 8, None)]:
        if step == "ingest":
            ingest(lake, workers, [variants[name, argument] for name in what])
            live |= dict.fromkeys(what, argument)
        elif step == "score":
            score(lake, workers, tile=what)
        elif what in live:
            pipeline.remove(lake, what)
            del live[what]
    if live:
        reference, expected = full_lakes(live)
        assert_same_lambdas(lambdas(lake), expected)
        assert_same_scores(lake, reference)


@pytest.mark.parametrize(
    "steps",
    [
        # Removed, others scored without it, and back again in the same version.
        [("score", 8, None), ("remove", "b", None), ("ingest", ["a", "c"], 0), ("score", 8, None), ("ingest", ["b"], 0)],
        # Replaced, others scored against the new version, and back to the old one.
        [("score", 8, None), ("ingest", ["b"], 1), ("score", 8, None), ("ingest", ["a"], 0), ("score", 8, None), ("ingest", ["b"], 0)],
        # Removed and back before anything was scored.
        [("score", 8, None), ("remove", "b", None), ("ingest", ["b"], 0), ("ingest", ["c"], 1)],
    ],
    ids=["removed and back", "replaced and back", "back at once"],
)  # fmt: skip
def test_incremental__equals_full_when_a_version_returns(tmp_path_factory, variants, built, full_lakes, workers, steps):
    assert_incremental_equals_full(tmp_path_factory, variants, built, full_lakes, workers, steps)


# What an interrupted run leaves.


def compute_without_publishing(lake, workers, plan):
    """Do what a scoring run does before its first commit; a run that is killed then leaves this."""
    opened = open_lake(lake)
    scoring.storage.create(opened.url, paths.plan(plan.generation, plan.run), plans.encode(plan))
    scoring.create_panels(opened, plan)
    scoring.compute(opened, plan, workers, set())


def test_interrupted_run__is_not_mistaken_for_one_without_retired_datasets(
    tmp_path, variants, built, full_lakes, workers, monkeypatch
):
    """The tiles of a task depend on what is live, so a task that is done may not be the one that is needed."""
    monkeypatch.setattr(plans, "TILES_PER_TASK", 2)
    lake = new_lake(tmp_path, built)
    ingest(lake, workers, [variants[name, 1] for name in "abc"])
    score(lake, workers, tile=3)
    ingest(lake, workers, [variants["d", 1]])
    compute_without_publishing(lake, workers, pipeline.plan(lake, tile=3))
    pipeline.remove(lake, "b")
    score(lake, workers, tile=3)
    reference, expected = full_lakes({"a": 1, "c": 1, "d": 1})
    assert_same_lambdas(lambdas(lake), expected)
    assert_same_scores(lake, reference)


def test_interrupted_run__gives_way_to_smaller_tiles(tmp_path, variants, built, workers):
    """Its tiles may not fit into the workers of today; larger ones would do its work again."""
    lake = new_lake(tmp_path, built)
    ingest(lake, workers, [variants["a", 0]])
    left = pipeline.plan(lake, tile=8)
    compute_without_publishing(lake, workers, left)
    assert pipeline.plan(lake, tile=4).tile == 4
    assert pipeline.plan(lake, tile=16).run == left.run
    (run,) = score(lake, workers, tile=16)
    assert run.run == left.run
    assert run.resumed > 0
