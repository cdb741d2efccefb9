"""Collections as laboratories leave them, on disk and at other URLs."""

import shutil

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_collection import write_dataset, write_outline

from lake import collection
from lake.collection import file_at, find_datasets, natural_order, open_source


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("x")
    return folder


def names_of(urls):
    return [url.rsplit("/", 1)[-1] for url in urls]


def test_find_datasets__returns_folders_with_their_files_and_metadata(tmp_path):
    write_dataset(tmp_path / "b", files=2)
    write_dataset(tmp_path / "a")
    first, second = find_datasets(tmp_path)
    assert (first.name, second.name) == ("a", "b")
    assert [file.name for file in second.files] == ["cell_1.csv", "cell_2.csv"]
    assert names_of(second.files[1].outlines) == ["cell_2_ROI_1.csv"]
    assert second.files[0].nbytes == (tmp_path / "b" / "cell_1.csv").stat().st_size
    assert collection.read_bytes(second.metadata) == (tmp_path / "b" / "dataset.yaml").read_bytes()
    assert (second.stray_outlines, second.ignored) == ((), ())


def test_find_datasets__takes_a_dataset_folder_for_a_collection_of_one(tmp_path):
    (found,) = find_datasets(write_dataset(tmp_path / "a"))
    assert (found.name, len(found.files)) == ("a", 1)


def test_find_datasets__sorts_outlines_and_files_by_number(tmp_path):
    outlines = [f"cell_{cell}_ROI_{n}.csv" for cell in (2, 10) for n in (10, 9, 1)]
    touch(tmp_path / "d", "cell_10.csv", "cell_2.csv", *outlines)
    (found,) = find_datasets(tmp_path)
    assert [file.name for file in found.files] == ["cell_2.csv", "cell_10.csv"]
    assert names_of(found.files[1].outlines) == ["cell_10_ROI_1.csv", "cell_10_ROI_9.csv", "cell_10_ROI_10.csv"]


def test_find_datasets__gives_an_outline_to_the_longest_stem(tmp_path):
    touch(tmp_path / "d", "FOV1.csv", "FOV1_ROI_A.hdf5", "FOV1_ROI_1.csv", "FOV1_ROI_A_ROI_1.csv", "FOV1_ROI_AB.csv")
    (found,) = find_datasets(tmp_path)
    owned = {file.name: names_of(file.outlines) for file in found.files}
    assert owned == {"FOV1.csv": ["FOV1_ROI_1.csv", "FOV1_ROI_AB.csv"], "FOV1_ROI_A.hdf5": ["FOV1_ROI_A_ROI_1.csv"]}


def test_find_datasets__tells_of_outlines_without_a_file(tmp_path):
    touch(tmp_path / "d", "cell_1.csv", "cell_1_ROI_1.csv", "cell_3_ROI_1.csv")
    (found,) = find_datasets(tmp_path)
    assert found.stray_outlines == ("cell_3_ROI_1.csv",)


def test_find_datasets__leaves_out_documents_images_folders_and_hidden_files(tmp_path):
    ignored = ("notes.pdf", "overview.PNG", "README", "raw.tif")
    touch(tmp_path / "d", "cell_1.csv", *ignored, ".DS_Store", "~$table.xlsx")
    touch(tmp_path / "d" / "raw movies", "movie.tif")
    touch(tmp_path / ".git", "index")
    touch(tmp_path / "__MACOSX", "cell_1.csv")
    (found,) = find_datasets(tmp_path)
    assert [file.name for file in found.files] == ["cell_1.csv"]
    assert sorted(found.ignored) == sorted((*ignored, "raw movies/"))


def test_find_datasets__gives_readers_the_small_neighbours_of_a_file(tmp_path, monkeypatch):
    touch(tmp_path / "d", "a.hdf5", "a.yaml", "b.hdf5", "b-protocol.txt", "dataset.yaml")
    (found,) = find_datasets(tmp_path)
    assert [names_of(file.siblings) for file in found.files] == [["a.yaml"], ["b-protocol.txt"]]
    assert open_source(found.files[0]).siblings == {"a.yaml": b"x"}
    (tmp_path / "d" / "a.yaml").write_text("x" * 1000)
    monkeypatch.setattr(collection, "_MAX_SIDE_BYTES", 999)
    assert find_datasets(tmp_path)[0].files[0].siblings == ()


def test_find_datasets__follows_links_to_files_and_folders(tmp_path):
    write_dataset(tmp_path / "elsewhere" / "a")
    (touch(tmp_path / "c") / "linked folder").symlink_to(tmp_path / "elsewhere" / "a")
    (touch(tmp_path / "c" / "b", "x_ROI_1.csv") / "x.csv").symlink_to(tmp_path / "elsewhere" / "a" / "cell_1.csv")
    file, folder = find_datasets(tmp_path / "c")
    assert [file.name for file in folder.files] == ["cell_1.csv"]
    assert folder.metadata is not None
    assert bytes(open_source(file.files[0]).data) == (tmp_path / "elsewhere" / "a" / "cell_1.csv").read_bytes()
    assert file.stray_outlines == ()


