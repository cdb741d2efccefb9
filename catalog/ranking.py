"""Datasets ranked by the similarity of their nanoscale organization."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from catalog import rois
from catalog.generation import Generation
from compute import scores, similarity
from compute.blocks import segment_edges
from compute.scores import PartialScores
from compute.similarity import Cdf
from lake import paths, tables
from lake import similarity as panels
from lake.current import Published
from lake.metadata import differences
from lake.parameters import Lake

COLUMNS = (
    "rank", "dataset", "title", "mean", "sd", "n_pairs", "min", "max", "n_rois", "n_rois_excluded", "differences",
)  # fmt: skip
"""Columns of a ranking; ``n_rois_excluded`` are the hit's ROIs that the mode leaves out."""

_BLOCK = 1024


def score_rows(lake: Lake, published: Published, mode: str, dataset: tuple[str, str] | None = None) -> pa.Table:
    """Return the published score rows of a mode, of one dataset or of all.

    Rows of runs that are not published, or not yet when the catalog was opened, are left out.
    """
    if mode not in paths.MODES:
        raise ValueError(f"mode is {mode!r}; choose one of {', '.join(paths.MODES)}")
    if published.generation is None:
        raise ValueError(f"{lake.url}: nothing is scored yet; run `nanolake score` on it")
    filters = [("generation", "=", published.generation), ("mode", "=", mode)]
    if dataset is not None:
        filters += [("dataset", "=", dataset[0]), ("version", "=", dataset[1])]
    rows = tables.read(lake.url, "scores", filters=filters)
    return rows.filter(pc.is_in(rows["run"], value_set=pa.array(published.runs, pa.string())))


def rank(
    rows: pd.DataFrame,
    live: Mapping[tuple[str, str], dict[str, Any]],
    reference: Mapping[str, Any] | None,
    sizes: Mapping[tuple[str, str], int],
    top: int | None,
) -> pd.DataFrame:
    """Return a ranking: ascending mean lambda, with what differs from the reference beside each hit.

    Parameters
    ----------
    rows : DataFrame
        ``other``, ``other_version`` and the scores.
    live : Mapping
        Datasets that may be hits, by id and version: their rows.
    reference : Mapping or None
        Metadata of what was asked for; None for a file without metadata.
    sizes : Mapping
        Scored ROIs of each dataset version in the mode.
    top : int or None
        Hits to return; all by default.
    """
    hits = [row for row in rows.to_dict("records") if (row["other"], row["other_version"]) in live]
    hits.sort(key=lambda row: (row["mean"], row["other"]))
    ranking = []
    for position, hit in enumerate(hits[:top], 1):
        key = (hit["other"], hit["other_version"])
        row = live[key]
        ranking.append(
            {
                "rank": position,
                "dataset": key[0],
                "title": row["title"],
                **{name: hit[name] for name in ("mean", "sd", "n_pairs", "min", "max")},
                "n_rois": sizes[key],
                "n_rois_excluded": row["n_rois"] - sizes[key],
                "differences": "unknown" if reference is None else differences(reference, row),
            }
        )
    return pd.DataFrame(ranking, columns=list(COLUMNS))


def score_file(generation: Generation, histograms: NDArray[Any], mode: str) -> pd.DataFrame:
    """Return the scores of a file's ROIs against every dataset of a generation.

    Parameters
    ----------
    generation : Generation
        Published scores.
    histograms : (r, K) array
        Bin counts of the file's ROIs.
    mode : str
        One of :data:`lake.paths.MODES`.

    Raises
    ------
    ValueError
        If no ROI of the file is scored in the mode.
    """
    parameters = generation.parameters
    chosen = rois.scored(histograms @ np.arange(1, histograms.shape[1] + 1), mode, parameters)
    if not len(chosen):
        raise ValueError(
            f"none of the file's {len(histograms)} ROIs is scored in the {mode} mode"
            + (
                f": each needs {parameters.thinning_target} localizations; use the unthinned mode"
                if mode == "thinned"
                else ""
            )
        )
    counts: NDArray[Any] = histograms[chosen]
    if mode == "thinned":
        counts = rois.thin(counts, ("", ""), chosen, parameters)
    merged = _against_all(generation, similarity.cumulate(counts), mode)
    members = [member for member, _ in generation.members(mode)]
    return pd.DataFrame(
        {
            "other": [members[i][0] for i in merged.column],
            "other_version": [members[i][1] for i in merged.column],
            "n_pairs": merged.n_pairs,
            "mean": merged.mean,
            "sd": np.where(merged.n_pairs > 1, merged.sd, np.nan),
            "min": merged.smallest.astype(float),
            "max": merged.largest.astype(float),
        }
    )


def _against_all(generation: Generation, query: Cdf, mode: str) -> PartialScores:
    """Compare a query's ROIs with all ROIs of a generation, a block at a time."""
    sizes = [size for _, size in generation.members(mode)]
    total = sum(sizes)
    own = (np.zeros(1, np.int64), np.array([0, len(query)], np.int64))
    parts = []
    for start in range(0, total, _BLOCK):
        stop = min(start + _BLOCK, total)
        ranges = panels.panel_ranges(generation.panels(mode), start, stop)
        columns = similarity.columns(Cdf(*panels.read_cdf(generation.lake.url, ranges)))
        tile = similarity.lambda_tile(query, columns, generation.parameters.alpha)
        parts.append(scores.summarise(tile, own, segment_edges(sizes, start, stop), diagonal=total))
    return scores.merge(PartialScores.concatenate(parts))


def without_scores(
    live: Sequence[tuple[str, str]], sizes: Mapping[tuple[str, str], int]
) -> tuple[list[str], list[str]]:
    """Return the live datasets that wait for their scores, and those without a ROI that the mode scores."""
    waiting = [name for name, version in live if (name, version) not in sizes]
    excluded = [name for name, version in live if sizes.get((name, version)) == 0]
    return waiting, excluded
