"""The steps by which a dataset folder becomes a dataset version: what the workers of an ingest run."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.reading import TiledFile, read_tiled
from lake import collection, datasets, paths
from lake.collection import DatasetFolder, LocalizationFile
from lake.columns import COLUMNS
from lake.metadata import DatasetMetadata
from lake.parameters import Lake, Parameters

READERS = 1
"""Version of what the readers make of a file; a change of meaning makes new dataset versions."""


@dataclass(frozen=True)
class Problem:
    """Why a dataset was not registered: one line for people.

    Attributes
    ----------
    folder : str
        URL of the dataset folder.
    message : str
        File, reason and way out.
    """

    folder: str
    message: str


@dataclass(frozen=True)
class Target:
    """A dataset version to be made.

    Attributes
    ----------
    url, prefix : str
        The lake and the version's group.
    dataset, version : str
        Its id and version.
    folder : DatasetFolder
        Where it comes from.
    metadata : DatasetMetadata
        Content of its ``dataset.yaml``.
    digests : tuple of str
        SHA-256 of each localization file.
    parameters : Parameters
        Of the lake.
    whole_field : bool
        Whether files without outlines are tiled whole.
    """

    url: str
    prefix: str
    dataset: str
    version: str
    folder: DatasetFolder
    metadata: DatasetMetadata
    digests: tuple[str, ...]
    parameters: Parameters
    whole_field: bool


def digest_task(file: LocalizationFile) -> tuple[str, str]:
    """Return the checksums of a file and of what belongs to it (a worker's task)."""
    return collection.digest(file)


def dataset_version(
    lake: Lake,
    metadata_text: bytes,
    folder: DatasetFolder,
    digests: Sequence[tuple[str, str]],
    *,
    whole_field: bool,
) -> str:
    """Return the version of a dataset: a hash of its inputs and of the ingest parameters."""
    content = {
        "format": paths.FORMAT_VERSION,
        "readers": READERS,
        "bin_nm": lake.parameters.bin_nm,
        "tile_bins": lake.parameters.tile_bins,
        "whole_field": whole_field,
        "metadata": hashlib.sha256(metadata_text).hexdigest(),
        "files": [[file.name, *sums] for file, sums in zip(folder.files, digests, strict=True)],
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def repeated_file(folder: DatasetFolder, digests: Sequence[tuple[str, str]]) -> str | None:
    """Return what to say when two files of a folder are the same, None when all differ."""
    seen: dict[str, str] = {}
    for file, (own, _) in zip(folder.files, digests, strict=True):
        if own in seen:
            return f"{file.name}: the same file as {seen[own]}; delete one of them"
        seen[own] = file.name
    return None


def read_task(target: Target, index: int) -> TiledFile:
    """Read, tile and count one file; its arrays stay on the worker (a worker's task)."""
    file = target.folder.files[index]
    return read_tiled(file, target.parameters.grid, target.metadata.pixel_size_nm, whole_field=target.whole_field)


@dataclass(frozen=True)
class Facts:
    """What the driver needs to know of a file that was read."""

    values: dict[str, Any]
    columns: tuple[str, ...]


def facts_task(tiled: TiledFile) -> Facts:
    """Return the small part of a file that was read (a worker's task)."""
    return Facts(tiled.facts, tuple(tiled.columns))


@dataclass(frozen=True)
class Piece:
    """Whole chunks of a dataset's localization arrays, and the files that they hold.

    Attributes
    ----------
    start, stop : int
        Rows of the dataset.
    files : tuple of int
        Files that overlap them.
    """

    start: int
    stop: int
    files: tuple[int, ...]


def pieces(counts: Sequence[int], rows: int | None = None) -> list[Piece]:
    """Cut a dataset into pieces that end on chunk borders, about one a file.

    Examples
    --------
    >>> [(p.start, p.stop, p.files) for p in pieces([5, 1, 6], rows=4)]
    [(0, 8, (0, 1, 2)), (8, 12, (2,))]
    """
    rows = rows or datasets.ROWS
    bounds = np.concatenate(([0], np.cumsum(counts)))
    total = int(bounds[-1])
    borders = sorted({min(-(-int(b) // rows) * rows, total) for b in bounds})
    return [
        Piece(
            start,
            stop,
            tuple(i for i in range(len(counts)) if bounds[i] < stop and bounds[i + 1] > start),
        )
        for start, stop in itertools.pairwise(borders)
    ]


def create_task(target: Target, names: Sequence[str], n: int) -> None:
    """Make the localization arrays (a worker's task, before those that fill them)."""
    datasets.create_localizations(target.url, target.prefix, names, n)


def write_task(
    target: Target, piece: Piece, bounds: Sequence[int], names: Sequence[str], _made: None, *tiled: TiledFile
) -> datasets.Checksums:
    """Write one piece of the localization arrays (a worker's task)."""
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    for index, file in zip(piece.files, tiled, strict=True):
        low, high = max(piece.start, bounds[index]), min(piece.stop, bounds[index + 1])
        for name in names:
            values = file.columns.get(name)
            if values is None:
                parts[name].append(np.full(high - low, datasets.missing(name), COLUMNS[name].dtype))
            else:
                parts[name].append(values[low - bounds[index] : high - bounds[index]])
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    return datasets.write_localizations(target.url, target.prefix, piece.start, columns, bounds[-1])


def rois_task(tiled: TiledFile) -> TiledFile:
    """Return a file without its localizations, light enough to travel (a worker's task)."""
    return TiledFile({}, tiled.rois, tiled.histograms, tiled.outlines, tiled.facts)


def seal_task(
    target: Target,
    bounds: Sequence[int],
    names: Sequence[str],
    files: Sequence[TiledFile],
    written: Sequence[datasets.Checksums],
) -> dict[str, Any]:
    """Write ROIs, outlines and histograms, then the attributes that finish the version (a worker's task)."""
    grid = target.parameters.grid
    counts = _stack([file.histograms for file in files])
    rois = _roi_table(files, bounds, grid.tile_nm)
    checksums: datasets.Checksums = {}
    for sums in written:
        for path, chunks in sums.items():
            checksums.setdefault(path, {}).update(chunks)
    checksums |= datasets.write_rois(target.url, target.prefix, rois, counts)
    rings = [np.asarray(polygon.exterior.coords) for file in files for polygon in file.outlines]
    owners = [i for i, file in enumerate(files) for _ in file.outlines]
    checksums |= datasets.write_outlines(target.url, target.prefix, rings, owners)
    attributes = {
        "format_version": paths.FORMAT_VERSION,
        "dataset": target.dataset,
        "version": target.version,
        "metadata": target.metadata.model_dump(mode="json"),
        "columns": list(names),
        "parameters": {**target.parameters.model_dump(), "whole_field": target.whole_field},
        "files": [
            {**file.facts, "sha256": sha, "start": int(start)}
            for file, sha, start in zip(files, target.digests, bounds[:-1], strict=True)
        ],
        "summary": _summary(target, files, rois["n_localizations"], counts),
        "checksums": checksums,
    }
    datasets.seal(target.url, target.prefix, attributes)
    return attributes


def _stack(histograms: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return histograms one below the other, as wide as the widest."""
    width = max(h.shape[1] for h in histograms)
    stacked = np.zeros((sum(len(h) for h in histograms), width), histograms[0].dtype)
    row = 0
    for histogram in histograms:
        stacked[row : row + len(histogram), : histogram.shape[1]] = histogram
        row += len(histogram)
    return stacked


def _roi_table(files: Sequence[TiledFile], bounds: Sequence[int], tile_nm: float) -> dict[str, NDArray[Any]]:
    first_outline = np.concatenate(([0], np.cumsum([len(file.outlines) for file in files])))

    def joined(name: str, dtype: str) -> NDArray[Any]:
        return np.concatenate([file.rois[name] for file in files]).astype(dtype)

    sizes = [len(file.rois["row"]) for file in files]
    outline = joined("outline", "int32")
    outline = np.where(outline < 0, -1, outline + np.repeat(first_outline[:-1], sizes)).astype(np.int32)
    shift = np.repeat(np.asarray(bounds[:-1], np.int64), sizes)
    row, col = joined("row", "int64"), joined("col", "int64")
    start, stop = joined("start", "int64") + shift, joined("stop", "int64") + shift
    return {
        "file": np.repeat(np.arange(len(files), dtype=np.int32), sizes),
        "row": row,
        "col": col,
        "x_nm": col * tile_nm,
        "y_nm": row * tile_nm,
        "outline": outline,
        "start": start,
        "stop": stop,
        "n_localizations": stop - start,
    }


def _summary(
    target: Target, files: Sequence[TiledFile], per_roi: NDArray[np.int64], counts: NDArray[Any]
) -> dict[str, Any]:
    """Return what the datasets table stores beside the metadata."""
    facts = [file.facts for file in files]
    area = sum(f["area_um2"] for f in facts)
    tiled = len(per_roi) * target.parameters.grid.tile_area_um2
    precise = [(f["precision_nm"], f["n_localizations"]) for f in facts if f["precision_nm"] is not None]
    weight = sum(n for _, n in precise)
    occupied = np.flatnonzero(counts.any(axis=0))
    return {
        "n_files": len(facts),
        "n_localizations": sum(f["n_localizations"] for f in facts),
        "n_rois": len(per_roi),
        "n_rois_occupied": int((per_roi > 0).sum()),
        "n_rois_dense": int((per_roi >= target.parameters.thinning_target).sum()),
        "precision_nm": sum(p * n for p, n in precise) / weight if weight else None,
        "density_per_um2": float(per_roi.sum()) / tiled if tiled else None,
        "coverage": tiled / area if area else None,
        "area_um2": area,
        "max_bin_count": int(occupied[-1]) + 1 if len(occupied) else 0,
        "nbytes": sum(f["nbytes"] for f in facts),
    }


def table_rows(
    target: Target, attributes: Mapping[str, Any], revision: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the row of the datasets table and the rows of the files table of a finished version."""
    metadata = {k: v for k, v in attributes["metadata"].items() if k != "live_cell"}
    own = {
        **metadata,
        **attributes["summary"],
        "dataset": target.dataset,
        "version": target.version,
        "revision": revision,
        "state": "live",
        "source": target.folder.name,
    }
    files = [
        {
            **{k: v for k, v in facts.items() if k != "n_inside"},
            "dataset": target.dataset,
            "version": target.version,
            "provenance": json.dumps(facts["provenance"]),
        }
        for facts in attributes["files"]
    ]
    return own, files


def finished(target: Target) -> dict[str, Any] | None:
    """Return the attributes of a version that an interrupted ingest finished but did not register."""
    return datasets.sealed(target.url, target.prefix)
