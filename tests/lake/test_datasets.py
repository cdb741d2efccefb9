"""The Zarr group of a dataset version: written once, finished last, and checked chunk by chunk."""

import itertools

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from lake import datasets, storage
from lake.columns import COLUMNS
from lake.datasets import Layout

PREFIX = "datasets/d/v1"
ROWS = 10


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "ROWS", ROWS)
    return storage.normalise(tmp_path / "lake é")


def localizations(n):
    rng = np.random.default_rng(n)
    return {"x_nm": rng.normal(0, 1e4, n), "frame": np.arange(n, dtype=np.int32)}


def write_version(url, n=25, order=(0, 1, 2)):
    """Write a small version, its pieces in any order; return its attributes."""
    columns = localizations(n)
    datasets.create_localizations(url, PREFIX, tuple(columns), n)
    sums = {}
    for piece in order:
        rows = slice(piece * ROWS, (piece + 1) * ROWS)
        part = {name: values[rows] for name, values in columns.items()}
        for path, chunks in datasets.write_localizations(url, PREFIX, rows.start, part, n).items():
            sums.setdefault(path, {}).update(chunks)
    rois = {"row": np.array([0, 0, 1]), "x_nm": np.array([0.0, 3000.0, 0.0])}
    sums |= datasets.write_rois(url, PREFIX, rois, np.array([[3, 1], [0, 0], [4, 0]], np.uint16))
    sums |= datasets.write_outlines(url, PREFIX, [np.eye(3, 2), np.ones((4, 2))], [0, 0])
    return {"dataset": "d", "checksums": sums}


def chunk_files(url, path):
    folder = storage.local_path(url) / PREFIX / path
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.name != "zarr.json")


def test_sealed__is_none_of_what_is_not_there_and_of_what_is_unfinished(url):
    assert datasets.sealed(url, PREFIX) is None
    attributes = write_version(url)
    assert datasets.sealed(url, PREFIX) is None
    assert datasets.verify(url, PREFIX) == [f"{PREFIX}: unfinished or missing"]
    datasets.seal(url, PREFIX, attributes)
    assert datasets.sealed(url, PREFIX) == attributes
    assert datasets.verify(url, PREFIX) == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_write_localizations__gives_the_same_arrays_in_any_order_of_pieces(url, order):
    attributes = write_version(url, order=order)
    for name, values in localizations(25).items():
        array = zarr.open_array(storage.zarr_store(url), path=f"{PREFIX}/localizations/{name}", mode="r")
        np.testing.assert_array_equal(array[:], values)
        assert array.chunks == (ROWS,)
        assert set(attributes["checksums"][f"localizations/{name}"]) == {"0", "1", "2"}
    datasets.seal(url, PREFIX, attributes)
    assert datasets.verify(url, PREFIX) == []


def test_localizations__carry_unit_meaning_dtype_and_dimension(url):
    datasets.create_localizations(url, PREFIX, tuple(COLUMNS), 3)
    for name, column in COLUMNS.items():
        array = datasets.open_array(url, f"{PREFIX}/localizations/{name}")
        assert (array.dtype, array.shape) == (np.dtype(column.dtype), (3,))
        assert array.metadata.dimension_names == ("localization",)
        assert dict(array.attrs) == {"unit": column.unit, "meaning": column.meaning}


def test_localizations__that_a_file_lacks_are_nan_or_minus_one(url):
    datasets.create_localizations(url, PREFIX, ("photons", "frame"), 2)
    assert np.isnan(datasets.read_array(url, f"{PREFIX}/localizations/photons")).all()
    assert datasets.read_array(url, f"{PREFIX}/localizations/frame").tolist() == [-1, -1]


def test_create_array__opens_what_an_interrupted_attempt_left(url):
    layout = Layout((4,), (2,), "int32", ("roi",), {})
    datasets.create_array(url, "a", layout)[:2] = [5, 6]
    datasets.create_array(url, "a", layout)[2:] = [7, 8]
    assert datasets.read_array(url, "a").tolist() == [5, 6, 7, 8]


