"""The steps of a scoring run: histogram blocks, lambda tiles and their scores; what the workers run.

A task writes to the lake and returns next to nothing. It ends by writing one object that says that it is done,
and holds its part of the scores.
"""

import functools
import io
import json
from dataclasses import asdict, fields

import numpy as np
import zict
from numcodecs import zstd

from catalog.rois import roi_histograms
from compute import scores, similarity
from compute.blocks import Batch, segment_edges
from compute.scores import PartialScores
from compute.similarity import Cdf, Columns
from jobs import plan as plans
from jobs.plan import Plan
from lake import datasets, paths, storage
from lake import similarity as panels

_CACHE_BYTES = 128 * 2**20
"""Column tiles that a worker process keeps."""


@functools.lru_cache(maxsize=4)
def _plan(url: str, generation: str, run: str) -> Plan:
    """Return a run's plan; read once a worker, because it may be long and tasks are many."""
    return plans.decode(storage.read(url, paths.plan(generation, run)))


def cdf_task(url: str, generation: str, run: str, mode: str, block: int) -> None:
    """Write the CDFs of one row block of a panel (a worker's task)."""
    plan = _plan(url, generation, run)
    start, stop = plan.panel(mode).rows(block)
    owners, edges = segment_edges(plan.sizes[mode], start, stop)
    first = np.concatenate(([0], np.cumsum(plan.sizes[mode])))
    parts = []
    for owner, low, high in zip(owners, edges[:-1], edges[1:], strict=True):
        begin = start + low - first[owner]
        parts.append(roi_histograms(url, plan.datasets[owner], mode, plan.scoring, int(begin), int(begin + high - low)))
    cdf = _stack([similarity.cumulate(histograms) for histograms, _ in parts])
    roi = np.concatenate([indices for _, indices in parts])
    sums = panels.write_cdf(url, plan.panel_path(mode), start, (cdf.values, cdf.occupied, cdf.support), roi)
    storage.write(url, paths.partial(generation, run, mode, cdf_name(block)), json.dumps(sums).encode())


def _stack(cdfs: list[Cdf]) -> Cdf:
    """Return CDFs one below the other; a CDF is 1 beyond its support."""
    support = np.concatenate([cdf.support for cdf in cdfs])
    values = np.ones((len(support), int(support.max())), np.float32)
    row = 0
    for cdf in cdfs:
        values[row : row + len(cdf), : cdf.values.shape[1]] = cdf.values
        row += len(cdf)
    return Cdf(values, np.concatenate([cdf.occupied for cdf in cdfs]), support)


def cdf_name(block: int) -> str:
    """Return the name of the object that a finished histogram block leaves."""
    return f"cdf-{block:06d}.json"


def tiles_name(batch: Batch) -> str:
    """Return the name of the object that a finished batch of tiles leaves."""
    return f"tiles-{batch.row:06d}-{batch.columns[0]:06d}.npz.zst"


_COLUMNS: zict.LRU[tuple[str, tuple[panels.PanelRange, ...]], Columns] = zict.LRU(
    _CACHE_BYTES, {}, weight=lambda _, columns: columns.nbytes
)


def _columns(url: str, ranges: tuple[panels.PanelRange, ...]) -> Columns:
    """Return the CDFs of a column tile, laid out for the kernel; every row block needs them again."""
    key = (url, ranges)
    try:
        return _COLUMNS[key]
    except KeyError:
        found = _COLUMNS[key] = similarity.columns(Cdf(*panels.read_cdf(url, ranges)))
        return found


def tiles_task(url: str, generation: str, run: str, mode: str, batch: Batch) -> None:
    """Compute, store and summarise one batch of lambda tiles (a worker's task)."""
    plan = _plan(url, generation, run)
    panel, stored = plan.panel(mode), plan.panels(mode)
    start, stop = panel.rows(batch.row)
    rows = Cdf(*panels.read_cdf(url, panels.panel_ranges(stored, panel.n_before + start, panel.n_before + stop)))
    row_segments = segment_edges(plan.all_sizes(mode), panel.n_before + start, panel.n_before + stop)
    output = panels.open_lambda(url, plan.panel_path(mode))
    parts, sums = [], {}
    for tile in batch.columns:
        low, high = panel.column_range(tile)
        cols = _columns(url, tuple(panels.panel_ranges(stored, low, high)))
        values = similarity.lambda_tile(rows, cols, plan.scoring.alpha)
        kept = values.astype(output.dtype, copy=False)
        output[start:stop, low:high] = kept
        sums[f"{batch.row}.{tile}"] = storage.checksum(kept)
        parts.append(
            scores.summarise(
                values,
                row_segments,
                segment_edges(plan.all_sizes(mode), low, high),
                panel.diagonal(batch.row, tile),
            )
        )
    merged = scores.merge(PartialScores.concatenate(parts))
    storage.write(
        url, paths.partial(generation, run, mode, tiles_name(batch)), encode_partial(merged, {"lambda": sums})
    )


def encode_partial(parts: PartialScores, sums: datasets.Checksums) -> bytes:
    """Return partial scores and tile checksums as the bytes of a compressed ``.npz``: most histograms are sparse."""
    buffer = io.BytesIO()
    np.savez(buffer, checksums=np.frombuffer(json.dumps(sums).encode(), np.uint8), **asdict(parts))
    return bytes(zstd.compress(buffer.getvalue(), 1))


def decode_partial(data: bytes) -> tuple[PartialScores, datasets.Checksums]:
    """Return what :func:`encode_partial` was given."""
    with np.load(io.BytesIO(zstd.decompress(data)), allow_pickle=False) as content:
        parts = PartialScores(*(content[field.name] for field in fields(PartialScores)))
        return parts, json.loads(content["checksums"].tobytes())
