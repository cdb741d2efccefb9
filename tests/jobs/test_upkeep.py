"""Upkeep: verify finds what is damaged, and vacuum deletes nothing that anybody needs."""

import json
import os
import shutil
import time

import numpy as np
import pytest
import zarr
from small_collections import (
    assert_same_lambdas,
    assert_same_scores,
    compute_without_publishing,
    ingest,
    lake_of,
    lambdas,
    score,
)

from catalog import open_catalog
from jobs import pipeline
from jobs.upkeep import vacuum, verify
from lake import datasets, paths, storage, tables
from lake.parameters import open_lake

DAY = 86_400


@pytest.fixture(scope="session")
def used(tmp_path_factory, variants, built, workers):
    """Return a lake that has been used: two runs, a replaced and a removed dataset, versions nobody registered."""
    lake = lake_of(tmp_path_factory.mktemp("used"), built, workers, [variants[name, 0] for name in "abc"])
    score(lake, workers, tile=8)
    ingest(lake, workers, [variants["b", 1]])
    pipeline.remove(lake, "c")
    score(lake, workers, tile=8)
    return lake


@pytest.fixture
def lake(used, tmp_path):
    return shutil.copytree(used, tmp_path / "lake")


def live_prefix(lake, dataset):
    return paths.dataset(*open_catalog(lake)[dataset].key)


def last_run(lake):
    published = open_catalog(lake).published
    return paths.run(published.generation, published.runs[-1])


def chunk_of(lake, kind):
    """Return the first chunk of an array, and the array's path in the lake."""
    prefix = live_prefix(lake, "a") if kind.startswith("dataset") else last_run(lake)
    array = f"{prefix}/{kind.partition('/')[2]}"
    return min(path for path in (lake / array / "c").rglob("*") if path.is_file()), array


CHUNKS = [
    "dataset/localizations/x_nm",
    "dataset/localizations/frame",
    "dataset/histograms",
    "dataset/rois/n_localizations",
    "dataset/outlines/vertices_nm",
    "run/unthinned/cdf",
    "run/thinned/cdf",
    "run/thinned/occupied",
    "run/thinned/support",
    "run/unthinned/lambda",
    "run/thinned/lambda",
]


def files(lake):
    return {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()}


def versions(lake):
    return {path.relative_to(lake).as_posix() for path in (lake / "datasets").glob("*/*") if path.is_dir()}


def n_runs(lake):
    return tables.read(open_lake(lake).url, "runs").num_rows


# Verify.


def test_verify__finds_a_used_lake_sound(used):
    before = files(used)
    found = verify(open_lake(used))
    assert found.problems == []
    assert (found.datasets, found.panels) == (2, 4)
    assert found.values >= found.panels
    assert files(used) == before


def test_verify__finds_a_lake_without_scores_sound(tmp_path, variants, built, workers):
    lake = lake_of(tmp_path, built, workers, [variants["void", 0]])
    found = verify(open_lake(lake))
    assert (found.datasets, found.panels, found.values, found.problems) == (1, 0, 0, [])


def flip(content, place):
    damaged = bytearray(content)
    damaged[int((len(content) - 1) * place)] ^= 0x10
    return damaged


DAMAGES = {
    "a bit flipped in the middle": lambda content: flip(content, 0.5),
    "a bit flipped at the end": lambda content: flip(content, 1.0),
    "cut in the middle": lambda content: content[: len(content) // 2],
    "emptied": lambda _: b"",
    "zeroed": lambda content: bytes(len(content)),
    "deleted": None,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_verify__finds_a_damaged_chunk_of_every_array(lake, damage):
    arrays = []
    for kind in CHUNKS:
        chunk, array = chunk_of(lake, kind)
        if damage is None:
            chunk.unlink()
        else:
            chunk.write_bytes(damage(chunk.read_bytes()))
        arrays.append(array)
    assert_problems_of(lake, arrays)


def assert_problems_of(lake, arrays):
    problems = verify(open_lake(lake)).problems
    assert len(problems) == len(arrays)
    for array in arrays:
        assert any(problem.startswith(f"{array} chunk 0") for problem in problems), problems


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("dataset/zarr.json", "unfinished or missing"),
        ("dataset/localizations/x_nm/zarr.json", "localizations/x_nm: array is missing"),
        ("run/thinned/lambda/zarr.json", "thinned/lambda: array is missing"),
        ("run/checksums.json", "checksums are missing"),
    ],
)
def test_verify__finds_a_deleted_object(lake, kind, message):
    prefix = live_prefix(lake, "a") if kind.startswith("dataset") else last_run(lake)
    (lake / prefix / kind.partition("/")[2]).unlink()
    assert any(message in problem for problem in verify(open_lake(lake)).problems)


def test_verify__computes_lambda_again(lake):
    """Values that were wrong from the start have checksums that agree."""
    url = open_lake(lake).url
    path = f"{last_run(lake)}/thinned/lambda"
    array = zarr.open_array(storage.zarr_store(url), path=path, mode="r+")
    array[...] = np.asarray(array[...]) * np.float32(1.5)
    key = f"{last_run(lake)}/checksums.json"
    sums = json.loads(storage.read(url, key))
    for index in sums["thinned"]["lambda"]:
        row, column = (slice(int(i) * c, (int(i) + 1) * c) for i, c in zip(index.split("."), array.chunks, strict=True))
        sums["thinned"]["lambda"][index] = storage.checksum(datasets.read_array(url, path)[row, column])
    storage.write(url, key, json.dumps(sums).encode())
    problems = verify(open_lake(lake)).problems
    assert problems
    assert all(problem.startswith(path) and "computed again" in problem for problem in problems)


