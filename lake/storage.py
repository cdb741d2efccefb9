"""From a URL to a Zarr store, a filesystem and table options. The only module that knows S3.

A lake is a folder or ``s3://bucket/prefix``. Its objects and Zarr chunks go through obstore, which writes each
object whole or not at all, on a folder too. Credentials come from the environment (``AWS_...``) or the AWS
profile; none is ever part of a URL, a table or a file.
"""

import functools
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import obstore
import pyarrow.fs as pafs
import zarr.storage
from deltalake.exceptions import DeltaError
from numpy.typing import NDArray
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, S3Store

SCHEMES = ("file", "s3")

ERRORS = (BaseError, DeltaError)
"""What a storage raises when it cannot be reached, refuses access or is damaged; the first line says what."""


def normalise(url: str | os.PathLike[str]) -> str:
    """Return a lake's URL in the one form that is stored and compared: ``file:///...`` or ``s3://...``.

    Raises
    ------
    ValueError
        If the scheme is neither a folder nor S3, or no bucket is named.

    Examples
    --------
    >>> normalise("s3://lab/lake/")
    's3://lab/lake'
    >>> normalise("/data/lake")
    'file:///data/lake'
    """
    text = os.fspath(url)
    if "://" not in text:
        return Path(text).expanduser().absolute().as_uri()
    scheme = text.split("://", 1)[0]
    if scheme not in SCHEMES:
        raise ValueError(f"{text}: a lake lies in a folder or on s3://bucket/prefix, not on {scheme}://")
    if scheme == "file":
        return Path(unquote(urlparse(text).path)).absolute().as_uri()
    if not urlparse(text).netloc:
        raise ValueError(f"{text}: no bucket; write s3://bucket/prefix")
    return text.rstrip("/")


def local_path(url: str) -> Path | None:
    """Return the folder of a ``file://`` URL, None for any other."""
    parsed = urlparse(url)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else None


def _s3_options() -> dict[str, str]:
    """Return what the environment says of the S3 endpoint, without credentials."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options = {"region": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"}
    if endpoint:
        # Gateways other than AWS answer on paths, not on bucket host names.
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": "false"}
        if endpoint.startswith("http://"):
            options["allow_http"] = "true"
    return options


@functools.lru_cache(maxsize=32)
def object_store(url: str) -> LocalStore | S3Store:
    """Return the object store of a normalised URL; one for a process, because it holds the connections."""
    folder = local_path(url)
    if folder is not None:
        try:
            return LocalStore(folder, mkdir=True)
        except OSError as error:
            raise ValueError(f"{folder}: no folder can be made here ({error}); choose another place") from None
    options = _s3_options()
    allow_http = options.pop("allow_http", "false") == "true"
    return S3Store.from_url(url, config=options, client_options={"allow_http": allow_http})  # type: ignore[arg-type, unused-ignore]


@functools.lru_cache(maxsize=32)
def zarr_store(url: str, *, read_only: bool = False) -> zarr.storage.ObjectStore[LocalStore | S3Store]:
    """Return the Zarr store of a normalised URL."""
    return zarr.storage.ObjectStore(object_store(url), read_only=read_only)


def table_options(url: str) -> dict[str, str]:
    """Return the storage options of a Delta table under a normalised URL."""
    if local_path(url) is not None:
        return {}
    options = _s3_options()
    table = {"aws_region": options["region"], "aws_conditional_put": "etag"}
    if "endpoint" in options:
        table |= {"aws_endpoint": options["endpoint"], "aws_allow_http": options.get("allow_http", "false")}
    return table


def table_filesystem(url: str, table: str) -> pafs.FileSystem | None:
    """Return pyarrow's own filesystem for the files of a table in a folder; None elsewhere, for Delta's.

    Delta's is written in Python. Its threads may still ask for Python's lock when the interpreter ends, which aborts
    the process (13 of 40 runs with deltalake 1.6 and pyarrow 26); pyarrow's own does not (0 of 40).
    """
    folder = local_path(url)
    return None if folder is None else pafs.SubTreeFileSystem(str(folder / table), pafs.LocalFileSystem())


def read(url: str, key: str) -> bytes:
    """Return an object; KeyError if there is none."""
    try:
        return bytes(obstore.get(object_store(url), key).bytes())
    except (NotFoundError, FileNotFoundError):
        raise KeyError(f"{url}/{key}: no such object") from None


def write(url: str, key: str, data: bytes) -> None:
    """Write an object whole, replacing what was there."""
    obstore.put(object_store(url), key, data)


def create(url: str, key: str, data: bytes) -> bool:
    """Write an object if none is there; return whether this call wrote it."""
    try:
        obstore.put(object_store(url), key, data, mode="create")
    except (AlreadyExistsError, FileExistsError):
        return False
    return True


def exists(url: str, key: str) -> bool:
    """Return whether an object is there."""
    try:
        obstore.head(object_store(url), key)
    except (NotFoundError, FileNotFoundError):
        return False
    return True


def keys(url: str, prefix: str) -> Iterator[tuple[str, int, float]]:
    """Yield key, size in bytes and time of last change (POSIX seconds) of all objects under a prefix."""
    for page in obstore.list(object_store(url), prefix):
        for entry in page:
            yield entry["path"], entry["size"], entry["last_modified"].timestamp()


def folders(url: str, prefix: str) -> list[str]:
    """Return the names of the folders directly under a prefix, sorted."""
    found = obstore.list_with_delimiter(object_store(url), prefix)["common_prefixes"]
    return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in found)


def delete(url: str, prefix: str) -> int:
    """Delete all objects under a prefix; return the bytes freed."""
    found = list(keys(url, prefix))
    if found:
        obstore.delete(object_store(url), [key for key, _, _ in found])
    folder = local_path(url)
    if folder is not None:
        _remove_empty_folders(folder / prefix)
    return sum(size for _, size, _ in found)


def _remove_empty_folders(folder: Path) -> None:
    for path, _, _ in os.walk(folder, topdown=False):
        if not os.listdir(path):  # noqa: PTH208 (only asked whether there is one)
            Path(path).rmdir()


def checksum(array: NDArray[np.generic]) -> int:
    """Return the CRC-32 of an array's bytes in C order.

    Examples
    --------
    >>> checksum(np.arange(3, dtype=np.int32)) == checksum(np.arange(3, dtype=np.int32)[::-1][::-1])
    True
    """
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
