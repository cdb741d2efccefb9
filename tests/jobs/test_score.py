"""Scoring: an incremental lake equals one that is scored in full, bit for bit, and both equal the slow way."""

import json
import re
import shutil

import dask
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy import stats
from small_collections import (
    NAMES,
    PARAMETERS,
    assert_same_lambdas,
    assert_same_scores,
    ingest,
    lake_of,
    lambdas,
    new_lake,
    score,
    score_frame,
    write_dataset,
)

from catalog import open_catalog
from jobs import pipeline
from jobs import plan as plans
from jobs.cli import main
from jobs.upkeep import verify
from lake import paths, tables
from lake.parameters import open_lake


@pytest.fixture(scope="session")
def full_lakes(tmp_path_factory, variants, built, workers):
    """Return a function from live versions to a fresh lake of them that is scored in full; made once each."""
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


@pytest.fixture(scope="session")
def scored(full_lakes):
    """Return a lake with all datasets, scored in full, that tests copy or only read, and its lambda matrices."""
    return full_lakes(dict.fromkeys(NAMES, 0))


def copy_lake(lake, folder):
    return shutil.copytree(lake, folder / "lake")


# Incremental equals full.

STEPS = st.one_of(
    st.tuples(
        st.just("ingest"), st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True), st.integers(0, 1)
    ),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.just("score"), st.sampled_from([5, 8, 1024]), st.none()),
)


@pytest.fixture(scope="session")
def assert_incremental_equals_full(tmp_path_factory, variants, built, full_lakes, workers):
    def check(steps):
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

    return check


@given(steps=st.lists(STEPS, min_size=3, max_size=7))
@settings(
    deadline=None,
    max_examples=3,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),  # an example takes seconds: do not shrink
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_incremental__equals_full(assert_incremental_equals_full, steps):
    assert_incremental_equals_full(steps)


SCORE = ("score", 8, None)


@pytest.mark.parametrize(
    "steps",
    [
        [SCORE, ("remove", "b", None), ("ingest", ["a", "c"], 0), SCORE, ("ingest", ["b"], 0)],
        [SCORE, ("ingest", ["b"], 1), SCORE, ("ingest", ["a", "c"], 0), SCORE, ("ingest", ["b"], 0)],
        [SCORE, ("remove", "b", None), ("ingest", ["b"], 0), ("ingest", ["a", "c"], 0)],
    ],
    ids=["removed and back", "replaced and back", "back at once"],
)
def test_incremental__equals_full_when_a_version_returns(assert_incremental_equals_full, steps):
    """What was scored in the meantime was not compared with the version, so it counts as new."""
    assert_incremental_equals_full(steps)


def test_incremental__equals_full_with_random_thinning(tmp_path, variants, built, workers):
    """The random numbers follow from the ROI alone, also where a version returns."""
    lakes = []
    for folder, steps in (("one", "ab-a"), ("two", "ba")):
        lake = new_lake(tmp_path / folder, built, thinning="monte-carlo", thinning_repeats=3)
        for name in steps:
            if name == "-":
                pipeline.remove(lake, "a")
            else:
                ingest(lake, workers, [variants[name, 0]])
                score(lake, workers, tile=5)
        lakes.append(lake)
    assert_same_lambdas(lambdas(lakes[0]), lambdas(lakes[1]))
    assert_same_scores(*lakes)


@pytest.mark.parametrize(("n_workers", "tile"), [(1, 5), (3, 16)])
def test_score__does_not_depend_on_tiles_and_workers(tmp_path, scored, n_workers, tile):
    reference, expected = scored
    lake = copy_lake(reference, tmp_path)
    pipeline.score(lake, full=True, workers=n_workers, tile=tile)
    assert open_catalog(lake).published.generation == "g0002"
    assert_same_lambdas(lambdas(lake), expected)
    assert_same_scores(lake, reference)


# Against the slow way.


