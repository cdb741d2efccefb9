"""Simulated collections: nano-org's upload form, exact numbers, and the same bytes from the same seed."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely

from compute.simulate import PRESETS, Preset, localization_error, simulate_roi
from jobs.simulated_collection import describe, write_collection
from lake.collection import find_datasets, open_source
from lake.formats import read_localizations
from lake.grid import Grid
from lake.metadata import read_metadata

CONDITIONS = {"Ten clusters": PRESETS["clusters-10"], "Parallel fibres": PRESETS["fibres-parallel"]}
THUNDERSTORM = '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","uncertainty [nm]"'  # header, quoted


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Two conditions of two files of 12 ROIs: more than one row, and a row that is not full."""
    folder = tmp_path_factory.mktemp("collection")
    write_collection(folder, CONDITIONS, rois_per_file=12, localizations_per_roi=950)
    return folder


def bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tiles_of(table):
    grid = Grid()
    return pd.DataFrame({"column": grid.tiles(table["x [nm]"]), "row": grid.tiles(table["y [nm]"])})


def test_write_collection__makes_the_files_of_an_upload(collection):
    assert sorted(str(path) for path in bytes_of(collection)) == [
        f"{dataset}/{name}"
        for dataset in ("parallel-fibres", "ten-clusters")
        for name in (
            "dataset.yaml",
            *(f"{dataset}_cell_{n}{suffix}" for n in (1, 2) for suffix in (".csv", "_ROI_1.csv")),
        )
    ]


def test_write_collection__writes_thunderstorm_tables(collection):
    path = collection / "ten-clusters" / "ten-clusters_cell_1.csv"
    assert path.read_text().splitlines()[0] == THUNDERSTORM
    table = pd.read_csv(path)
    assert len(table) == 12 * 950
    assert table["id"].tolist() == list(range(1, 12 * 950 + 1))
    assert table["frame"].is_monotonic_increasing
    assert table["frame"].between(1, 10_000).all()
    assert table["uncertainty [nm]"].median() == pytest.approx(5.0, rel=0.02)
    assert table["sigma [nm]"].mean() == pytest.approx(130.0, rel=0.01)
    photons = (table["sigma [nm]"] / table["uncertainty [nm]"]) ** 2
    np.testing.assert_allclose(table["intensity [photon]"], photons, rtol=0.01)


