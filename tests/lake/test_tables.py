"""The Delta tables: appends are whole or not at all, and writers at once lose nothing."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from lake import paths, storage, tables
from lake.tables import AlreadyCommittedError


@pytest.fixture
def url(tmp_path):
    made = storage.normalise(tmp_path / "lake é 1")
    tables.create(made)
    return made


def runs(*names):
    return pa.Table.from_pylist([{"run": name, "kind": "ingest"} for name in names], schema=tables.RUNS)


def data_files(url, name):
    return [key for key, _, _ in storage.keys(url, f"tables/{name}") if "/part-" in key]


def names_in(url, **options):
    return sorted(tables.read(url, "runs", columns=["run"], **options)["run"].to_pylist())


def test_create__keeps_the_tables_that_are_there(url):
    tables.append(url, "runs", [{"run": "a"}])
    tables.create(url)
    assert names_in(url) == ["a"]


@pytest.mark.parametrize("name", tables.SCHEMAS)
def test_create__gives_every_table_its_columns(url, name):
    assert tables.read(url, name).schema.names == tables.SCHEMAS[name].names


def test_append__returns_the_version_that_holds_the_rows(url):
    before = tables.version(url, "runs")
    after = tables.append(url, "runs", [{"run": "a", "n_pairs": 3}, {"run": "b"}])
    assert after > before
    assert names_in(url, version=before) == []
    assert names_in(url, version=after) == names_in(url) == ["a", "b"]


def test_append__of_no_rows_commits_nothing(url):
    before = tables.version(url, "runs")
    assert tables.append(url, "runs", []) == before


def test_append__keeps_types_lists_and_unknown_values(url):
    tables.append(url, "runs", [{"run": "a", "n_pairs": 2**40, "datasets": ["x", "ü"], "rois_thinned": []}])
    (row,) = tables.read(url, "runs").to_pylist()
    assert (row["n_pairs"], row["datasets"], row["rois_thinned"]) == (2**40, ["x", "ü"], [])
    assert row["generation"] is row["finished_at"] is row["seconds"] is None


def test_read__filters_rows_and_chooses_columns(url):
    tables.append(url, "scores", [{"generation": "g0001", "mode": "thinned", "mean": 0.5}])
    tables.append(url, "scores", [{"generation": "g0002", "mode": "thinned", "mean": 1.5}])
    found = tables.read(url, "scores", columns=["mean"], filters=[("generation", "=", "g0002")])
    assert found.to_pydict() == {"mean": [1.5]}


def test_open_table__says_which_table_is_missing(tmp_path):
    with pytest.raises(ValueError, match="table datasets is missing; is part of the lake deleted"):
        tables.read(storage.normalise(tmp_path), "datasets")


_WRITER = """
import sys
from lake import tables
tables.COMPACT_ABOVE = 10
for commit in range(10):
    tables.append(sys.argv[1], "runs", [{"run": f"{sys.argv[2]}-{commit}"}])
"""


def test_append__from_four_processes_at_once_loses_and_doubles_nothing(url):
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, url, str(w)]) for w in range(4)]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    assert names_in(url) == sorted(f"{w}-{commit}" for w in range(4) for commit in range(10))


def test_append_once__refuses_a_second_time(url):
    tables.append_once(url, "runs", runs("a"), "job", 4)
    for sequence in (4, 3):
        with pytest.raises(AlreadyCommittedError, match=f"transaction job {sequence} is committed already"):
            tables.append_once(url, "runs", runs("again"), "job", sequence)
    tables.append_once(url, "runs", runs("b"), "job", 5)
    tables.append_once(url, "runs", runs("c"), "another job", 1)
    assert names_in(url) == ["a", "b", "c"]


def test_append_once__has_one_winner_among_racing_writers(url):
    barrier = threading.Barrier(6)

    def attempt(worker):
        barrier.wait()
        try:
            tables.append_once(url, "runs", runs(str(worker)), "job", 1)
        except AlreadyCommittedError:
            return None
        return str(worker)

    with ThreadPoolExecutor(6) as pool:
        winners = [name for name in pool.map(attempt, range(6)) if name]
    assert len(winners) == 1
    assert names_in(url) == winners


def test_append__merges_small_files_once_there_are_many(url, monkeypatch):
    monkeypatch.setattr(tables, "COMPACT_ABOVE", 4)
    versions = [tables.append(url, "runs", [{"run": str(i)}]) for i in range(6)]
    assert len(tables.open_table(url, "runs").file_uris()) < 4
    assert names_in(url) == list("012345")
    # A reader that opened the catalog earlier still finds what it saw.
    assert names_in(url, version=versions[1]) == list("01")


def test_append__keeps_a_transaction_through_compaction(url, monkeypatch):
    monkeypatch.setattr(tables, "COMPACT_ABOVE", 2)
    for sequence in range(4):
        tables.append_once(url, "runs", runs(str(sequence)), "job", sequence)
    with pytest.raises(AlreadyCommittedError):
        tables.append_once(url, "runs", runs("again"), "job", 3)


def test_compact__drops_earlier_generations_of_scores(url):
    for generation in ("g0001", "g0002", "g0002"):
        tables.append(url, "scores", [{"generation": generation, "mean": 1.0}])
    tables.append(url, "runs", [{"run": "a"}])
    tables.compact(url, "g0002")
    assert tables.read(url, "scores")["generation"].to_pylist() == ["g0002", "g0002"]
    assert names_in(url) == ["a"]
    tables.compact(url, None)
    assert tables.read(url, "scores").num_rows == 2


def test_vacuum__deletes_only_files_that_the_newest_version_does_not_need(url):
    versions = [tables.append(url, "runs", [{"run": name}]) for name in "abc"]
    tables.compact(url, None)
    assert len(data_files(url, "runs")) == 4
    tables.vacuum(url, older_than_days=1)
    assert names_in(url, version=versions[0]) == ["a"]
    tables.vacuum(url, older_than_days=0)
    assert len(data_files(url, "runs")) == 1
    assert names_in(url) == ["a", "b", "c"]


def test_compact__leaves_files_alone_that_another_writer_is_merging(url):
    for name in "abc":
        tables.append(url, "runs", [{"run": name}])
    assert storage.create(url, paths.compaction("runs", 1), b"")  # its turn, and it has not said that it is done
    tables.compact(url, None)
    assert len(tables.open_table(url, "runs").file_uris()) == 3
    storage.write(url, paths.compaction("runs", 1) + ".done", b"")
    tables.compact(url, None)
    assert len(tables.open_table(url, "runs").file_uris()) == 1


def test_compact__goes_on_a_day_after_a_compaction_died(url, monkeypatch):
    for name in "abc":
        tables.append(url, "runs", [{"run": name}])
    assert storage.create(url, paths.compaction("runs", 1), b"")
    monkeypatch.setattr(tables, "_TURN_SECONDS", 0.0)
    tables.compact(url, None)
    assert len(tables.open_table(url, "runs").file_uris()) == 1
