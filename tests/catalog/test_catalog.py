"""The catalog: what an analyst opens, searches, reads and ranks."""

import shutil
import time

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from tiny_collection import strip_um, write_dataset, write_metadata

from catalog import open_catalog
from catalog.ranking import COLUMNS
from jobs import pipeline
from lake.columns import COLUMNS as LOCALIZATION_COLUMNS

A, B, C, SPARSE = "tigit-on-nk-cells", "tigit-t-cells", "b-nkp30-b-co-2", "sparse"
MODES = ("thinned", "unthinned")


@pytest.fixture
def cat(scored):
    return open_catalog(scored / "lake é 1")


@pytest.fixture
def changeable(scored, tmp_path):
    """Return copies of the lake and of its collection."""
    shutil.copytree(scored, tmp_path / "copy")
    return tmp_path / "copy" / "lake é 1", tmp_path / "copy" / "coll"


def test_open_catalog__takes_well_under_a_second(scored):
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        open_catalog(scored / "lake é 1")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


@pytest.mark.parametrize("spell", [str, lambda p: f"{p}/", lambda p: f"file://{p}", lambda p: p.as_uri()])
def test_open_catalog__takes_paths_and_urls(scored, spell):
    assert set(open_catalog(spell(scored / "lake é 1"))) == {A, B, C, SPARSE}


def test_open_catalog__of_a_new_lake_is_empty(tmp_path):
    pipeline.init(tmp_path / "lake")
    cat = open_catalog(tmp_path / "lake")
    assert (len(cat), list(cat), len(cat.datasets), len(cat.search("a", protein="b"))) == (0, [], 0, 0)
    assert "0 datasets" in repr(cat)
    assert "0 datasets" in cat._repr_html_()
    for ask in (lambda: cat.similar("a"), cat.scores, cat.means):
        with pytest.raises(
            (ValueError, KeyError), match=r"nothing is scored yet; run `nanolake score`|neither a dataset"
        ):
            ask()


def test_open_catalog__says_where_no_lake_is(tmp_path):
    with pytest.raises(ValueError, match="nothing: no lake here; make one with `nanolake init"):
        open_catalog(tmp_path / "nothing")


def test_catalog__is_a_collection_of_ids(cat):
    assert len(cat) == 4
    assert set(cat) == {A, B, C, SPARSE}
    assert A in cat
    assert "nothing" not in cat
    assert 7 not in cat


def test_datasets__has_one_row_a_dataset_with_metadata_and_counts(cat):
    frame = cat.datasets.set_index("dataset")
    assert frame.loc[A, "title"] == "TIGIT on NK cells"
    assert frame.loc[A, "tags"].tolist() == ["resting"]
    assert frame["n_rois"].to_dict() == {A: 8, B: 4, C: 8, SPARSE: 4}
    assert frame.loc[SPARSE, "n_rois_dense"] == 0
    assert not {"revision", "state"} & set(frame)


@pytest.mark.parametrize("name", [A, "TIGIT on NK cells", "tigit ON nk-cells"])
def test_getitem__takes_an_id_or_a_title(cat, name):
    assert cat[name].dataset == A


@pytest.mark.parametrize("name", ["nothing", "", " ", "!!!", "日本"])
def test_getitem__says_that_there_is_no_such_dataset(cat, name):
    with pytest.raises(KeyError, match=f"no dataset '{name}' here; `nanolake ls` lists the 4 there are"):
        cat[name]


def test_search__gives_a_smaller_catalog(cat):
    found = cat.search(protein="tigit")
    assert set(found) == {A, B}
    assert list(found.search("nk")) == [A]
    assert found[A].key == cat[A].key
    with pytest.raises(KeyError, match="no dataset 'sparse' here; `nanolake ls` lists the 2"):
        found["sparse"]
    assert set(found.scores()["other"]) == {A, B}


def test_to_xarray__is_lazy_and_carries_units_and_metadata(cat):
    localizations = cat[A].to_xarray()
    assert set(localizations) == {"x_nm", "y_nm", "frame", "photons", "precision_nm"}
    for name, variable in localizations.items():
        assert isinstance(variable.data, da.Array)
        assert variable.dims == ("localization",)
        assert variable.attrs["unit"] == LOCALIZATION_COLUMNS[name].unit
        assert variable.dtype == LOCALIZATION_COLUMNS[name].dtype
    assert localizations.sizes["localization"] == cat[A].row["n_localizations"] == 640
    assert localizations.attrs["protein"] == "TIGIT"