def test_find_datasets__keeps_a_broken_link_so_that_reading_it_fails(tmp_path):
    (touch(tmp_path / "d") / "cell_1.csv").symlink_to(tmp_path / "nothing")
    (found,) = find_datasets(tmp_path)
    with pytest.raises(FileNotFoundError):
        collection.digest(found.files[0])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "is not there; name a collection, the folder that holds the dataset folders"),
        (lambda path: path.write_text("x"), "is a file; name a collection, the folder that holds the dataset"),
        (lambda path: path.mkdir(), r"no dataset folder here; each needs localization files and dataset\.yaml"),
        (lambda path: touch(path / "deeper" / "folder", "cell.csv"), "no dataset folder here"),
    ],
)
def test_find_datasets__says_why_there_is_no_collection(tmp_path, make, reason):
    make(tmp_path / "coll")
    with pytest.raises(ValueError, match=f"coll: {reason}"):
        find_datasets(tmp_path / "coll")


@pytest.fixture
def memory():
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.rm("/", recursive=True)


def placed(place, source, tmp_path, memory):
    """Copy a collection to a kind of place; return how somebody names it."""
    if place == "memory://":
        memory.put(str(source), "/Sammlung é 1", recursive=True)
        return "memory://Sammlung é 1"
    target = tmp_path / "Sammlung é 1"
    shutil.copytree(source, target)
    return {"path": target, "text/": f"{target}/", "file://": f"file://{target}"}[place]


@pytest.mark.parametrize("place", ["path", "text/", "file://", "memory://"])
def test_find_datasets__is_the_same_at_any_url(tmp_path, memory, place):
    write_dataset(tmp_path / "source" / "B ü", files=2)
    touch(tmp_path / "source" / "B ü", "cell_1.yaml", "notes.md")
    (plain,) = find_datasets(tmp_path / "source")
    (found,) = find_datasets(placed(place, tmp_path / "source", tmp_path, memory))
    assert (found.name, found.ignored) == (plain.name, plain.ignored) == ("B ü", ("notes.md",))
    for file, expected in zip(found.files, plain.files, strict=True):
        assert (file.name, file.nbytes) == (expected.name, expected.nbytes)
        assert collection.digest(file) == collection.digest(expected)
        assert bytes(open_source(file).data) == bytes(open_source(expected).data)
        assert [collection.read_bytes(o) for o in file.outlines] == [
            collection.read_bytes(o) for o in expected.outlines
        ]


def test_find_datasets__is_named_relative_to_where_one_stands(tmp_path, monkeypatch):
    write_dataset(tmp_path / "coll" / "a")
    monkeypatch.chdir(tmp_path)
    assert find_datasets("coll") == find_datasets("./coll/") == find_datasets(tmp_path / "coll")


def test_digest__changes_with_the_file_its_outlines_and_its_neighbours(tmp_path):
    folder = write_dataset(tmp_path / "a", files=2)
    touch(folder, "cell_1.yaml")

    def digests():
        return [collection.digest(file) for file in find_datasets(folder)[0].files]

    first, other = digests()
    with (folder / "cell_1.csv").open("a") as file:
        file.write("1,1,1,1,1\n")
    changed, unchanged = digests()
    assert unchanged == other
    assert changed[0] != first[0]
    assert changed[1] == first[1]
    seen = {changed[1]}
    for name in ("cell_1_ROI_1.csv", "cell_1_ROI_2.csv", "cell_1.yaml"):
        write_outline(folder / name, [(0, 0), (1, 0), (1, len(seen))])
        own, rest = digests()[0]
        assert own == changed[0]
        assert rest not in seen
        seen.add(rest)


def test_file_at__finds_the_outlines_beside_a_file(tmp_path):
    folder = touch(write_dataset(tmp_path / "a"), "cell_1.yaml")
    (plain,) = find_datasets(folder)
    assert file_at(folder / "cell_1.csv") == file_at(str(folder / "cell_1.csv")) == plain.files[0]


def test_file_at__takes_the_outlines_that_are_named_instead(tmp_path):
    folder = touch(write_dataset(tmp_path / "a"), "other.csv")
    assert file_at(folder / "cell_1.csv", [folder / "other.csv"]).outlines == (str(folder / "other.csv"),)


def test_file_at__takes_any_name(tmp_path):
    touch(tmp_path, "cell_ROI_1.csv", "cell.csv", "readme.csv")
    found = file_at(tmp_path / "cell_ROI_1.csv")
    assert (found.name, found.nbytes, found.outlines) == ("cell_ROI_1.csv", 1, ())
    assert bytes(open_source(found).data) == b"x"
    assert file_at(tmp_path / "readme.csv").name == "readme.csv"


def test_file_at__says_that_there_is_no_such_file(tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.csv: no such file"):
        file_at(tmp_path / "nothing.csv")


def test_open_source__of_an_empty_file_is_empty(tmp_path):
    touch(tmp_path / "d").joinpath("cell.csv").write_bytes(b"")
    (found,) = find_datasets(tmp_path)
    assert open_source(found.files[0]).data.size == 0


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=6, unique=True), st.text("ab_ .", max_size=4))
def test_natural_order__is_that_of_the_numbers(numbers, stem):
    names = [f"{stem}_ROI_{n}.csv" for n in numbers]
    assert sorted(names, key=natural_order) == [f"{stem}_ROI_{n}.csv" for n in sorted(numbers)]


@given(st.lists(st.text("a1²٣_é0.", max_size=5), max_size=6))
def test_natural_order__orders_any_names(names):
    keys = [natural_order(name) for name in names]
    assert sorted(sorted(keys), reverse=True) == sorted(keys, reverse=True)
