"""What is current: the newest revision of every dataset, and the runs that were published."""

import datetime as dt
import itertools

import pytest

from lake import current, storage, tables

START = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


@pytest.fixture
def url(tmp_path):
    made = storage.normalise(tmp_path)
    tables.create(made)
    return made


def row(dataset, revision, state="live", version=None, minutes=0):
    return {
        "dataset": dataset,
        "version": version or f"v{revision}",
        "revision": revision,
        "state": state,
        "ingested_at": START + dt.timedelta(minutes=minutes),
    }


def live(url, version=None):
    rows = current.live_datasets(url, version).to_pylist()
    return sorted((found["dataset"], found["version"]) for found in rows)


def test_live_datasets__of_an_empty_lake_are_none(url):
    assert live(url) == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_live_datasets__the_newest_revision_wins_in_whatever_order_rows_arrive(url, order):
    rows = [row("a", 1), row("a", 2), row("a", 3)]
    for i in order:
        tables.append(url, "datasets", [rows[i], row(f"other-{i}", 1)])
    assert live(url) == [("a", "v3"), ("other-0", "v1"), ("other-1", "v1"), ("other-2", "v1")]


def test_live_datasets__removed_is_gone_until_it_comes_back(url):
    tables.append(url, "datasets", [row("a", 1), row("b", 1)])
    tables.append(url, "datasets", [row("a", 2, "removed", "v1")])
    assert live(url) == [("b", "v1")]
    tables.append(url, "datasets", [row("a", 3)])
    assert live(url) == [("a", "v3"), ("b", "v1")]


def test_live_datasets__of_one_revision_the_later_counts_once(url):
    """Two ingests at once give a changed dataset the same revision number."""
    tables.append(url, "datasets", [row("a", 2, version="late", minutes=5)])
    tables.append(url, "datasets", [row("a", 2, version="early", minutes=1)])
    assert live(url) == [("a", "late")]


def test_live_datasets__can_be_asked_of_an_earlier_version(url):
    before = tables.append(url, "datasets", [row("a", 1)])
    tables.append(url, "datasets", [row("a", 2), row("b", 1)])
    assert live(url, before) == [("a", "v1")]


def scored(run, generation, sequence, datasets_version, **rois):
    return {
        "run": run,
        "kind": "score",
        "generation": generation,
        "sequence": sequence,
        "datasets_version": datasets_version,
        "parameters": f'{{"seed": {generation[-1]}}}',
        "datasets": list(rois),
        "versions": ["v1"] * len(rois),
        "rois_unthinned": [n for n, _ in rois.values()],
        "rois_thinned": [n for _, n in rois.values()],
    }


def test_published__of_a_new_lake_is_nothing(url):
    assert current.published(url) == current.Published(0, None, (), {})
    assert current.scored_runs(url, None, ()) == []


def test_published__names_the_newest_version_of_the_datasets_that_any_run_names(url):
    tables.append(url, "runs", [{"run": "i2", "kind": "ingest", "datasets_version": 7}])
    tables.append(url, "runs", [{"run": "i1", "kind": "ingest", "datasets_version": 4}])
    assert current.published(url).datasets_version == 7
    assert current.published(url).generation is None


def test_published__holds_the_runs_of_the_newest_generation_in_sequence(url):
    tables.append(url, "runs", [scored("s1", "g0002", 1, 5, c=(4, 0))])
    tables.append(url, "runs", [scored("old", "g0001", 0, 3, a=(9, 9))])
    tables.append(url, "runs", [scored("s0", "g0002", 0, 4, a=(3, 1), b=(2, 2))])
    published = current.published(url)
    assert (published.generation, published.runs) == ("g0002", ("s0", "s1"))
    assert published.parameters == {"seed": 2}
    first, second = current.scored_runs(url, published.generation, published.runs)
    assert first.datasets == (("a", "v1"), ("b", "v1"))
    assert first.sizes == {"unthinned": (3, 2), "thinned": (1, 2)}
    assert (second.run, second.sizes["thinned"]) == ("s1", (0,))