def test_rois__point_to_their_localizations(cat):
    entry = cat[A]
    assert all(isinstance(variable.data, da.Array) for variable in entry.rois.values())
    rois, localizations = entry.rois.to_dataframe(), entry.to_xarray().to_dataframe()
    for roi in rois.itertuples():
        own = localizations[roi.start : roi.stop]
        assert own["x_nm"].between(roi.x_nm, roi.x_nm + 3000.0, inclusive="left").all()
        assert own["y_nm"].between(roi.y_nm, roi.y_nm + 3000.0, inclusive="left").all()
    assert rois["file"].tolist() == [0] * 4 + [1] * 4
    assert entry.rois["x_nm"].attrs["unit"] == "nm"


def test_histograms__count_bins_by_the_localizations_that_they_hold(cat):
    histograms = cat[A].histograms
    assert isinstance(histograms.data, da.Array)
    assert histograms.dims == ("roi", "k")
    assert histograms["k"].to_numpy().tolist() == list(range(1, histograms.sizes["k"] + 1))
    np.testing.assert_array_equal((histograms * histograms["k"]).sum("k"), cat[A].rois["n_localizations"])


def test_outlines__are_those_of_the_files_in_nm(cat):
    outlines = cat[A].outlines.load()
    assert outlines["file"].to_numpy().tolist() == [0, 1]
    first, second = outlines["offsets"].to_numpy()[:2]
    ring = outlines["vertices_nm"].to_numpy()[first:second]
    np.testing.assert_allclose(ring, np.array([*strip_um(4), strip_um(4)[0]]) * 1000)


def test_files__tell_what_the_reader_found(cat):
    files = cat[A].files
    assert files["file"].tolist() == ["cell_1.csv", "cell_2.csv"]
    assert files["n_localizations"].tolist() == [320, 320]
    assert files["provenance"][0]["used"]["x_nm"] == "x [nm]"
    assert files["sha256"].str.len().tolist() == [64, 64]


@pytest.mark.parametrize("mode", MODES)
def test_lambda_matrix__is_lazy_and_holds_what_the_scores_were_made_of(cat, mode):
    matrix = cat.lambda_matrix(A, B, mode)
    assert isinstance(matrix.data, da.Array)
    scores = cat.scores(mode).set_index(["dataset", "other"]).loc[(A, B)]
    assert matrix.size == scores["n_pairs"]
    assert float(matrix.astype(float).mean()) == pytest.approx(scores["mean"], rel=1e-6)
    assert float(matrix.astype(float).std(ddof=1)) == pytest.approx(scores["sd"], rel=1e-6)
    assert float(matrix.max()) == scores["max"]
    assert matrix.dims == ("roi", "other")
    np.testing.assert_array_equal(matrix["x_nm"], cat[A].rois["x_nm"].to_numpy()[matrix["roi"]])
    np.testing.assert_array_equal(matrix.T, cat.lambda_matrix(B, A, mode))


@pytest.mark.parametrize("mode", MODES)
def test_lambda_matrix__of_a_dataset_with_itself_is_symmetric_with_0_on_the_diagonal(cat, mode):
    matrix = cat.lambda_matrix(A, mode=mode).to_numpy()
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diag(matrix), 0.0)
    own = cat.self_similarity(A, mode)
    pairs = matrix[np.triu_indices(len(matrix), 1)].astype(float)
    assert own["n_pairs"] == len(pairs)
    assert own["mean"] == pytest.approx(pairs.mean(), rel=1e-6)


def test_scores__hold_every_ordered_pair_and_means_are_symmetric(cat):
    scores = cat.scores("unthinned")
    assert len(scores) == 16
    means = cat.means("unthinned")
    assert sorted(means.index) == sorted(means.columns) == sorted(cat)
    np.testing.assert_array_equal(means, means.T)
    assert set(cat.scores("thinned")["dataset"]) == {A, B, C}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [A, "TIGIT on NK cells"])
def test_similar__ranks_the_other_datasets_by_their_mean(cat, name, mode):
    hits = cat.similar(name, mode)
    assert tuple(hits.columns) == COLUMNS
    assert hits["rank"].tolist() == list(range(1, len(hits) + 1))
    assert hits["mean"].is_monotonic_increasing
    assert set(hits["dataset"]) == {B, C} | ({SPARSE} if mode == "unthinned" else set())
    expected = cat.scores(mode).query("dataset == @A and other != @A").set_index("other")["mean"]
    assert hits.set_index("dataset")["mean"].to_dict() == expected.to_dict()