def thin_slowly(histogram, target):
    """Return the expected histogram of a random subsample, by SciPy's hypergeometric distribution."""
    counts = np.arange(1, len(histogram) + 1)
    total = int((histogram * counts).sum())
    return np.array([(histogram * stats.hypergeom.pmf(k, total, counts, target)).sum() for k in counts])


def lambda_slowly(h, g):
    width = max(len(h), len(g))
    h, g = (np.pad(np.asarray(x, float), (0, width - len(x))) for x in (h, g))
    n, m = h.sum(), g.sum()
    distance = np.abs(h.cumsum() / n - g.cumsum() / m).max()
    return distance / (1.3581015 * np.sqrt((n + m) / (n * m)))


@pytest.mark.parametrize("mode", paths.MODES)
def test_lambda_matrix__equals_the_slow_way_from_the_histograms(scored, mode):
    catalog = open_catalog(scored[0])
    rois = {}
    for name in ("a", "c", "d"):
        rows = catalog[name].histograms.values.astype(int)
        counts = rows @ np.arange(1, rows.shape[1] + 1)
        np.testing.assert_array_equal(counts, catalog[name].rois["n_localizations"])
        at_least = PARAMETERS.thinning_target if mode == "thinned" else 1
        rois[name] = np.flatnonzero(counts >= at_least)
        rows = rows[rois[name]]
        rois[name, "rows"] = [thin_slowly(row, 45) for row in rows] if mode == "thinned" else list(rows)
    for a, b in (("a", "c"), ("d", "a"), ("c", "c")):
        matrix = catalog.lambda_matrix(a, b, mode)
        expected = [[lambda_slowly(h, g) for g in rois[b, "rows"]] for h in rois[a, "rows"]]
        np.testing.assert_allclose(matrix, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(matrix["roi"], rois[a])
        np.testing.assert_array_equal(matrix["other"], rois[b])
        np.testing.assert_array_equal(matrix["other_x_nm"], catalog[b].rois["x_nm"][rois[b]])


@pytest.mark.parametrize("mode", paths.MODES)
def test_scores__are_those_of_the_lambda_matrices(scored, mode):
    lake, matrices = scored
    frame = score_frame(lake, mode)
    pairs = {(a, b) for m, a, b in matrices if m == mode}
    alone = {(a, a) for a, _ in pairs if matrices[mode, a, a].size == 1}
    assert set(frame.index) == (pairs | {(b, a) for a, b in pairs}) - alone
    for (a, b), row in frame.iterrows():
        values = matrices[mode, *sorted((a, b))]
        values = (values[np.tril_indices(len(values), -1)] if a == b else values.ravel()).astype(float)
        assert row["n_pairs"] == len(values)
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-12)
        assert (row["min"], row["max"]) == (values.min(), values.max())
        assert row["sd"] == pytest.approx(values.std(ddof=1), rel=1e-9) if len(values) > 1 else np.isnan(row["sd"])
        assert sum(row["histogram"]) == len(values)


