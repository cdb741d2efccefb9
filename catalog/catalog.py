"""The catalog of a lake: what is in it, and what resembles what."""

import contextlib
import functools
import html
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import xarray as xr
from numpy.typing import NDArray

from catalog import generation, ranking
from catalog.dataset import Dataset
from catalog.generation import Generation
from catalog.reading import read_tiled
from catalog.search import search, searchable_text
from lake import collection, current, tables
from lake.current import Published
from lake.metadata import slug
from lake.parameters import Lake, open_lake

_SHOWN = (
    "title",
    "protein",
    "cell_type",
    "fluorophore",
    "modality",
    "n_localizations",
    "n_rois",
    "n_rois_dense",
)
_MAX_SHOWN = 12


def open_catalog(url: str | os.PathLike[str]) -> "Catalog":
    """Open the catalog of a lake, as its last finished run left it.

    Parameters
    ----------
    url : str or path
        Folder or ``s3://bucket/prefix`` of the lake. Credentials come from the environment.

    Raises
    ------
    ValueError
        If there is no lake.
    """
    lake = open_lake(url)
    published = current.published(lake.url)
    return Catalog(lake, published, current.live_datasets(lake.url, published.datasets_version))


@dataclass(frozen=True)
class Catalog:
    """Live datasets of a lake, or those of them that a search found.

    ``catalog["id"]`` gives a :class:`~catalog.dataset.Dataset`; iterating gives ids.

    Attributes
    ----------
    lake : Lake
        The lake.
    published : Published
        What its finished runs have published when the catalog was opened.
    table : pyarrow.Table
        One row a dataset.
    """

    lake: Lake
    published: Published
    table: pa.Table = field(repr=False)

    @functools.cached_property
    def datasets(self) -> pd.DataFrame:
        """One row a dataset: metadata, counts and quality figures."""
        frame: pd.DataFrame = self.table.drop_columns(["revision", "state"]).to_pandas()
        return frame.sort_values("dataset", ignore_index=True)

    @functools.cached_property
    def _text(self) -> pa.Array:
        return searchable_text(self.table)

    @functools.cached_property
    def _positions(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.table["dataset"].to_pylist())}

    @functools.cached_property
    def _generation(self) -> Generation:
        return generation.open_generation(self.lake, self.published)

    def _sizes(self, mode: str) -> dict[tuple[str, str], int]:
        return dict(self._generation.members(mode))

    def _live(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {(row["dataset"], row["version"]): row for row in self.table.to_pylist()}

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._positions))

    def __contains__(self, dataset: object) -> bool:
        return dataset in self._positions

    def __getitem__(self, dataset: str) -> Dataset:
        """Return a dataset by its id, or by its title."""
        position = self._position(dataset)
        if position is None:
            raise KeyError(f"no dataset {dataset!r} here; `nanolake ls` lists the {len(self)} there are")
        return Dataset(self.lake, self.table.slice(position, 1).to_pylist()[0])

    def _position(self, name: str) -> int | None:
        """Return the row of the dataset with this id or title."""
        with contextlib.suppress(ValueError):  # no title is without letters and digits
            return self._positions.get(name, self._positions.get(slug(name)))
        return None

    def _means_file(self, name: str | os.PathLike[str]) -> bool:
        """Return whether somebody means a file; titles may hold a slash too."""
        if not isinstance(name, str):
            return True
        if name in self:
            return False
        return os.path.isfile(name) or ("/" in name and self._position(name) is None)  # noqa: PTH113 (a name)

    def search(self, text: str | None = None, **conditions: Any) -> "Catalog":
        """Return the smaller catalog of the datasets that meet all conditions.

        Parameters
        ----------
        text : str, optional
            Words that must all occur in the metadata.
        **conditions
            Column = value, list of alternatives, or ``(low, high)`` range with None for an open end.
        """
        return replace(self, table=search(self.table, text, conditions, lambda: self._text))

    @property
    def runs(self) -> pd.DataFrame:
        """One row a finished run, the newest first."""
        frame: pd.DataFrame = tables.read(self.lake.url, "runs").to_pandas()
        return frame.sort_values("finished_at", ascending=False, ignore_index=True)

    def scores(self, mode: str = "thinned") -> pd.DataFrame:
        """Return the scores between the datasets of this catalog, one row an ordered pair."""
        rows: pd.DataFrame = ranking.score_rows(self.lake, self.published, mode).to_pandas()
        live = set(self._live())
        pairs = zip(
            zip(rows["dataset"], rows["version"], strict=True),
            zip(rows["other"], rows["other_version"], strict=True),
            strict=True,
        )
        # An array, because an empty list would choose no column instead of no row.
        keep = np.array([a in live and b in live for a, b in pairs], np.bool_)
        return rows[keep].reset_index(drop=True)

    def means(self, mode: str = "thinned") -> pd.DataFrame:
        """Return the square matrix of mean lambda between the datasets of this catalog."""
        return self.scores(mode).pivot_table(index="dataset", columns="other", values="mean")

    def self_similarity(self, dataset: str, mode: str = "thinned") -> dict[str, Any]:
        """Return the score of a dataset against itself: unordered pairs of different ROIs.

        Raises
        ------
        ValueError
            If it has no two ROIs that are scored in the mode, or is not scored yet.
        """
        key = self[dataset].key
        rows = ranking.score_rows(self.lake, self.published, mode, key).to_pylist()
        own = [row for row in rows if (row["other"], row["other_version"]) == key]
        if not own:
            self._refuse_unscored(key, mode)
            raise ValueError(f"dataset {key[0]} has fewer than two ROIs that are scored in the {mode} mode")
        return {name: own[0][name] for name in ("n_pairs", "mean", "sd", "min", "max", "histogram")}

    def _refuse_unscored(self, key: tuple[str, str], mode: str) -> None:
        size = self._sizes(mode).get(key)
        if size is None:
            raise ValueError(f"dataset {key[0]} is not scored yet in its present version; run `nanolake score`")
        if size == 0:
            target = self._generation.parameters.thinning_density_per_um2
            raise ValueError(
                f"dataset {key[0]} has no ROI that is scored in the {mode} mode"
                + (
                    f" (none holds {target:g} localizations per um2); use the unthinned mode"
                    if mode == "thinned"
                    else ""
                )
            )

    def similar(
        self,
        dataset: str | os.PathLike[str],
        mode: str = "thinned",
        top: int | None = None,
        *,
        outlines: Sequence[str | os.PathLike[str]] = (),
        whole_field: bool = False,
        pixel_size_nm: float | None = None,
    ) -> pd.DataFrame:
        """Rank the other datasets of this catalog by similarity to a dataset, or to a file of one's own.

        Parameters
        ----------
        dataset : str or path
            Id or title of a dataset, or a localization file. A file is scored here and uploaded nowhere.
        mode : str
            ``"thinned"`` (at one common density) or ``"unthinned"``.
        top : int, optional
            Hits to return.
        outlines : sequence of paths
            Outlines of the file; by default those beside it, named as in a collection.
        whole_field : bool
            Tile the whole field of a file without outlines.
        pixel_size_nm : float, optional
            For files that count in camera pixels.

        Returns
        -------
        pandas.DataFrame
            Columns :data:`catalog.ranking.COLUMNS`, ascending by mean lambda. ``attrs`` hold the datasets that
            wait for their scores and those without a ROI for the mode.

        Raises
        ------
        KeyError
            If it is neither a dataset nor a file.
        ValueError
            If there is nothing to compare with: not scored, or no ROI for the mode.
        """
        sizes = self._sizes(mode)
        live = self._live()
        if isinstance(dataset, str) and not self._means_file(dataset):
            if self._position(dataset) is None:
                raise KeyError(f"neither a dataset nor a file: {dataset!r}; `nanolake ls` lists the datasets")
            reference = self[dataset]
            self._refuse_unscored(reference.key, mode)
            rows = ranking.score_rows(self.lake, self.published, mode, reference.key).to_pandas()
            others = {key: row for key, row in live.items() if key != reference.key}
            hits = ranking.rank(rows, others, reference.row, sizes, top)
        else:
            grid = self._generation.parameters.grid
            file = collection.file_at(dataset, [outlines] if isinstance(outlines, str) else outlines)
            tiled = read_tiled(file, grid, pixel_size_nm, whole_field=whole_field)
            others = live
            hits = ranking.rank(ranking.score_file(self._generation, tiled.histograms, mode), live, None, sizes, top)
        waiting, excluded = ranking.without_scores(list(others), sizes)
        hits.attrs.update({"mode": mode, "waiting": waiting, "excluded": excluded})
        return hits

    def lambda_matrix(self, dataset: str, other: str | None = None, mode: str = "thinned") -> xr.DataArray:
        """Return lambda of every ROI of a dataset against every ROI of another, or of itself, lazily."""
        a = self[dataset].key
        b = a if other is None else self[other].key
        return generation.lambda_matrix(self._generation, a, b, mode)

    def lambda_values(self, dataset: str, other: str | None = None, mode: str = "thinned") -> NDArray[np.float32]:
        """Return lambda of all ROI pairs of two datasets, or within one, as a flat array.

        Parameters
        ----------
        dataset, other : str
            Datasets; without the second, or when it is the first again, each pair of different ROIs comes once.
        mode : str
            ``"thinned"`` or ``"unthinned"``.
        """
        matrix = self.lambda_matrix(dataset, other, mode)
        values = matrix.to_numpy()
        return (
            values[np.tril_indices(len(values), -1)]
            if matrix.attrs["dataset"] == matrix.attrs["other"]
            else values.ravel()
        )

    def __repr__(self) -> str:
        scored = self.published.generation or "not scored yet"
        frame = self.datasets.set_index("dataset")[[c for c in _SHOWN if c in self.datasets]]
        more = f"\n... {len(self) - _MAX_SHOWN} more; see .datasets" if len(self) > _MAX_SHOWN else ""
        return f"<Catalog of {self.lake.url}: {len(self)} datasets, scores: {scored}>\n{frame.head(_MAX_SHOWN)}{more}"

    def _repr_html_(self) -> str:
        frame = self.datasets.set_index("dataset")[[c for c in _SHOWN if c in self.datasets]]
        scored = self.published.generation or "not scored yet"
        return (
            f"<p><b>Catalog</b> of <code>{html.escape(self.lake.url)}</code>: {len(self)} datasets, "
            f"scores: {scored}</p>{frame.head(_MAX_SHOWN).to_html()}"
            "<p><code>cat.search(...)</code>, <code>cat[id].to_xarray()</code>, <code>cat.similar(id)</code>, "
            "<code>cat.lambda_matrix(id, other)</code></p>"
        )