def test_similar__shows_what_differs_beside_each_hit(cat):
    differences = cat.similar(A).set_index("dataset")["differences"]
    assert differences[B] == "fluorophore: CF568, not Alexa Fluor 647; drift_corrected: yes, not unknown"
    assert differences[C] == "fluorophore: unknown, not Alexa Fluor 647; modality: PALM, not dSTORM"


def test_similar__counts_the_rois_that_the_mode_leaves_out(cat):
    for hit in cat.similar(A, "thinned").itertuples():
        counts = cat[hit.dataset].rois["n_localizations"].to_numpy()
        assert (hit.n_rois, hit.n_rois_excluded) == ((counts >= 45).sum(), (counts < 45).sum())
        assert hit.n_pairs == hit.n_rois * (cat[A].rois["n_localizations"].to_numpy() >= 45).sum()
    assert cat.similar(A, "thinned").attrs == {"mode": "thinned", "waiting": [], "excluded": [SPARSE]}
    assert cat.similar(A, "unthinned").attrs["excluded"] == []


def test_similar__returns_the_first_hits(cat):
    assert cat.similar(A, top=1).equals(cat.similar(A)[:1])


def test_similar__ranks_only_what_a_search_left(cat):
    assert cat.search(protein="TIGIT").similar(A)["dataset"].tolist() == [B]


def test_similar__finds_a_title_with_a_slash(cat):
    assert cat.similar("TIGIT / T cells").equals(cat.similar(B))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spell", [lambda path: path, str, lambda path: f"file://{path}"])
def test_similar__of_a_file_equals_the_dataset_made_of_it(cat, scored, tmp_path, mode, spell):
    """``b`` has one file: its copy elsewhere is as similar to the others as ``b`` is."""
    shutil.copytree(scored / "coll" / "b", tmp_path / "mein ordner")
    file = cat.similar(spell(tmp_path / "mein ordner" / "cell_1.csv"), mode)
    others = file[file["dataset"] != B]
    expected = cat.similar(B, mode)
    assert others["dataset"].tolist() == expected["dataset"].tolist()
    for column in ("mean", "sd", "min", "max"):
        np.testing.assert_allclose(others[column], expected[column], rtol=0, atol=1e-12)
    for column in ("n_pairs", "n_rois", "n_rois_excluded", "title"):
        assert others[column].tolist() == expected[column].tolist()
    assert (file["differences"] == "unknown").all()
    # Against the dataset that it is a copy of, every ROI meets itself too.
    own = cat.self_similarity(B, mode)
    n = int(file.set_index("dataset")["n_rois"][B])
    assert file.set_index("dataset")["mean"][B] == pytest.approx(own["mean"] * (n - 1) / n, abs=1e-12)


def test_similar__of_a_file_takes_the_outlines_that_are_named(cat, scored, tmp_path):
    folder = shutil.copytree(scored / "coll" / "b", tmp_path / "b")
    expected = cat.similar(folder / "cell_1.csv")
    (folder / "cell_1_ROI_1.csv").rename(tmp_path / "drawn by hand.csv")
    with pytest.raises(ValueError, match=r"cell_1\.csv: no cell outline; put one .* as cell_1_ROI_1\.csv"):
        cat.similar(folder / "cell_1.csv")
    for outlines in ([tmp_path / "drawn by hand.csv"], str(tmp_path / "drawn by hand.csv")):
        assert cat.similar(folder / "cell_1.csv", outlines=outlines).equals(expected)
    tiled = [cat.similar(folder / "cell_1.csv", "unthinned", whole_field=True, outlines=o) for o in ((), outlines)]
    assert (tiled[0].set_index("dataset")["n_pairs"] > tiled[1].set_index("dataset")["n_pairs"]).all()


def test_similar__of_a_file_writes_nothing(cat, scored):
    before = {path: path.stat().st_mtime_ns for path in scored.rglob("*")}
    cat.similar(scored / "coll" / "b" / "cell_1.csv")
    assert {path: path.stat().st_mtime_ns for path in scored.rglob("*")} == before


@pytest.mark.parametrize(
    ("name", "mode", "error", "message"),
    [
        ("nothing", "thinned", KeyError, "neither a dataset nor a file: 'nothing'; `nanolake ls` lists the datasets"),
        ("!!!", "thinned", KeyError, "neither a dataset nor a file: '!!!'"),
        ("/nothing.csv", "thinned", ValueError, r"/nothing\.csv: no such file"),
        (A, "sparse", ValueError, "mode is 'sparse'; choose one of unthinned, thinned"),
        (SPARSE, "thinned", ValueError, r"sparse has no ROI .* \(none holds 5 localizations per um2\); use the unth"),
    ],
)
def test_similar__says_what_is_wrong(cat, name, mode, error, message):
    with pytest.raises(error, match=message):
        cat.similar(name, mode)


