"""One dataset of a catalog."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd
import xarray as xr

from lake import paths, storage, tables
from lake.columns import COLUMNS
from lake.parameters import Lake


@dataclass(frozen=True)
class Dataset:
    """A dataset in the version that was live when the catalog was opened.

    Attributes
    ----------
    lake : Lake
        Its lake.
    row : dict
        Its row of the datasets table: metadata, counts and quality figures.
    """

    lake: Lake
    row: dict[str, Any]

    @property
    def dataset(self) -> str:
        """Id of the dataset."""
        return str(self.row["dataset"])

    @property
    def key(self) -> tuple[str, str]:
        """Id and version."""
        return self.dataset, str(self.row["version"])

    def _open(self, group: str) -> xr.Dataset:
        store = storage.zarr_store(self.lake.url, read_only=True)
        path = f"{paths.dataset(*self.key)}/{group}".rstrip("/")
        opened: xr.Dataset = xr.open_zarr(store, group=path, consolidated=False, chunks={})
        return opened

    def to_xarray(self) -> xr.Dataset:
        """Return the localizations, lazily: one variable a column, sorted by file and tile, units in the attributes."""
        table = self._open("localizations")
        table = table[[name for name in COLUMNS if name in table]]
        return table.assign_attrs({k: v for k, v in self.row.items() if v is not None})

    @property
    def rois(self) -> xr.Dataset:
        """The ROIs, lazily: file, tile, corner in nm, and where their localizations stand."""
        return self._open("rois")

    @property
    def histograms(self) -> xr.DataArray:
        """Number of bins of each ROI that hold k = 1, 2, ... localizations, lazily."""
        counts = self._open("")["histograms"]
        return counts.assign_coords(k=range(1, counts.sizes["k"] + 1))

    @property
    def outlines(self) -> xr.Dataset:
        """The cell outlines, lazily: vertices in nm, outline after outline, and where each starts."""
        return self._open("outlines")

    @property
    def files(self) -> pd.DataFrame:
        """One row a localization file: format, checksum, counts, quality and what the reader had to assume."""
        dataset, version = self.key
        rows = tables.read(self.lake.url, "files", filters=[("dataset", "=", dataset), ("version", "=", version)])
        frame: pd.DataFrame = rows.to_pandas().drop_duplicates("file").sort_values("start", ignore_index=True)
        frame["provenance"] = [json.loads(text) for text in frame["provenance"]]
        return frame

    def __repr__(self) -> str:
        row = self.row
        facts = (
            f"{row['n_localizations']:,} localizations in {row['n_files']} files, {row['n_rois']} ROIs "
            f"({row['n_rois_dense']} dense enough for the thinned mode)"
        )
        known = [row[name] for name in ("protein", "cell_type", "fluorophore", "modality") if row[name]]
        return f"<Dataset {self.dataset}: {row['title']!r} ({', '.join(known)}), {facts}>"
