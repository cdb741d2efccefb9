"""The contract of a lake's storage, on folders: S3 is held to the same by the service tests."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

from lake import storage


@pytest.fixture(params=["lake", "Übung é 50%20 #1?"])
def url(request, tmp_path):
    return storage.normalise(tmp_path / request.param)


def test_normalise__gives_one_form_to_all_spellings_of_a_folder(tmp_path, monkeypatch):
    folder = tmp_path / "my läke"
    monkeypatch.chdir(tmp_path)
    spellings = [folder, str(folder), f"{folder}/", "my läke", "./my läke", f"file://{folder}", f"file://{folder}/"]
    assert {storage.normalise(spelling) for spelling in spellings} == {folder.as_uri()}
    assert storage.normalise(folder.as_uri()) == folder.as_uri()
    assert storage.local_path(folder.as_uri()) == folder


def test_normalise__expands_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert storage.normalise("~/lake") == (tmp_path / "lake").as_uri()


def test_normalise__keeps_buckets_without_the_last_slash():
    assert storage.normalise("s3://lab/a/lake/") == storage.normalise("s3://lab/a/lake") == "s3://lab/a/lake"
    assert storage.local_path("s3://lab/a/lake") is None


@pytest.mark.parametrize("text", ["gs://bucket/lake", "https://lab.org/lake", "memory://lake"])
def test_normalise__refuses_other_schemes(text):
    with pytest.raises(ValueError, match=f"{text}: a lake lies in a folder or on s3://bucket/prefix, not on"):
        storage.normalise(text)


@pytest.mark.parametrize("text", ["s3://", "s3:///prefix"])
def test_normalise__asks_for_a_bucket(text):
    with pytest.raises(ValueError, match=r"no bucket; write s3://bucket/prefix"):
        storage.normalise(text)


def test_object_store__says_where_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file/lake: no folder can be made here .*; choose another place"):
        storage.object_store(storage.normalise(tmp_path / "file" / "lake"))


def test_read__returns_what_was_written(url):
    storage.write(url, "a/b.bin", b"\x00\xff")
    assert storage.read(url, "a/b.bin") == b"\x00\xff"
    assert storage.exists(url, "a/b.bin")
    assert (storage.local_path(url) / "a" / "b.bin").read_bytes() == b"\x00\xff"


def test_read__refuses_what_is_not_there(url):
    with pytest.raises(KeyError, match=r"a/b\.bin: no such object"):
        storage.read(url, "a/b.bin")
    assert not storage.exists(url, "a/b.bin")


def test_create__never_replaces(url):
    assert storage.create(url, "key", b"first")
    assert not storage.create(url, "key", b"second")
    assert storage.read(url, "key") == b"first"


def test_create__has_one_winner_among_racing_threads(url):
    barrier = threading.Barrier(16)

    def attempt(worker: int, key: str) -> bool:
        barrier.wait()
        return storage.create(url, key, str(worker).encode() * 1000)

    with ThreadPoolExecutor(16) as pool:
        for key in map(str, range(10)):
            won = list(pool.map(attempt, range(16), [key] * 16))
            assert won.count(True) == 1
            assert storage.read(url, key) == str(won.index(True)).encode() * 1000


def test_write__is_never_seen_in_part(url):
    contents = [bytes([letter]) * 2**20 for letter in b"ab"]
    storage.write(url, "key", contents[0])
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            for content in contents:
                storage.write(url, "key", content)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(rewrite)
        seen = {storage.read(url, "key") for _ in range(100)}
        stop.set()
        writing.result()
    assert seen <= set(contents)


def test_keys__lists_objects_under_a_whole_folder_name(url):
    for key in ("d/a/1", "d/a/x/2", "d/ab/3", "e/4"):
        storage.write(url, key, b"12345")
    assert {key: size for key, size, _ in storage.keys(url, "d/a")} == {"d/a/1": 5, "d/a/x/2": 5}
    changed = [when for _, _, when in storage.keys(url, "d")]
    assert len(changed) == 3
    assert max(changed) - min(changed) < 60
    assert list(storage.keys(url, "nothing")) == []


def test_folders__are_the_names_directly_below(url):
    for key in ("d/b/1", "d/a/x/2", "d/file", "e/4"):
        storage.write(url, key, b"")
    assert storage.folders(url, "d") == ["a", "b"]
    assert storage.folders(url, "nothing") == []


def test_delete__takes_one_folder_and_leaves_its_neighbours(url):
    for key in ("d/a/1", "d/a/x/2", "d/ab/3"):
        storage.write(url, key, b"12345")
    assert storage.delete(url, "d/a") == 10
    assert [key for key, _, _ in storage.keys(url, "d")] == ["d/ab/3"]
    assert storage.folders(url, "d") == ["ab"]
    assert not (storage.local_path(url) / "d" / "a").exists()
    assert storage.delete(url, "d/a") == 0


def test_checksum__is_crc32():
    # The check value of CRC-32 (ISO-HDLC) in the catalogue of parametrised CRC algorithms.
    assert storage.checksum(np.frombuffer(b"123456789", np.uint8)) == 0xCBF43926


def test_checksum__is_of_the_values_not_of_their_place_in_memory():
    values = np.arange(24.0).reshape(4, 6)
    assert storage.checksum(values[::2, 1:4]) == storage.checksum(values[::2, 1:4].copy())
    assert storage.checksum(np.asfortranarray(values)) == storage.checksum(values)
    assert storage.checksum(values.T) != storage.checksum(values)


def test_zarr_store__for_readers_refuses_to_write(url):
    zarr.create_array(storage.zarr_store(url), name="a", shape=(2,), dtype="int32")[:] = [3, 4]
    array = zarr.open_array(storage.zarr_store(url, read_only=True), path="a", mode="r")
    assert array[:].tolist() == [3, 4]
    with pytest.raises(ValueError, match="read-only"):
        zarr.create_array(storage.zarr_store(url, read_only=True), name="b", shape=(2,), dtype="int32")


def test_table_options__hold_the_endpoint_and_no_secret(monkeypatch):
    assert storage.table_options(Path("/lake").as_uri()) == {}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://gateway:7480")
    monkeypatch.setenv("AWS_REGION", "lab")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    options = storage.table_options("s3://lab/lake")
    assert options == {
        "aws_region": "lab",
        "aws_conditional_put": "etag",
        "aws_endpoint": "http://gateway:7480",
        "aws_allow_http": "true",
    }