def test_write_collection__fills_ten_tiles_a_row_with_the_same_number(collection):
    for path in collection.glob("*/*_cell_?.csv"):
        counts = tiles_of(pd.read_csv(path)).value_counts().to_dict()
        assert counts == {(index % 10, index // 10): 950 for index in range(12)}


@pytest.mark.parametrize(("n_rois", "height_um"), [(1, 3), (10, 3), (11, 6), (30, 9)])
def test_write_collection__outlines_touch_the_tiles(tmp_path, n_rois, height_um):
    (dataset,) = write_collection(tmp_path, {"U": Preset()}, n_rois, 1, localizations_per_roi=3)
    outline = pd.read_csv(dataset / "u_cell_1_ROI_1.csv")
    assert outline.columns.tolist() == ["X", "Y"]
    assert outline.to_numpy().tolist() == [[0, 0], [30, 0], [30, height_um], [0, height_um]]
    polygon = shapely.Polygon(outline.to_numpy() * 1000)
    for column, row in tiles_of(pd.read_csv(dataset / "u_cell_1.csv")).drop_duplicates().to_numpy():
        assert polygon.covers(shapely.box(*(3000 * np.array([column, row, column + 1, row + 1]))))


def test_write_collection__keeps_localizations_at_the_border_in_their_tile(tmp_path):
    # A precision far above the tile spreads them up to the last representable number below its border.
    (dataset,) = write_collection(tmp_path, {"U": Preset()}, 10, 1, 20_000, precision_nm=1e6)
    table = pd.read_csv(dataset / "u_cell_1.csv")
    assert table["x [nm]"].mod(3000).max() > 2999.8
    assert tiles_of(table).value_counts().to_dict() == {(column, 0): 20_000 for column in range(10)}


def test_write_collection__is_the_simulation_rounded_down_to_hundredths(tmp_path):
    preset = PRESETS["clusters-10"]
    (dataset,) = write_collection(tmp_path, {"A": preset}, 2, 1, 900, seed=5)
    table = pd.read_csv(dataset / "a_cell_1.csv")
    second = table[["x [nm]", "y [nm]"]][table["x [nm]"] >= 3000].sort_values("x [nm]").to_numpy()
    rng = np.random.default_rng([5, 1, 1, *b"A"])
    expected = localization_error(rng, simulate_roi(rng, preset), 5.0)[0] + [3000.0, 0.0]
    difference_nm = expected[np.argsort(expected[:, 0])] - second
    assert np.all(difference_nm[:, 0] > -1e-9)
    assert np.all(difference_nm[:, 0] < 0.01 + 1e-9)


def test_write_collection__without_error_leaves_out_its_columns(tmp_path):
    (dataset,) = write_collection(tmp_path, {"U": Preset()}, 1, 1, 10, precision_nm=0.0)
    columns = pd.read_csv(dataset / "u_cell_1.csv").columns.tolist()
    assert columns == ["id", "frame", "x [nm]", "y [nm]", "sigma [nm]"]


def test_write_collection__is_determined_by_the_seed(collection, tmp_path):
    write_collection(tmp_path / "same", CONDITIONS, rois_per_file=12, localizations_per_roi=950)
    assert bytes_of(tmp_path / "same") == bytes_of(collection)
    write_collection(tmp_path / "other", CONDITIONS, rois_per_file=12, localizations_per_roi=950, seed=1)
    tables = [path for path in bytes_of(collection) if path.name.endswith(("_1.csv", "_2.csv"))]
    other = bytes_of(tmp_path / "other")
    changed = [path for path in tables if other[path] != bytes_of(collection)[path]]
    assert len(changed) == 4


def test_write_collection__does_not_depend_on_order_or_on_what_else_is_written(collection, tmp_path):
    more = {"Uniform": Preset(), **dict(reversed(CONDITIONS.items()))}
    write_collection(tmp_path, more, rois_per_file=13, files_per_condition=3, localizations_per_roi=950)
    for dataset in ("ten-clusters", "parallel-fibres"):
        for file in (1, 2):
            name = f"{dataset}/{dataset}_cell_{file}.csv"
            few, many = pd.read_csv(collection / name), pd.read_csv(tmp_path / name)
            tiles = tiles_of(many)
            without_last = many[(tiles["row"] == 0) | (tiles["column"] < 2)].drop(columns="id")
            pd.testing.assert_frame_equal(few.drop(columns="id"), without_last.reset_index(drop=True))


def test_write_collection__files_and_conditions_differ(collection):
    tables = [pd.read_csv(path)["x [nm]"].to_numpy() for path in collection.glob("*/*_cell_?.csv")]
    assert len(tables) == 4
    assert len({table.tobytes() for table in tables}) == 4


def test_write_collection__metadata_state_the_preset_and_its_numbers(collection):
    path = collection / "ten-clusters" / "dataset.yaml"
    metadata = read_metadata(path.read_text(), path.name)
    assert metadata.title == "Ten clusters"
    assert (metadata.modality, metadata.protein, metadata.fluorophore) == ("other", "simulated", "simulated")
    assert (metadata.drift_corrected, metadata.blink_corrected) == (True, True)
    assert metadata.localization_software == "nanolake simulate"
    assert metadata.license == "CC0-1.0"
    assert metadata.tags == ("simulated", "clusters")
    assert metadata.description == (
        "Simulated: 950 localizations a ROI, 100 % in 10 Gaussian clusters (sigma 30 nm), "
        "median precision 5 nm, seed 0."
    )


def test_write_collection__is_read_back_by_the_lake(collection):
    datasets = find_datasets(collection)
    assert [dataset.name for dataset in datasets] == ["parallel-fibres", "ten-clusters"]
    for file in (file for dataset in datasets for file in dataset.files):
        assert len(file.outlines) == 1
        read = read_localizations(open_source(file))
        table = pd.read_csv(pa.BufferReader(open_source(file).data))
        np.testing.assert_array_equal(read.columns["x_nm"], table["x [nm]"])
        np.testing.assert_allclose(read.columns["precision_nm"], table["uncertainty [nm]"], rtol=1e-6)
        np.testing.assert_array_equal(read.columns["frame"], table["frame"] - 1)


def test_describe__names_every_part_and_number():
    preset = Preset(0.25, 0.25, n_clusters=(10, 30), n_fibres=(4,), orientation="parallel", placement="even")
    assert describe(preset) == (
        "900 localizations a ROI, 25 % in 10 or 30 Gaussian clusters (sigma 30 nm), "
        "25 % on 4 fibres (parallel directions, even spacing, width 10 nm), 50 % uniformly random"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rois_per_file": 0}, "rois_per_file is 0: ask for at least one"),
        ({"files_per_condition": 0}, "files_per_condition is 0"),
        ({"localizations_per_roi": 0}, "localizations_per_roi is 0"),
        ({"precision_nm": -1.0}, "precision_nm is -1.0: choose 0 nm or more"),
        ({"precision_nm": float("nan")}, "precision_nm is nan"),
        ({"seed": -1}, "seed is -1: choose 0"),
        ({"conditions": {"A b": Preset(), "a-B": Preset()}}, "'A b' and 'a-B' both have the id 'a-b'"),
        ({"conditions": {"?": Preset()}}, "no Latin letter or digit"),
    ],
)
def test_write_collection__refuses_before_it_writes(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_collection(**{"folder": tmp_path / "new", "conditions": {"Title": Preset()}} | arguments)
    assert not (tmp_path / "new").exists()


def test_write_collection__never_writes_into_a_dataset_that_is_there(tmp_path):
    write_collection(tmp_path, {"A": Preset()}, 1, 1, 10)
    before = bytes_of(tmp_path)
    with pytest.raises(ValueError, match=r"a is already there: choose another folder or remove it"):
        write_collection(tmp_path, {"B": Preset(), "A": Preset()}, 1, 1, 10)
    assert bytes_of(tmp_path) == before