def test_lambda_matrix__of_a_dataset_with_itself_is_symmetric_and_has_few_chunks(tmp_path, variants, built, workers):
    """Also where the dataset begins one ROI before the end of a tile."""
    lake = new_lake(tmp_path, built)
    ingest(lake, workers, [variants["sparse", 0]])
    score(lake, workers, tile=4)
    ingest(lake, workers, [variants["d", 0]])
    score(lake, workers, tile=4)
    matrix = open_catalog(lake).lambda_matrix("d", mode="unthinned")
    values = matrix.values
    np.testing.assert_array_equal(values, values.T)
    np.testing.assert_array_equal(np.diagonal(values), 0)
    assert np.isfinite(values).all()
    assert matrix.data.npartitions <= (len(values) // 4 + 1) ** 2


# Generations, parameters and what is refused.


def test_full__makes_a_generation_to_which_readers_switch(tmp_path, scored, workers):
    lake = copy_lake(scored[0], tmp_path)
    before = open_catalog(lake)
    ranking = before.similar("a")
    pipeline.remove(lake, "c")
    (run,) = score(lake, workers, full=True, overrides={"thinning_density_per_um2": 3.0}, tile=8)
    after = open_catalog(lake)
    assert (before.published.generation, run.generation, after.published.generation) == ("g0001", "g0002", "g0002")
    assert before.similar("a").equals(ranking)
    assert after.published.parameters["thinning_density_per_um2"] == 3.0
    counts = after["a"].rois["n_localizations"].values
    np.testing.assert_array_equal(after.lambda_matrix("a")["roi"], np.flatnonzero(counts >= 27))
    # 44 localizations were too few before, and c is gone.
    assert set(after.similar("a")["dataset"]) == {"b", "d", "sparse"}
    assert set(ranking["dataset"]) == {"b", "c", "d"}


def test_full__with_other_parameters_equals_a_lake_made_with_them(tmp_path, variants, built, workers):
    changed, made = (new_lake(tmp_path / "changed", built), new_lake(tmp_path / "made", built, alpha=0.01))
    for lake in (changed, made):
        ingest(lake, workers, [variants["a", 1], variants["b", 1]])
        score(lake, workers, full=lake == changed, overrides={"alpha": 0.01} if lake == changed else {}, tile=8)
        # The next run goes on with the parameters of the generation.
        ingest(lake, workers, [variants["c", 1]])
        score(lake, workers, tile=8)
    assert_same_lambdas(lambdas(changed), lambdas(made))
    assert_same_scores(changed, made)


def test_overrides__are_refused_without_full(tmp_path, scored):
    lake = copy_lake(scored[0], tmp_path)
    with pytest.raises(ValueError, match=r"thinning_density_per_um2 3.0: the present scores have 5.0; .* --full"):
        pipeline.score(lake, thinning_density_per_um2=3.0)
    assert pipeline.score(lake, thinning_density_per_um2=5.0) == []


def test_score__of_what_is_scored_does_nothing(scored, workers):
    lake = open_lake(scored[0])
    versions = {name: tables.version(lake.url, name) for name in tables.SCHEMAS}
    assert score(scored[0], workers) == []
    assert pipeline.plan(scored[0]) is None
    assert {name: tables.version(lake.url, name) for name in tables.SCHEMAS} == versions


def test_score__of_an_empty_lake_does_nothing(tmp_path, workers):
    pipeline.init(tmp_path / "lake", PARAMETERS)
    assert score(tmp_path / "lake", workers) == []
    assert score(tmp_path / "lake", workers, full=True) == []


def test_dry_run__says_what_the_run_then_does(tmp_path, variants, built, workers):
    lake = new_lake(tmp_path, built)
    ingest(lake, workers, [variants[name, 0] for name in "abc"])
    score(lake, workers, tile=4)
    ingest(lake, workers, [variants["d", 0], variants["a", 1]])
    result = CliRunner().invoke(main, ["score", str(lake), "--dry-run", "--tile-rois", "4", "--format", "json"])
    assert result.exit_code == 0
    (planned,) = json.loads(result.stdout)
    (run,) = score(lake, workers, tile=4)
    for name in ("generation", "run", "n_datasets", "n_pairs", "n_tiles"):
        assert planned[name] == getattr(run, name)
    row = tables.read(open_lake(lake).url, "runs", filters=[("run", "=", run.run)]).to_pylist()[0]
    assert {name: row[name] for name in ("n_pairs", "n_tiles")} == {"n_pairs": run.n_pairs, "n_tiles": run.n_tiles}
    folder = lake / paths.run(run.generation, run.run)
    assert len([p for p in folder.glob("*/lambda/c/*/*") if p.is_file()]) == run.n_tiles
    assert planned["nbytes"] == run.n_tiles * 4 * 4 * 4
    live_before = {name: variants[name, 0] for name in "bc"}
    n_pairs = 0
    for mode in paths.MODES:
        sizes = dict(open_catalog(lake)._generation.members(mode))
        by_name = {name: size for (name, _), size in sizes.items() if name not in "ad"}
        new = planned[f"n_rois_{mode}"]
        n_pairs += new * sum(by_name.values()) + new * (new - 1) // 2
        assert by_name.keys() == live_before.keys()
    assert planned["n_pairs"] == n_pairs


def test_score__refuses_tiles_that_do_not_fit_and_names_one_that_does(tmp_path, variants, built, workers):
    lake = new_lake(tmp_path, built)
    ingest(lake, workers, [variants["a", 0]])
    with pytest.raises(ValueError, match=r"a tile of 4194304 ROIs .* GiB, .*; use --tile-rois \d+$") as error:
        score(lake, workers, tile=2**22)
    assert not (lake / "similarity").exists()
    fits = int(re.search(r"--tile-rois (\d+)", str(error.value))[1])
    assert [run.n_datasets for run in score(lake, workers, tile=fits)] == [1]


def test_check_memory__asks_for_memory_where_no_tile_fits(scored):
    plan = pipeline.plan(scored[0], full=True, tile=8)
    plans.check_memory(plan, 2**20)
    with pytest.raises(ValueError, match="give the workers more memory, or fewer workers with --workers"):
        plans.check_memory(plan, 100)


def test_float16__stores_rounded_lambdas_and_exact_scores(tmp_path, scored, variants, built, workers):
    reference, expected = scored
    lake = new_lake(tmp_path, built, lambda_dtype="float16")
    for names in ("ab", ("c", "d", "sparse", "void")):
        ingest(lake, workers, [variants[name, 0] for name in names])
        score(lake, workers, tile=8)
    assert_same_lambdas(lambdas(lake), {key: values.astype(np.float16) for key, values in expected.items()})
    assert_same_scores(lake, reference)
    assert verify(open_lake(lake)).problems == []


def test_score__stores_no_score_of_what_is_live_no_more(tmp_path, variants, built, workers):
    lake = lake_of(tmp_path, built, workers, [variants["a", 0], variants["b", 0]])
    score(lake, workers, tile=4)
    ingest(lake, workers, [variants["a", 1]])
    (run,) = score(lake, workers, tile=4)
    rows = tables.read(open_lake(lake).url, "scores", filters=[("run", "=", run.run)]).to_pylist()
    live = {open_catalog(lake)[name].key for name in "ab"}
    assert {(row["dataset"], row["version"]) for row in rows} == live
    assert {(row["other"], row["other_version"]) for row in rows} == live


def test_scores__of_datasets_that_are_all_gone_are_an_empty_frame(tmp_path, scored):
    lake = copy_lake(scored[0], tmp_path)
    columns = open_catalog(lake).scores().columns.tolist()
    for name in NAMES:
        pipeline.remove(lake, name)
    left = open_catalog(lake).scores()
    assert (len(left), left.columns.tolist()) == (0, columns)


def test_scores__of_one_pair_have_no_standard_deviation(tmp_path, workers):
    pipeline.init(tmp_path / "lake", PARAMETERS)
    pair = [write_dataset(tmp_path / name, [[60 + seed]], seed) for seed, name in enumerate(("one", "two"))]
    ingest(tmp_path / "lake", workers, pair)
    score(tmp_path / "lake", workers)
    frame = score_frame(tmp_path / "lake", "thinned")
    assert frame.index.tolist() == [("one", "two"), ("two", "one")]
    assert frame["n_pairs"].tolist() == [1, 1]
    assert frame["sd"].isna().all()
    assert (frame["mean"] == frame["min"]).all()
    assert open_catalog(tmp_path / "lake").similar("one")["dataset"].tolist() == ["two"]


def test_lambda_matrix__is_lazy(scored):
    matrix = open_catalog(scored[0]).lambda_matrix("a", "b")
    assert dask.is_dask_collection(matrix)