def test_similar__of_a_sparse_file_says_how_much_it_takes(cat, scored):
    with pytest.raises(
        ValueError, match=r"none of the file's 4 ROIs .* each needs 45 localizations; use the unthinned"
    ):
        cat.similar(scored / "coll" / "sparse" / "cell_1.csv")


@pytest.mark.parametrize("ask", ["lambda_matrix", "self_similarity", "scores"])
def test_catalog__names_the_modes(cat, ask):
    arguments = () if ask == "scores" else (A,)
    with pytest.raises(ValueError, match="mode is 'sparse'; choose one of unthinned, thinned"):
        getattr(cat, ask)(*arguments, mode="sparse")


def test_catalog__without_removed_datasets(changeable):
    lake, _ = changeable
    before = open_catalog(lake)
    pipeline.remove(lake, B)
    cat = open_catalog(lake)
    assert set(cat) == {A, C, SPARSE}
    assert cat.similar(A)["dataset"].tolist() == [C]
    assert B not in set(cat.scores("unthinned")["other"])
    with pytest.raises(KeyError, match="neither a dataset nor a file"):
        cat.similar(B)
    # Whoever opened the catalog before still sees what there was.
    assert before[B].to_xarray().load().sizes["localization"] == 320
    assert set(before.similar(A)["dataset"]) == {B, C}


def test_catalog__lets_replaced_and_new_datasets_wait_for_their_scores(changeable):
    lake, collection = changeable
    old = open_catalog(lake).similar(C)
    write_metadata(collection / "a", "TIGIT on NK cells", cell_type="T cell")
    write_dataset(collection / "z", "New", seed=9, rois=4, per_roi=80)
    pipeline.ingest(lake, [collection])
    cat = open_catalog(lake)
    hits = cat.similar(C)
    assert hits["dataset"].tolist() == [B]
    assert sorted(hits.attrs["waiting"]) == ["new", A]
    for name in (A, "new"):
        with pytest.raises(ValueError, match=f"dataset {name} is not scored yet in its present version; run `nanolake"):
            cat.similar(name)
    pipeline.score(lake)
    hits = open_catalog(lake).similar(C)
    assert set(hits["dataset"]) == {A, B, "new"}
    assert hits.attrs["waiting"] == []
    pd.testing.assert_frame_equal(
        hits.query("dataset != 'new'")[["dataset", "mean"]].reset_index(drop=True), old[["dataset", "mean"]]
    )


def test_catalog__ranks_what_came_back_after_it_was_removed(changeable):
    """What is scored while a dataset is away is compared with it when it is back."""
    lake, collection = changeable
    pipeline.remove(lake, B)
    write_dataset(collection / "z", "New", seed=9, rois=4, per_roi=80)
    shutil.move(collection / "b", collection.parent / "b")
    pipeline.ingest(lake, [collection])
    pipeline.score(lake)
    pipeline.ingest(lake, [collection.parent / "b"])
    pipeline.score(lake)
    hits = open_catalog(lake).similar(B)
    assert set(hits["dataset"]) == {A, C, "new"}
    assert set(open_catalog(lake).similar("new")["dataset"]) == {A, B, C}


def test_runs__are_the_newest_first(cat):
    assert cat.runs["kind"].tolist() == ["score", "ingest"]
    assert cat.runs["n_datasets"].tolist() == [4, 4]


def test_repr__is_readable(cat):
    text = repr(cat)
    assert text.startswith(f"<Catalog of {cat.lake.url}: 4 datasets, scores: g0001>")
    assert A in text
    assert "TIGIT on NK cells" in text
    assert repr(cat[A]).startswith(
        "<Dataset tigit-on-nk-cells: 'TIGIT on NK cells' (TIGIT, Alexa Fluor 647, dSTORM), 640 "
    )


def test_repr_html__is_escaped(cat):
    page = cat._repr_html_()
    assert "4 datasets" in page
    assert "&lt;b&gt;NKp30&lt;/b&gt; &amp; co" in page
    assert "<b>NKp30" not in page


def test_repr__says_how_many_more_there_are(cat, monkeypatch):
    from catalog import catalog as module

    monkeypatch.setattr(module, "_MAX_SHOWN", 3)
    assert repr(cat).endswith("... 1 more; see .datasets")
