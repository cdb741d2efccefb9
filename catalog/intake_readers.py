"""The door for Intake: ``intake.open_catalog("<lake>/catalog.yaml")``.

The YAML holds four entries that never change; what they read does. It names the lake by ``{CATALOG_DIR}``, so a
lake may be moved, and no secret, because Intake would write it in clear.
"""

from typing import Any

import pandas as pd
import xarray as xr
import yaml
from intake.readers.readers import BaseReader

from catalog.catalog import Catalog, open_catalog
from lake import paths, storage
from lake.parameters import Lake

_ENTRIES = {
    "datasets": (
        "Datasets",
        "catalog.catalog:Catalog",
        "the catalog: search it, open datasets, rank by similarity",
    ),
    "scores": ("Scores", "pandas:DataFrame", "mean lambda and more for every ordered pair of datasets"),
    "runs": ("Runs", "pandas:DataFrame", "finished ingests and scoring runs"),
    "similarity": (
        "Similarity",
        "xarray:DataArray",
        "lambda of the ROIs of two datasets: read(dataset=, other=)",
    ),
}


class Datasets(BaseReader):
    """Reads the catalog of a lake."""

    output_instance = "catalog.catalog:Catalog"

    def _read(self, url: str, **_: Any) -> Catalog:
        return open_catalog(url)


class Scores(BaseReader):
    """Reads the scores between datasets."""

    output_instance = "pandas:DataFrame"

    def _read(self, url: str, mode: str = "thinned", **_: Any) -> pd.DataFrame:
        return open_catalog(url).scores(mode)


class Runs(BaseReader):
    """Reads the finished runs of a lake."""

    output_instance = "pandas:DataFrame"

    def _read(self, url: str, **_: Any) -> pd.DataFrame:
        return open_catalog(url).runs


class Similarity(BaseReader):
    """Reads lambda of the ROIs of two datasets."""

    output_instance = "xarray:DataArray"

    def _read(
        self, url: str, dataset: str = "", other: str | None = None, mode: str = "thinned", **_: Any
    ) -> xr.DataArray:
        if not dataset:
            raise ValueError("name a dataset: read(dataset='...', other='...', mode='thinned')")
        return open_catalog(url).lambda_matrix(dataset, other, mode)


def write_catalog(lake: Lake) -> None:
    """Write the lake's ``catalog.yaml`` if there is none."""
    entries = {
        name: {
            "reader": f"catalog.intake_readers:{reader}",
            "kwargs": {"url": "{CATALOG_DIR}"},
            "output_instance": output,
            "user_parameters": {},
            "metadata": {"description": description},
        }
        for name, (reader, output, description) in _ENTRIES.items()
    }
    content = {
        "version": 2,
        "metadata": {"lake_id": lake.lake_id},
        "entries": entries,
        "data": {},
        "aliases": {name: name for name in entries},
        "user_parameters": {},
    }
    storage.create(lake.url, paths.CATALOG, yaml.safe_dump(content, sort_keys=False).encode())