def test_create_array__names_dimensions_and_holds_nothing_too(url):
    array = datasets.create_array(url, "a", Layout((0, 3), (8, 8), "float32", ("roi", "k"), {"unit": "nm"}))
    assert (array.shape, array.metadata.dimension_names) == ((0, 3), ("roi", "k"))
    assert datasets.write_array(url, "b", np.empty(0), Layout((0,), (8,), "float64", ("roi",), {})) == {}
    assert datasets.read_array(url, "b").shape == (0,)


def test_write_rois__keeps_table_and_histograms(url):
    write_version(url)
    group = zarr.open_group(storage.zarr_store(url), path=PREFIX, mode="r")
    assert group["rois/x_nm"][:].tolist() == [0.0, 3000.0, 0.0]
    assert group["rois/x_nm"].attrs["unit"] == "nm"
    assert group["histograms"][:].tolist() == [[3, 1], [0, 0], [4, 0]]
    assert group["histograms"].metadata.dimension_names == ("roi", "k")


def test_write_outlines__keeps_vertices_and_where_each_starts(url):
    write_version(url)
    group = zarr.open_group(storage.zarr_store(url), path=f"{PREFIX}/outlines", mode="r")
    assert group["offsets"][:].tolist() == [0, 3, 7]
    np.testing.assert_array_equal(group["vertices_nm"][3:7], np.ones((4, 2)))
    assert group["file"][:].tolist() == [0, 0]


def test_write_outlines__of_a_whole_field_are_none(url):
    datasets.write_outlines(url, PREFIX, [], [])
    assert datasets.read_array(url, f"{PREFIX}/outlines/vertices_nm").shape == (0, 2)
    assert datasets.read_array(url, f"{PREFIX}/outlines/offsets").tolist() == [0]


def test_open_array__says_what_is_missing(url):
    write_version(url)
    with pytest.raises(ValueError, match=r"v1/localizations/y_nm: array is missing; .*Open the catalog anew"):
        datasets.open_array(url, f"{PREFIX}/localizations/y_nm")


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "replace"])
@pytest.mark.parametrize("path", ["localizations/x_nm", "rois/row", "histograms", "outlines/vertices_nm"])
def test_verify__finds_a_damaged_chunk_and_names_it(url, path, damage):
    datasets.seal(url, PREFIX, write_version(url))
    file = chunk_files(url, path)[0]  # a last chunk may end in padding, whose damage harms nobody
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-1] ^= 0x10
    elif damage == "truncate":
        content = content[: len(content) // 2]
    elif damage == "replace":
        content = chunk_files(url, "localizations/frame")[1].read_bytes()
    if damage == "delete":
        file.unlink()
    else:
        file.write_bytes(content)
    (problem,) = datasets.verify(url, PREFIX)
    assert problem.startswith(f"{PREFIX}/{path} chunk ")


def test_verify__finds_a_missing_array(url):
    datasets.seal(url, PREFIX, write_version(url))
    storage.delete(url, f"{PREFIX}/histograms")
    (problem,) = datasets.verify(url, PREFIX)
    assert f"{PREFIX}/histograms: array is missing" in problem


@given(st.data())
def test_chunk_checksums__one_value_changes_the_sum_of_its_chunk_alone(data):
    shape = data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=2))
    chunks = [data.draw(st.integers(1, size)) for size in shape]
    first = data.draw(st.integers(0, 3))
    place = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    before = datasets.chunk_checksums(values, chunks, first)
    values[place] += 0.5
    after = datasets.chunk_checksums(values, chunks, first)
    own = [i // c for i, c in zip(place, chunks, strict=True)]
    own[0] += first
    assert before.keys() == after.keys()
    assert {key for key in before if before[key] != after[key]} == {".".join(map(str, own))}
