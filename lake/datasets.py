"""The Zarr group of one dataset version: localizations, ROIs, outlines and histograms.

A version is written once, under its own prefix, and never changed. Its attributes are written last: a group
without them is unfinished and nobody reads it. Every chunk's checksum stands in the attributes.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.errors import ContainsArrayError, GroupNotFoundError

from lake import storage
from lake.columns import COLUMNS

ROWS = 262_144
"""Localizations a chunk: 2 MB of float64, so that a ROI's read touches one or two chunks."""

_ROI_ROWS = 65_536
_SEAL = "nanolake"

Checksums = dict[str, dict[str, int]]
"""Array path -> chunk key ("3" or "3.0") -> CRC-32 of the chunk's values."""


def compressor() -> BloscCodec:
    """Return the codec of all arrays: fast enough to be hidden by the disk, both ways (measured)."""
    return BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")


_GUARD = Crc32cCodec()
"""Every read checks the stored bytes: a chunk cut short makes numcodecs 0.17 read beyond it (its issue 228), which
ends the process or returns what lies in memory. Costs less than can be measured beside the compressor."""


@dataclass(frozen=True)
class Layout:
    """Shape of an array to be written.

    Attributes
    ----------
    shape, chunks : tuple of int
        In elements.
    dtype : str
        NumPy dtype.
    dims : tuple of str
        Names of the dimensions, for xarray.
    attributes : Mapping
        Unit and meaning.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    dims: tuple[str, ...]
    attributes: Mapping[str, Any]


def create_array(url: str, path: str, layout: Layout, fill_value: float = 0) -> zarr.Array[Any]:
    """Make an array, or open the same one that an interrupted attempt left."""
    store = storage.zarr_store(url)
    try:
        return zarr.create_array(
            store,
            name=path,
            shape=layout.shape,
            chunks=tuple(max(1, min(c, s)) for c, s in zip(layout.chunks, layout.shape, strict=True)),
            dtype=layout.dtype,
            compressors=(compressor(), _GUARD),
            fill_value=fill_value,
            dimension_names=layout.dims,
            attributes=dict(layout.attributes),
        )
    except ContainsArrayError:
        return zarr.open_array(store, path=path, mode="r+")


def chunk_checksums(values: NDArray[Any], chunks: Sequence[int], first: int = 0) -> dict[str, int]:
    """Return the checksum of every chunk of an array.

    Parameters
    ----------
    values : array
        Values that begin on a chunk border.
    chunks : sequence of int
        Chunk shape.
    first : int
        Index along the first axis of the first chunk.
    """
    counts = [-(-size // chunk) for size, chunk in zip(values.shape, chunks, strict=True)]
    sums = {}
    for index in itertools.product(*map(range, counts)):
        block = values[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))]
        sums[".".join(map(str, (index[0] + first, *index[1:])))] = storage.checksum(block)
    return sums


def write_array(url: str, path: str, values: NDArray[Any], layout: Layout) -> dict[str, int]:
    """Write a whole array; return its checksums."""
    array = create_array(url, path, layout)
    if values.size:
        array[...] = values
    return chunk_checksums(values, array.chunks)


def create_localizations(url: str, prefix: str, names: Sequence[str], n: int) -> None:
    """Make the localization arrays of a dataset."""
    for name in names:
        column = COLUMNS[name]
        layout = Layout(
            (n,), (ROWS,), column.dtype, ("localization",), {"unit": column.unit, "meaning": column.meaning}
        )
        create_array(url, f"{prefix}/localizations/{name}", layout, fill_value=missing(name))


def missing(name: str) -> float:
    """Return what stands in a column for a file that lacks it: NaN, or -1 in columns of whole numbers."""
    return np.nan if COLUMNS[name].dtype.startswith("float") else -1


def write_localizations(url: str, prefix: str, start: int, columns: Mapping[str, NDArray[Any]], n: int) -> Checksums:
    """Write whole chunks of the localization arrays.

    Parameters
    ----------
    url, prefix : str
        Where.
    start : int
        First row; a multiple of the chunk length.
    columns : Mapping of str to (r,) array
        The rows; they end on a chunk border or at the end of the dataset.
    n : int
        Localizations of the whole dataset.

    Returns
    -------
    Checksums
        Of the chunks written.
    """
    chunk = max(1, min(ROWS, n))
    sums: Checksums = {}
    for name, values in columns.items():
        path = f"localizations/{name}"
        array = zarr.open_array(storage.zarr_store(url), path=f"{prefix}/{path}", mode="r+")
        array[start : start + len(values)] = values
        sums[path] = chunk_checksums(values, (chunk,), start // chunk)
    return sums


_ROI_MEANINGS = {
    "file": ("", "index of the ROI's file"),
    "row": ("tile", "tile index along y on the global grid"),
    "col": ("tile", "tile index along x on the global grid"),
    "x_nm": ("nm", "lower corner of the tile along x"),
    "y_nm": ("nm", "lower corner of the tile along y"),
    "outline": ("", "index of the covering outline, -1 without outlines"),
    "start": ("", "first of the ROI's localizations"),
    "stop": ("", "end of the ROI's localizations"),
    "n_localizations": ("", "localizations of the ROI"),
}


def write_rois(
    url: str, prefix: str, rois: Mapping[str, NDArray[Any]], histograms: NDArray[np.integer[Any]]
) -> Checksums:
    """Write the ROI table and the histograms (ROI x k) of a dataset."""
    sums: Checksums = {}
    for name, values in rois.items():
        unit, meaning = _ROI_MEANINGS[name]
        layout = Layout(values.shape, (_ROI_ROWS,), str(values.dtype), ("roi",), {"unit": unit, "meaning": meaning})
        sums[f"rois/{name}"] = write_array(url, f"{prefix}/rois/{name}", values, layout)
    layout = Layout(
        histograms.shape,
        (1024, 256),
        str(histograms.dtype),
        ("roi", "k"),
        {"meaning": "number of bins that hold k = 1, 2, ... localizations"},
    )
    sums["histograms"] = write_array(url, f"{prefix}/histograms", histograms, layout)
    return sums


def write_outlines(url: str, prefix: str, rings: Sequence[NDArray[np.float64]], files: Sequence[int]) -> Checksums:
    """Write cell outlines: vertices (v x 2, nm) of all, where each starts, and the file of each."""
    offsets = np.concatenate(([0], np.cumsum([len(ring) for ring in rings]))).astype(np.int64)
    vertices = np.concatenate([np.empty((0, 2)), *rings])
    arrays: dict[str, tuple[NDArray[Any], tuple[str, ...], str]] = {
        "vertices_nm": (vertices, ("vertex", "axis"), "x and y of the vertices in nm, outline after outline"),
        "offsets": (offsets, ("bound",), "first vertex of each outline, and the end of the last"),
        "file": (np.asarray(files, np.int32), ("outline",), "index of the outline's file"),
    }
    sums: Checksums = {}
    for name, (values, dims, meaning) in arrays.items():
        layout = Layout(values.shape, (_ROI_ROWS, 2)[: values.ndim], str(values.dtype), dims, {"meaning": meaning})
        sums[f"outlines/{name}"] = write_array(url, f"{prefix}/outlines/{name}", values, layout)
    return sums


def seal(url: str, prefix: str, attributes: Mapping[str, Any]) -> None:
    """Finish a dataset version: write its attributes."""
    group = zarr.open_group(storage.zarr_store(url), path=prefix, mode="r+")
    group.update_attributes({_SEAL: dict(attributes)})


def sealed(url: str, prefix: str) -> dict[str, Any] | None:
    """Return the attributes of a finished dataset version, None if there is no such or it is unfinished."""
    try:
        group = zarr.open_group(storage.zarr_store(url), path=prefix, mode="r")
    except (GroupNotFoundError, FileNotFoundError):
        return None
    return cast("dict[str, Any] | None", group.attrs.get(_SEAL))


def open_array(url: str, path: str) -> zarr.Array[Any]:
    """Open an array for reading.

    Raises
    ------
    ValueError
        If it is missing: the version was vacuumed, or somebody deleted part of the lake.
    """
    try:
        return zarr.open_array(storage.zarr_store(url), path=path, mode="r")
    except FileNotFoundError:
        raise ValueError(f"{url}/{path}: array is missing; was its version vacuumed? Open the catalog anew") from None


def read_array(url: str, path: str) -> NDArray[Any]:
    """Read a whole array."""
    return np.asarray(open_array(url, path)[...])


def verify(url: str, prefix: str) -> list[str]:
    """Compare every chunk of a finished dataset version with its checksum; return what is wrong."""
    attributes = sealed(url, prefix)
    if attributes is None:
        return [f"{prefix}: unfinished or missing"]
    problems = []
    for path, sums in attributes["checksums"].items():
        problems += verify_array(url, f"{prefix}/{path}", sums)
    return problems


def verify_array(url: str, path: str, sums: Mapping[str, int]) -> list[str]:
    """Compare the chunks of one array with their checksums; return what is wrong."""
    problems = []
    try:
        array = open_array(url, path)
    except ValueError as error:
        return [str(error)]
    for key, expected in sums.items():
        index = tuple(int(i) for i in key.split("."))
        region = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, array.chunks, strict=True))
        try:
            found = storage.checksum(np.asarray(array[region]))
        except Exception as error:  # noqa: BLE001 (whatever a damaged chunk makes the codecs raise)
            problems.append(f"{path} chunk {key}: cannot be read ({type(error).__name__}: {error})")
            continue
        if found != expected:
            problems.append(f"{path} chunk {key}: checksum {found:08x}, expected {expected:08x}")
    return problems
