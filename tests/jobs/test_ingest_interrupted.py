"""Ingests that die, and ingests at once: what readers see is whole, and in the end it is what it would have been."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tiny_collection import write_dataset, write_metadata

from catalog import open_catalog
from jobs import ingest as ingesting
from jobs import pipeline
from lake import datasets, paths, storage, tables

NAMES = ("a", "b", "c", "d")
COMMAND = [sys.executable, "-c", "from jobs.cli import main; main()"]


def start(*arguments):
    """Start the real command."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=-1
    )


def write_collection(folder, names=NAMES, seed=0):
    for number, name in enumerate(names, seed):
        write_dataset(folder / name, seed=number, files=2, rois=3, per_roi=400)
    return folder


def objects(lake, prefix=""):
    """Return the bytes of all finished objects of a lake, by name."""
    folder = lake / prefix
    # obstore writes beside the object, as name#1, and then renames.
    found = (p for p in folder.rglob("*") if p.is_file() and "#" not in p.name)
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def count_objects(lake):
    return sum(len(files) for _, _, files in os.walk(lake / "datasets"))


def assert_whole(lake):
    """Check that every dataset that a reader sees is complete; return their keys."""
    catalog = open_catalog(lake)
    for name in catalog:
        assert datasets.verify(catalog.lake.url, paths.dataset(*catalog[name].key)) == []
        assert len(catalog[name].files) == catalog[name].row["n_files"]
    return {catalog[name].key for name in catalog}


def rows(lake, name, without):
    found = tables.read(storage.normalise(lake), name).drop_columns(without).to_pylist()
    return sorted({repr(sorted(row.items())) for row in found})


def assert_equal(lake, undisturbed):
    """Compare two lakes: arrays byte for byte, tables row for row but for the times."""
    assert objects(lake, "datasets") == objects(undisturbed, "datasets")
    assert rows(lake, "datasets", ["ingested_at", "seconds"]) == rows(
        undisturbed, "datasets", ["ingested_at", "seconds"]
    )
    # A death between the two tables leaves rows of files twice; they are the same.
    assert rows(lake, "files", []) == rows(undisturbed, "files", [])
    assert assert_whole(lake) == assert_whole(undisturbed)


def change_first(collection):
    write_metadata(collection / "a", "a", cell_type="NK cell")


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Return a collection, a lake that holds its first dataset in an earlier version, and one that holds all."""
    folder = tmp_path_factory.mktemp("stages")
    collection = write_collection(folder / "coll")
    pipeline.init(folder / "before")
    pipeline.ingest(folder / "before", [collection / "a"])
    change_first(collection)
    return folder


def copy(lake, target):
    subprocess.run(["cp", "-r", str(lake), str(target)], check=True)
    return target


@pytest.fixture(scope="module")
def undisturbed(stages):
    lake = copy(stages / "before", stages / "undisturbed")
    assert pipeline.ingest(lake, [stages / "coll"]).problems == []
    return lake


def test_ingest__killed_at_any_moment_goes_on_to_the_same_lake(stages, undisturbed, tmp_path):
    lake = copy(stages / "before", tmp_path / "lake")
    total, before = count_objects(undisturbed), assert_whole(lake)
    rng = np.random.default_rng(int(os.environ.get("NANOLAKE_TEST_SEED", "5")))
    killed = 0
    for share in rng.uniform(0, 0.8, 3):
        present = count_objects(lake)
        target = present + share * (total - present)
        command = start("ingest", lake, stages / "coll")
        while count_objects(lake) < target and command.poll() is None:
            time.sleep(0.01)
        command.send_signal(signal.SIGKILL)
        _, errors = command.communicate()
        assert "error" not in errors
        killed += command.returncode == -signal.SIGKILL
        assert assert_whole(lake) in (before, assert_whole(undisturbed))
    assert killed >= 2
    assert count_objects(lake) > count_objects(stages / "before")
    assert pipeline.ingest(lake, [stages / "coll"]).problems == []
    assert_equal(lake, undisturbed)


@pytest.mark.parametrize("step", ["_register", "_publish"])
def test_ingest__that_died_before_it_registered_or_published_reads_nothing_again(
    stages, undisturbed, tmp_path, monkeypatch, step
):
    lake = copy(stages / "before", tmp_path / "lake")
    before = assert_whole(lake)

    def die(*_):
        raise SystemExit(step)

    monkeypatch.setattr(ingesting, step, die)
    with pytest.raises(SystemExit, match=step):
        pipeline.ingest(lake, [stages / "coll"])
    monkeypatch.undo()
    assert assert_whole(lake) == before
    written = {path: path.stat().st_mtime_ns for path in (lake / "datasets").rglob("*") if path.is_file()}
    outcome = pipeline.ingest(lake, [stages / "coll"])
    assert len(outcome.registered) == (4 if step == "_register" else 0)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert_equal(lake, undisturbed)


def test_ingest__of_the_same_and_of_other_collections_at_once(tmp_path):
    shared = write_collection(tmp_path / "shared", "ab")
    one = write_collection(tmp_path / "one", "c", seed=10)
    two = write_collection(tmp_path / "two", "d", seed=20)
    pipeline.init(tmp_path / "lake")
    commands = [start("ingest", tmp_path / "lake", *those) for those in ([shared, one], [two, shared])]
    seen = set()
    while any(command.poll() is None for command in commands):
        now = assert_whole(tmp_path / "lake")
        assert seen <= now
        seen = now
        time.sleep(1.0)
    for command in commands:
        output, errors = command.communicate()
        assert (command.returncode, "error" in errors, "Warning" in errors) == (0, False, False), errors + output
    assert {name for name, _ in assert_whole(tmp_path / "lake")} == set("abcd")
    assert len(open_catalog(tmp_path / "lake")) == 4
    again = pipeline.ingest(tmp_path / "lake", [shared, one, two])
    assert (len(again.unchanged), again.registered, again.problems) == (4, [], [])
    pipeline.init(tmp_path / "alone")
    pipeline.ingest(tmp_path / "alone", [shared, one, two])
    assert objects(tmp_path / "lake", "datasets") == objects(tmp_path / "alone", "datasets")
