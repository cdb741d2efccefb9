"""Ingest: what is stored is what the files hold, once, whatever the workers and the chunks."""

import itertools
import re
import shutil
from collections import Counter

import fsspec
import numpy as np
import pandas as pd
import pytest
import shapely
from tiny_collection import localizations, strip_um, write_dataset, write_metadata, write_outline, write_table

from catalog import open_catalog
from jobs import pipeline
from lake import current, datasets, paths, storage, tables
from lake.collection import natural_order
from lake.parameters import Parameters

TILE_NM = 3000.0
STORED = {"x_nm": "x [nm]", "y_nm": "y [nm]", "photons": "intensity [photon]", "precision_nm": "uncertainty [nm]"}


@pytest.fixture
def lake(tmp_path):
    pipeline.init(tmp_path / "lake é 1")
    return tmp_path / "lake é 1"


def write_three(folder):
    """Write a collection of three datasets; two of them have several files."""
    for seed, (name, files, rois) in enumerate([("a", 1, 2), ("B ü", 3, 1), ("c", 2, 3)], 1):
        write_dataset(folder / name, seed=seed, files=files, rois=rois)
    return folder


@pytest.fixture
def collection(tmp_path):
    return write_three(tmp_path / "coll é")


@pytest.fixture(scope="module")
def ingested_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once")
    pipeline.init(folder / "lake")
    outcome = pipeline.ingest(folder / "lake", [write_three(folder / "coll")], workers=2)
    assert sorted(row["dataset"] for row in outcome.registered) == ["a", "b-u", "c"]
    return folder


@pytest.fixture
def ingested(ingested_once, tmp_path):
    """Return a lake that holds a collection, and the collection; both may be changed."""
    shutil.copytree(ingested_once, tmp_path / "moved")
    return tmp_path / "moved" / "lake", tmp_path / "moved" / "coll"


@pytest.fixture(scope="module")
def real(shared_data, tmp_path_factory):
    """The real collection, ingested."""
    lake = tmp_path_factory.mktemp("real") / "lake"
    pipeline.init(lake)
    outcome = pipeline.ingest(lake, [shared_data / "collection"])
    assert outcome.problems == []
    return lake


