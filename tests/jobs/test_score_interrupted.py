"""Scoring runs that are killed, doubled or fail: readers see the last finished run, and the next one goes on."""

import datetime as dt
import multiprocessing
import shutil
import time

import pytest
from small_collections import (
    assert_same_lambdas,
    assert_same_scores,
    compute_without_publishing,
    ingest,
    lake_of,
    lambdas,
    new_lake,
    score,
    write_dataset,
)

from catalog import open_catalog
from jobs import pipeline
from jobs import plan as plans
from jobs import score as scoring
from lake import paths, storage, tables
from lake.parameters import open_lake
from lake.tables import AlreadyCommittedError

TILE = 4


@pytest.fixture(scope="session")
def ready(tmp_path_factory, variants, built, workers):
    """Return a lake with one finished run and a good piece of work to do; tests copy it."""
    lake = new_lake(tmp_path_factory.mktemp("ready"), built)
    ingest(lake, workers, [variants[name, 0] for name in ("a", "b", "sparse")])
    score(lake, workers, tile=TILE)
    large = write_dataset(tmp_path_factory.mktemp("large") / "large", [[60, 90, 120, 10] * 4], seed=9)
    ingest(lake, workers, [variants["c", 0], variants["b", 1], variants["void", 0], large])
    return lake


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, ready, workers):
    """Return a copy of that lake in which the run came to its end, and what the run did."""
    lake = shutil.copytree(ready, tmp_path_factory.mktemp("undisturbed") / "lake")
    (run,) = score(lake, workers, tile=TILE)
    return lake, run


def objects(lake, run):
    """Return the bytes of every object of a run, by its key."""
    url = open_lake(lake).url
    prefix = paths.run(run.generation, run.run)
    return {key: storage.read(url, key) for key, _, _ in storage.keys(url, prefix)}


def finished_tasks(lake, run):
    folder = lake / paths.partials(run.generation, run.run)
    # An object on its way has a number after a hash sign, until it is renamed.
    return {path.name for path in folder.glob("*") if "#" not in path.name}


def stored_scores(lake, run):
    """Return the rows that the table holds for a run, published or not."""
    rows = tables.read(open_lake(lake).url, "scores", filters=[("run", "=", run.run)]).to_pylist()
    return sorted(rows, key=lambda row: (row["mode"], row["dataset"], row["other"], row["other_version"]))


def score_rows(lake):
    return tables.read(open_lake(lake).url, "runs", filters=[("kind", "=", "score")]).to_pylist()


def assert_undisturbed(lake, undisturbed):
    """Compare a lake with the one in which nothing happened: every byte of the run, every score, one row."""
    reference, run = undisturbed
    found, expected = objects(lake, run), objects(reference, run)
    assert found.keys() == expected.keys()
    assert [key for key in expected if found[key] != expected[key]] == []
    assert stored_scores(lake, run) == stored_scores(reference, run)
    rows, wanted = score_rows(lake), score_rows(reference)
    for name in ("run", "sequence", "n_pairs", "n_tiles", "datasets", "versions", "rois_thinned", "rois_unthinned"):
        assert sorted(str(row[name]) for row in rows) == sorted(str(row[name]) for row in wanted)


