"""What the entries of a lake's ``catalog.yaml`` read, as in ``intake.open_catalog(url).datasets.read()``."""

from typing import Any

import pandas as pd
import xarray as xr
from intake.readers.readers import BaseReader

from catalog.catalog import Catalog, open_catalog


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