def objects(lake, prefix=""):
    """Return the bytes of all objects of a lake, by name."""
    folder = lake / prefix
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def reference(folder, tile_nm=TILE_NM, bin_nm=30.0):
    """Return localizations and ROIs of a dataset folder, found tile by tile from its files."""
    found, rois = [], []
    names = sorted((p.name for p in folder.glob("*.csv") if "_ROI" not in p.name), key=natural_order)
    for number, name in enumerate(names):
        table = pd.read_csv(folder / name).assign(file=number)
        bins = [np.floor(table[f"{axis} [nm]"] / bin_nm).astype(int) for axis in "yx"]
        table["row"], table["col"] = (axis // round(tile_nm / bin_nm) for axis in bins)
        counts = {}
        for tile, n in table.groupby(["row", "col", bins[0].rename("by"), bins[1].rename("bx")]).size().items():
            counts.setdefault(tile[:2], Counter())[n] += 1
        outlines = sorted((p.name for p in folder.glob(f"{name[:-4]}_ROI*.csv")), key=natural_order)
        polygons = [shapely.Polygon((pd.read_csv(folder / o) * 1000).round(3).to_numpy()) for o in outlines]
        low, high = np.floor(np.reshape(shapely.total_bounds(polygons), (2, 2)) / tile_nm).astype(int)
        for row, col in itertools.product(range(low[1], high[1] + 1), range(low[0], high[0] + 1)):
            tile = shapely.box(*(np.array([col, row, col + 1, row + 1]) * tile_nm))
            if shapely.covers(polygons, tile).any():
                rois.append((number, row, col, counts.get((row, col), Counter())))
        found.append(table.sort_values(["row", "col"], kind="stable"))
    return pd.concat(found, ignore_index=True), rois


def assert_holds(lake, dataset, folder):
    """Compare a dataset of a lake with the files that it came from."""
    entry = open_catalog(lake)[dataset]
    table, expected = reference(folder)
    stored = entry.to_xarray().load()
    for name, column in STORED.items():
        if column in table:
            np.testing.assert_array_equal(stored[name], table[column].astype(stored[name].dtype))
    np.testing.assert_array_equal(stored["frame"], table["frame"] - 1)
    rois = entry.rois.load().to_dataframe()
    assert list(zip(rois["file"], rois["row"], rois["col"], strict=True)) == [roi[:3] for roi in expected]
    np.testing.assert_array_equal(rois[["x_nm", "y_nm"]], rois[["col", "row"]] * TILE_NM)
    histograms = entry.histograms.to_numpy()
    for i, (*place, counts) in enumerate(expected):
        assert {k: n for k, n in enumerate(histograms[i].tolist(), 1) if n} == counts
        own = table.iloc[rois["start"][i] : rois["stop"][i]]
        assert (own[["file", "row", "col"]] == place).all(axis=None)
        assert rois["n_localizations"][i] == len(own) == sum(k * n for k, n in counts.items())
    assert datasets.verify(entry.lake.url, paths.dataset(*entry.key)) == []


@pytest.mark.parametrize(
    ("dataset", "folder", "n", "n_rois"),
    [
        ("egfr-af647-c15", "EGFR_AF647", 195_724, 821),
        ("egfr-cf568-c15", "EGFR_CF568", 100_045, 410),
        ("ereg-af647-c15", "EREG_AF647", 71_100, 410),
        ("ereg-cf568-c15", "EREG_CF568", 146_835, 821),
    ],
)
def test_ingest__of_the_real_collection_equals_its_files(real, shared_data, dataset, folder, n, n_rois):
    row = open_catalog(real)[dataset].row
    assert (row["n_localizations"], row["n_rois"]) == (n, n_rois)
    assert_holds(real, dataset, shared_data / "collection" / folder)


def test_ingest__of_the_real_collection_counts_localizations_rois_and_files(real):
    table = open_catalog(real).datasets
    assert table["n_localizations"].sum() == 513_704
    assert table["n_rois"].sum() == 2462
    assert table["n_files"].sum() == 10
    inside = [int(open_catalog(real)[name].rois["n_localizations"].sum()) for name in table["dataset"]]
    np.testing.assert_allclose(table["density_per_um2"], inside / (9.0 * table["n_rois"]))
    assert (table["coverage"].between(0.4, 0.8)).all()
    assert table["precision_nm"].isna().all()


@pytest.mark.parametrize(("dataset", "folder"), [("a", "a"), ("b-u", "B ü"), ("c", "c")])
def test_ingest__of_synthetic_files_equals_them(ingested_once, dataset, folder):
    assert_holds(ingested_once / "lake", dataset, ingested_once / "coll" / folder)


def test_ingest__stores_metadata_quality_and_provenance(lake, tmp_path):
    fields = {"fluorophore": "Alexa Fluor 647", "drift_corrected": True, "tags": ["NK", "resting"], "license": "MIT"}
    folder = write_dataset(tmp_path / "coll" / "a", "TIGIT on NK", files=2, **fields)
    (row,) = pipeline.ingest(lake, [tmp_path / "coll"]).registered
    stored = open_catalog(lake)["tigit-on-nk"]
    assert stored.row["tags"] == ["NK", "resting"]
    assert {stored.row[name] for name in ("fluorophore", "license", "source")} == {"Alexa Fluor 647", "MIT", "a"}
    assert stored.row["blink_corrected"] is None
    table, rois = reference(folder)
    assert stored.row["precision_nm"] == pytest.approx(table["uncertainty [nm]"].mean(), rel=1e-6)
    inside = sum(k * n for *_, counts in rois for k, n in counts.items())
    assert stored.row["density_per_um2"] == pytest.approx(inside / (9.0 * len(rois)))
    assert stored.row["coverage"] == pytest.approx(2 * 9.0 / (6.2 * 3.2))
    assert stored.row["max_bin_count"] == max(max(counts) for *_, counts in rois if counts)
    assert row["seconds"] > 0
    assert stored.files["format"].tolist() == ["thunderstorm-csv"] * 2
    assert stored.files["provenance"][0]["frame_base"] == 1
    assert stored.files["start"].tolist() == [0, 80]


def test_ingest__of_the_same_again_does_nothing(ingested):
    lake, collection = ingested
    before = objects(lake)
    again = pipeline.ingest(lake, [collection, f"{collection}/"])
    assert (again.registered, again.problems) == ([], [])
    assert sorted(again.unchanged) == ["a", "b-u", "c"]
    assert objects(lake) == before


def add_file(folder):
    write_table(folder / "cell_9.csv", localizations(9))
    write_outline(folder / "cell_9_ROI_1.csv", strip_um(2))


def remove_file(folder):
    for path in folder.glob("cell_2*"):
        path.unlink()


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write_table(folder / "cell_1.csv", localizations(77)),
        lambda folder: write_outline(folder / "cell_1_ROI_1.csv", strip_um(1)),
        lambda folder: write_outline(folder / "cell_1_ROI_2.csv", [(-9, -9), (-1, -9), (-1, -1), (-9, -1)]),
        lambda folder: write_metadata(folder, "c", cell_type="NK cell"),
        add_file,
        remove_file,
    ],
    ids=["file", "outline", "new outline", "metadata", "new file", "file gone"],
)
def test_ingest__of_a_changed_folder_makes_a_new_version_and_retires_the_old(ingested, change):
    lake, collection = ingested
    old = {name: open_catalog(lake)[name].key for name in open_catalog(lake)}
    stored = objects(lake, "datasets/c")
    change(collection / "c")
    outcome = pipeline.ingest(lake, [collection])
    assert [row["dataset"] for row in outcome.registered] == ["c"]
    assert sorted(outcome.unchanged) == ["a", "b-u"]
    new = {name: open_catalog(lake)[name].key for name in open_catalog(lake)}
    assert {name for name in new if new[name] != old[name]} == {"c"}
    assert open_catalog(lake)["c"].row["revision"] == 2
    assert_holds(lake, "c", collection / "c")
    # The old version is untouched, for whoever opened the catalog before.
    assert stored.items() <= objects(lake, "datasets/c").items()


