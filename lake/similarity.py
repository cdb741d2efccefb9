"""The Zarr panels of lambda, and the CDFs that they are computed from.

A run's panel has one row for each ROI that the run added and one column for each ROI of the generation so far.
Only tiles on or below the diagonal are written: lambda is symmetric, and the value of two ROIs stands in the
row of the later one.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from lake import datasets, storage
from lake.datasets import Layout

_WIDTH = 256


@dataclass(frozen=True)
class PanelRange:
    """Consecutive ROIs of a generation, as rows of one panel.

    Attributes
    ----------
    path : str
        Zarr group of the panel.
    start, stop : int
        Rows of the panel.
    """

    path: str
    start: int
    stop: int


def panel_ranges(panels: Sequence[tuple[str, int]], start: int, stop: int) -> list[PanelRange]:
    """Return where the ROIs start..stop of a generation stand.

    Parameters
    ----------
    panels : sequence of (path, rows)
        The panels of the generation in sequence.
    start, stop : int
        ROIs, counted in the generation.

    Examples
    --------
    >>> [(r.path, r.start, r.stop) for r in panel_ranges([("a", 5), ("b", 3)], 4, 7)]
    [('a', 4, 5), ('b', 0, 2)]
    """
    found = []
    first = 0
    for path, rows in panels:
        low, high = max(start, first), min(stop, first + rows)
        if low < high:
            found.append(PanelRange(path, low - first, high - first))
        first += rows
    return found


def create_panel(url: str, path: str, shape: tuple[int, int], width: int, tile: int, dtype: str) -> None:
    """Make the arrays of a panel, or leave those of an interrupted run as they are.

    Parameters
    ----------
    url, path : str
        The lake and the panel's group.
    shape : (int, int)
        New ROIs, and all ROIs so far.
    width : int
        Largest count of localizations in a bin.
    tile : int
        Side of a lambda tile.
    dtype : str
        Precision of lambda as stored.
    """
    n_new, n_all = shape
    meanings: dict[str, tuple[Layout, float]] = {
        "lambda": (
            Layout(
                (n_new, n_all),
                (tile, tile),
                dtype,
                ("row", "column"),
                {"meaning": "lambda of the row's ROI and the column's; on and below the diagonal only"},
            ),
            np.nan,
        ),
        "cdf": (
            Layout(
                (n_new, width),
                (tile, _WIDTH),
                "float32",
                ("row", "k"),
                {"meaning": "fraction of occupied bins that hold at most k = 1, 2, ... localizations"},
            ),
            1.0,
        ),
        "occupied": (
            Layout((n_new,), (tile,), "float64", ("row",), {"meaning": "occupied bins (sample size n)"}),
            0.0,
        ),
        "support": (
            Layout((n_new,), (tile,), "int32", ("row",), {"meaning": "smallest k at which the CDF is 1"}),
            0,
        ),
        "roi": (
            Layout((n_new,), (tile,), "int32", ("row",), {"meaning": "index of the ROI in its dataset"}),
            0,
        ),
    }
    for name, (layout, fill) in meanings.items():
        datasets.create_array(url, f"{path}/{name}", layout, fill_value=fill)


def write_cdf(
    url: str,
    path: str,
    start: int,
    cdf: tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int32]],
    roi: NDArray[np.int64],
) -> datasets.Checksums:
    """Write one row block of CDFs: values, occupied bins, support; return the checksums of its chunks."""
    values, occupied, support = cdf
    rows = slice(start, start + len(occupied))
    sums: datasets.Checksums = {}
    for name, data in (
        ("cdf", values),
        ("occupied", occupied),
        ("support", support),
        ("roi", roi.astype(np.int32)),
    ):
        array = zarr.open_array(storage.zarr_store(url), path=f"{path}/{name}", mode="r+")
        if data.ndim == 2:
            data = _whole_chunks(data, array.shape[1])  # noqa: PLW2901 (the same CDFs, padded)
        array[(rows, slice(0, data.shape[1])) if data.ndim == 2 else rows] = data
        sums[name] = datasets.chunk_checksums(data, array.chunks, start // array.chunks[0])
    return sums


def _whole_chunks(values: NDArray[Any], width: int) -> NDArray[Any]:
    """Return CDFs padded to whole chunks: a CDF is 1 beyond its support, and so are chunks that are not written."""
    padded = np.ones((len(values), min(width, -(-values.shape[1] // _WIDTH) * _WIDTH)), values.dtype)
    padded[:, : values.shape[1]] = values
    return padded


def read_cdf(
    url: str, ranges: Sequence[PanelRange]
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int32]]:
    """Return the CDFs of consecutive ROIs, as wide as their largest support."""
    sizes = [_sizes(url, r.path) for r in ranges]
    support = np.concatenate([own[r.start : r.stop] for r, (own, _) in zip(ranges, sizes, strict=True)])
    occupied = np.concatenate([own[r.start : r.stop] for r, (_, own) in zip(ranges, sizes, strict=True)])
    width = int(support.max())
    values = np.ones((len(support), width), np.float32)
    row = 0
    for r in ranges:
        array = _opened(url, f"{r.path}/cdf")
        stored = min(width, array.shape[1])
        values[row : row + r.stop - r.start, :stored] = array[r.start : r.stop, :stored]
        row += r.stop - r.start
    return values, occupied, support


@functools.lru_cache(maxsize=512)
def _opened(url: str, path: str) -> zarr.Array[Any]:
    """Open a panel's array once a process: opening costs as much as reading a tile."""
    return datasets.open_array(url, path)


@functools.lru_cache(maxsize=512)
def _sizes(url: str, path: str) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return support and occupied bins of all ROIs of a panel: 12 bytes a ROI, read once a process."""
    return datasets.read_array(url, f"{path}/support"), datasets.read_array(url, f"{path}/occupied")


def open_lambda(url: str, path: str) -> zarr.Array[Any]:
    """Open the lambda matrix of a panel for writing."""
    return zarr.open_array(storage.zarr_store(url), path=f"{path}/lambda", mode="r+")