# Vacuum.


def test_vacuum__deletes_what_nothing_refers_to(lake, variants, built, workers):
    before, scores = lambdas(lake), open_catalog(lake).scores()
    live = {live_prefix(lake, name) for name in "ab"}
    stored = versions(lake)
    published = open_catalog(lake).published
    found = vacuum(open_lake(lake), 0)
    assert set(found.prefixes) == (stored - live) | {paths.partials("g0001", run) for run in published.runs}
    assert versions(lake) == live
    assert found.nbytes > 0
    assert_same_lambdas(lambdas(lake), before)
    assert open_catalog(lake).scores().equals(scores)
    assert verify(open_lake(lake)).problems == []
    assert vacuum(open_lake(lake), 0).prefixes == []


def test_vacuum__keeps_what_the_next_run_needs(lake, tmp_path, variants, built, workers):
    """Datasets of earlier runs are live no more and deleted, but their rows and columns stay where they are."""
    vacuum(open_lake(lake), 0)
    ingest(lake, workers, [variants["d", 0], variants["c", 0], variants["b", 0]])
    score(lake, workers, tile=8)
    names = {"a": 0, "b": 0, "c": 0, "d": 0}
    reference = lake_of(tmp_path / "reference", built, workers, [variants[pair] for pair in names.items()])
    score(reference, workers)
    assert_same_lambdas(lambdas(lake), lambdas(reference))
    assert_same_scores(lake, reference)
    assert verify(open_lake(lake)).problems == []


def test_vacuum__deletes_earlier_generations(lake, workers):
    runs = {paths.run("g0001", run) for run in open_catalog(lake).published.runs}
    before = lambdas(lake)
    score(lake, workers, full=True, tile=8)
    assert runs < set(vacuum(open_lake(lake), 0).prefixes)
    left = [path for path in (lake / "similarity" / "g0001").rglob("*") if path.name != "zarr.json"]
    assert left == []
    assert set(tables.read(open_lake(lake).url, "scores", columns=["generation"])["generation"].to_pylist()) == {
        "g0002"
    }
    assert_same_lambdas(lambdas(lake), before)
    assert verify(open_lake(lake)).problems == []


def test_vacuum__deletes_dead_runs(lake, variants, workers):
    ingest(lake, workers, [variants["d", 0]])
    plan = pipeline.plan(lake, tile=8)
    compute_without_publishing(lake, workers, plan)
    assert paths.run(plan.generation, plan.run) in vacuum(open_lake(lake), 0).prefixes
    (run,) = score(lake, workers, tile=8)
    assert (run.run, run.resumed) == (plan.run, 0)
    assert verify(open_lake(lake)).problems == []


def test_vacuum__only_says_what_it_would_delete_when_asked(lake):
    before, runs = files(lake), n_runs(lake)
    said = vacuum(open_lake(lake), 0, dry_run=True)
    assert files(lake) == before
    assert n_runs(lake) == runs
    sizes = {
        prefix: sum(p.stat().st_size for p in (lake / prefix).rglob("*") if p.is_file()) for prefix in said.prefixes
    }
    assert said.nbytes == sum(sizes.values())
    assert vacuum(open_lake(lake), 0) == said
    assert not any((lake / prefix).exists() for prefix in said.prefixes)
    assert n_runs(lake) == runs + 1


def test_vacuum__keeps_what_changed_lately(lake):
    before = files(lake)
    assert vacuum(open_lake(lake)).prefixes == []
    assert before.items() <= files(lake).items()
    said = vacuum(open_lake(lake), 0, dry_run=True).prefixes
    old, touched = sorted(said)[:2]
    for prefix in (old, touched):
        for path in (lake / prefix).rglob("*"):
            os.utime(path, (0, time.time() - 8 * DAY))
    # One young object keeps its whole prefix: somebody is at work on it.
    young = next(path for path in (lake / touched).rglob("*") if path.is_file())
    os.utime(young, (0, time.time() - 6 * DAY))
    assert vacuum(open_lake(lake)).prefixes == [old]


def test_vacuum__keeps_what_readers_see_until_it_is_published(lake, variants, workers):
    """An ingest registered a new version and died: readers still see the old one."""
    old = live_prefix(lake, "a")
    ingest(lake, workers, [variants["a", 1]])
    new = live_prefix(lake, "a")
    max((lake / "tables" / "runs" / "_delta_log").glob("*.json")).unlink()
    assert live_prefix(lake, "a") == old
    assert not {old, new} & set(vacuum(open_lake(lake), 0).prefixes)
    assert live_prefix(lake, "a") == new
    assert vacuum(open_lake(lake), 0).prefixes == [old]


def test_vacuum__of_an_empty_lake_does_no_harm(tmp_path):
    pipeline.init(tmp_path / "lake")
    assert vacuum(open_lake(tmp_path / "lake"), 0).prefixes == []
    assert len(open_catalog(tmp_path / "lake")) == 0