def test_ingest__of_a_renamed_title_is_a_dataset_beside_the_old_one(ingested):
    lake, collection = ingested
    write_metadata(collection / "c", "another c")
    pipeline.ingest(lake, [collection])
    assert set(open_catalog(lake)) == {"a", "b-u", "c", "another-c"}


def test_ingest__of_what_was_there_before_is_a_version_of_its_own(ingested):
    """Scores of the time in which it was retired lack it, so it has to be scored again."""
    lake, collection = ingested
    first = {name: open_catalog(lake)[name].row["version"] for name in "ac"}
    pipeline.remove(lake, "a")
    write_metadata(collection / "c", "c", cell_type="NK cell")
    changed = pipeline.ingest(lake, [collection])
    write_metadata(collection / "c", "c")
    back = pipeline.ingest(lake, [collection])
    versions = {row["dataset"]: row["version"] for row in changed.registered + back.registered}
    assert versions == {"a": f"{first['a']}-2", "c": f"{first['c']}-2"}
    for name in ("a", "c"):
        assert_holds(lake, name, collection / name)
    assert sorted(pipeline.ingest(lake, [collection]).unchanged) == ["a", "b-u", "c"]


@pytest.mark.parametrize("rows", [17, 100])
def test_ingest__makes_the_same_bytes_with_any_number_of_workers(tmp_path, collection, monkeypatch, rows):
    monkeypatch.setattr(datasets, "ROWS", rows)
    made = []
    for workers in (1, 5):
        pipeline.init(tmp_path / str(workers))
        pipeline.ingest(tmp_path / str(workers), [collection], workers=workers)
        made.append(objects(tmp_path / str(workers), "datasets"))
    assert made[0] == made[1]
    for dataset, folder in (("b-u", "B ü"), ("c", "c")):
        assert_holds(tmp_path / "5", dataset, collection / folder)
    chunks = [name for name in made[0] if re.match(r"c/\w+/localizations/x_nm/c/\d+$", name)]
    assert len(chunks) == -(-240 // rows)


def test_ingest__fills_columns_that_some_files_lack(lake, tmp_path):
    folder = tmp_path / "coll" / "a"
    write_dataset(folder, files=3)
    plain = localizations(2)
    write_table(folder / "cell_2.csv", {name: plain[name] for name in ("x [nm]", "y [nm]")})
    write_table(
        folder / "cell_3.csv", {"x [nm]": plain["x [nm]"], "y [nm]": plain["y [nm]"], "z [nm]": plain["y [nm]"]}
    )
    pipeline.ingest(lake, [tmp_path / "coll"])
    stored = open_catalog(lake)["a"].to_xarray().to_dataframe()
    assert set(stored) == {"x_nm", "y_nm", "z_nm", "frame", "photons", "precision_nm"}
    first, others = stored[:80], stored[80:]
    assert first[["frame", "photons", "precision_nm"]].notna().all(axis=None)
    assert (first["frame"] >= 0).all()
    assert others[["photons", "precision_nm"]].isna().all(axis=None)
    assert (others["frame"] == -1).all()
    assert stored["z_nm"].notna().tolist() == [False] * 160 + [True] * 80
    assert (stored["z_nm"] == stored["y_nm"])[160:].all()
    assert open_catalog(lake)["a"].files["precision_nm"].notna().tolist() == [True, False, False]
    assert open_catalog(lake)["a"].to_xarray()["x_nm"].attrs["unit"] == "nm"


def test_ingest__whole_field_tiles_files_without_outlines_alone(lake, collection):
    (collection / "a" / "cell_1_ROI_1.csv").unlink()
    pipeline.ingest(lake, [collection])
    assert set(open_catalog(lake)) == {"b-u", "c"}
    outcome = pipeline.ingest(lake, [collection], whole_field=True)
    assert [row["dataset"] for row in outcome.registered] == ["a"]
    assert sorted(outcome.unchanged) == ["b-u", "c"]
    entry = open_catalog(lake)["a"]
    tiles = {(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1, 2)}
    rois = entry.rois.to_dataframe()
    assert set(zip(rois["row"], rois["col"], strict=True)) == tiles
    assert rois["n_localizations"].sum() == entry.row["n_localizations"] == 80
    assert (rois["outline"] == -1).all()
    assert (entry.row["coverage"], entry.row["area_um2"]) == (1.0, 9.0 * len(tiles))
    assert entry.outlines.sizes["outline"] == 0


def test_ingest__follows_the_parameters_of_the_lake(tmp_path, collection):
    pipeline.init(tmp_path / "lake", Parameters(bin_nm=50.0, tile_bins=20, thinning_density_per_um2=2.0))
    pipeline.ingest(tmp_path / "lake", [collection])
    entry = open_catalog(tmp_path / "lake")["a"]
    table, expected = reference(collection / "a", tile_nm=1000.0, bin_nm=50.0)
    assert entry.row["n_rois"] == len(expected) == 18
    dense = [sum(k * n for k, n in counts.items()) >= 2 for *_, counts in expected]
    assert entry.row["n_rois_dense"] == sum(dense)
    np.testing.assert_array_equal(entry.to_xarray()["x_nm"], table["x [nm]"])


def test_ingest__takes_several_collections_and_urls_at_once(lake, tmp_path):
    write_dataset(tmp_path / "one" / "a", seed=1)
    write_dataset(tmp_path / "two" / "b", seed=2)
    outcome = pipeline.ingest(lake, [tmp_path / "one", f"file://{tmp_path / 'two'}", tmp_path / "two" / "b"])
    assert (sorted(row["dataset"] for row in outcome.registered), outcome.problems) == (["a", "b"], [])


def test_ingest__from_another_filesystem_is_the_same(lake, ingested_once):
    memory = fsspec.filesystem("memory")
    memory.put(str(ingested_once / "coll"), "/Sammlung é 1", recursive=True)
    try:
        assert pipeline.ingest(lake, ["memory://Sammlung é 1"]).problems == []
    finally:
        memory.rm("/", recursive=True)
    assert objects(lake, "datasets") == objects(ingested_once / "lake", "datasets")


def test_ingest__names_what_it_did_not_read(lake, collection):
    (collection / "a" / "overview.png").write_bytes(b"")
    (collection / "a" / "raw").mkdir()
    outcome = pipeline.ingest(lake, [collection])
    assert outcome.notes == [
        "a/raw/: not a localization file, not read",
        "a/overview.png: not a localization file, not read",
    ]
    assert outcome.problems == []


def test_ingest__is_recorded_as_a_run(lake, collection):
    pipeline.ingest(lake, [collection])
    (run,) = tables.read(storage.normalise(lake), "runs").to_pylist()
    assert (run["kind"], run["n_datasets"]) == ("ingest", 3)
    assert run["finished_at"] >= run["started_at"]
    assert run["user"]
    assert run["nanolake"]
    assert current.published(storage.normalise(lake)).datasets_version == run["datasets_version"]