@pytest.fixture(scope="session")
def processes():
    """Return where processes come from that have imported everything already: an import takes seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["jobs.pipeline"])
    return context


def start_scoring(processes, lake):
    process = processes.Process(target=pipeline.score, args=(lake,), kwargs={"tile": TILE, "workers": 2})
    process.start()
    return process


# Where to kill, by what the lake's folder holds: (folder, run) -> whether the point is reached.


def _planned(lake, run):
    return (lake / paths.plan(run.generation, run.run)).exists()


def _some_histograms(lake, run):
    return sum("-cdf-" in name for name in finished_tasks(lake, run)) >= 3


def _some_tiles(lake, run):
    return sum("-tiles-" in name for name in finished_tasks(lake, run)) >= 5


def _all_tiles(lake, run):
    if not _some_tiles(lake, run):
        return False
    plan = plans.decode((lake / paths.plan(run.generation, run.run)).read_bytes())
    tasks = sum(len(plans.batches_of(plan, mode)) + plan.panel(mode).row_blocks for mode in paths.MODES)
    return len(finished_tasks(lake, run)) == tasks


def _scores_committed(lake, run):
    # Commit 0 made the table, 1 is the finished run's.
    return (lake / paths.table("scores") / "_delta_log" / f"{2:020d}.json").exists()


@pytest.mark.parametrize(
    "reached",
    [_planned, _some_histograms, _some_tiles, _all_tiles, _scores_committed],
    ids=lambda reached: reached.__name__.strip("_"),
)
def test_killed_run__shows_nothing_and_is_finished_by_the_next(
    tmp_path, ready, undisturbed, workers, processes, reached
):
    lake = shutil.copytree(ready, tmp_path / "lake")
    _, run = undisturbed
    ranking, published = open_catalog(lake).similar("a"), open_catalog(lake).published
    process = start_scoring(processes, lake)
    while process.is_alive() and not reached(lake, run):
        time.sleep(0.0002)
    process.kill()
    process.join()
    assert reached(lake, run)
    kept = len(finished_tasks(lake, run))
    late = open_catalog(lake).published != published
    # Only the last points, milliseconds before the end, may be missed.
    assert not late or reached in {_all_tiles, _scores_committed}
    if not late:
        assert open_catalog(lake).similar("a").equals(ranking)
        (again,) = score(lake, workers)
        assert (again.run, again.resumed) == (run.run, kept)
    assert score(lake, workers) == []
    assert_undisturbed(lake, undisturbed)


def test_two_scorers__score_once(tmp_path, ready, undisturbed, processes):
    lake = shutil.copytree(ready, tmp_path / "lake")
    running = [start_scoring(processes, lake) for _ in range(2)]
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0, 0]
    assert_undisturbed(lake, undisturbed)
    frame = open_catalog(lake).scores("unthinned")
    assert not frame.duplicated(["dataset", "other"]).any()
    assert_same_scores(lake, undisturbed[0])


# What an interrupted run leaves, and others.


def publish(lake, plan):
    scoring.merge_and_publish(open_lake(lake), plan, dt.datetime.now(dt.UTC), 2)


def test_interrupted_run__is_not_mistaken_for_one_without_retired_datasets(
    tmp_path, variants, built, workers, monkeypatch
):
    """Which tiles a task computes depends on what is live, so one that is done may not be the one that is needed."""
    monkeypatch.setattr(plans, "TILES_PER_TASK", 3)
    lake = lake_of(tmp_path, built, workers, [variants[name, 1] for name in "abc"])
    score(lake, workers, tile=3)
    ingest(lake, workers, [variants["d", 1]])
    compute_without_publishing(lake, workers, pipeline.plan(lake, tile=3))
    pipeline.remove(lake, "b")
    score(lake, workers, tile=3)
    reference = lake_of(tmp_path / "reference", built, workers, [variants[name, 1] for name in "acd"])
    score(reference, workers)
    assert_same_lambdas(lambdas(lake), lambdas(reference))
    assert_same_scores(lake, reference)


def test_interrupted_run__is_finished_before_what_came_later(tmp_path, variants, built, workers):
    lake = lake_of(tmp_path, built, workers, [variants["a", 0]])
    left = pipeline.plan(lake, tile=8)
    compute_without_publishing(lake, workers, left)
    ingest(lake, workers, [variants["b", 0]])
    first, second = score(lake, workers, tile=8)
    assert (first.run, first.n_datasets, second.n_datasets) == (left.run, 1, 1)
    assert first.resumed > 0
    assert set(open_catalog(lake).scores("unthinned")["dataset"]) == {"a", "b"}


def test_interrupted_full_run__is_not_resumed_without_what_came_later(tmp_path, variants, built, workers):
    """Readers switch to a new generation when its first run is published: nothing may be missing in it."""
    lake = lake_of(tmp_path, built, workers, [variants["a", 0]])
    score(lake, workers, tile=8)
    left = pipeline.plan(lake, full=True, tile=8)
    compute_without_publishing(lake, workers, left)
    assert pipeline.plan(lake, full=True, tile=16).run == left.run
    ingest(lake, workers, [variants["b", 0]])
    score(lake, workers, tile=8)
    assert pipeline.plan(lake, full=True, tile=16).datasets == tuple(open_catalog(lake)[name].key for name in "ab")
    (run,) = score(lake, workers, full=True, tile=8)
    assert (run.generation, run.n_datasets, run.resumed) == ("g0002", 2, 0)


def test_interrupted_run__is_dropped_with_its_datasets(tmp_path, variants, built, workers):
    lake = lake_of(tmp_path, built, workers, [variants["a", 0], variants["b", 0]])
    left = pipeline.plan(lake, tile=8)
    compute_without_publishing(lake, workers, left)
    ingest(lake, workers, [variants["b", 1]])
    (run,) = score(lake, workers, tile=8)
    assert run.run != left.run
    assert stored_scores(lake, left) == []


def test_interrupted_run__gives_way_to_smaller_tiles(tmp_path, variants, built, workers):
    """Its tiles may not fit into the workers of today; larger ones would do its work again."""
    lake = lake_of(tmp_path, built, workers, [variants["a", 0]])
    left = pipeline.plan(lake, tile=8)
    compute_without_publishing(lake, workers, left)
    assert pipeline.plan(lake, tile=4).tile == 4
    assert pipeline.plan(lake, tile=16).run == left.run


def test_publishing__twice_changes_nothing(tmp_path, variants, built, workers):
    lake = lake_of(tmp_path, built, workers, [variants["a", 0]])
    plan = pipeline.plan(lake, tile=8)
    compute_without_publishing(lake, workers, plan)
    publish(lake, plan)
    rows = stored_scores(lake, plan)
    with pytest.raises(AlreadyCommittedError, match=r"runs: transaction g0001 0 is committed already"):
        publish(lake, plan)
    assert stored_scores(lake, plan) == rows
    assert len(score_rows(lake)) == 1


def test_publishing__in_a_place_that_another_run_took_shows_nothing(tmp_path, variants, built, workers):
    lake = lake_of(tmp_path, built, workers, [variants["a", 0]])
    slow = pipeline.plan(lake, tile=8)
    fast = plans.make_plan(open_lake(lake), full=False, overrides={}, tile=4)
    for plan in (slow, fast):
        compute_without_publishing(lake, workers, plan)
    publish(lake, fast)
    with pytest.raises(AlreadyCommittedError):
        publish(lake, slow)
    assert [row["run"] for row in score_rows(lake)] == [fast.run]
    assert len(stored_scores(lake, slow)) == len(stored_scores(lake, fast)) > 0
    assert set(open_catalog(lake).scores()["run"]) == {fast.run}


def test_failed_task__ends_the_run_and_the_next_goes_on(tmp_path, variants, built, workers):
    """One chunk of histograms cannot be read, until it is restored."""
    lake = lake_of(tmp_path, built, workers, [variants["a", 0], variants["b", 0]])
    (chunk,) = (lake / "datasets" / "b").glob(f"{open_catalog(lake)['b'].key[1]}/histograms/c/0/0")
    content = chunk.read_bytes()
    chunk.write_bytes(content[:20])
    with pytest.raises(ValueError, match="checksum do not match"):
        score(lake, workers, tile=8)
    assert open_catalog(lake).published.generation is None
    chunk.write_bytes(content)
    (run,) = score(lake, workers, tile=8)
    reference = lake_of(tmp_path / "reference", built, workers, [variants["a", 0], variants["b", 0]])
    score(reference, workers)
    assert run.n_datasets == 2
    assert_same_lambdas(lambdas(lake), lambdas(reference))
