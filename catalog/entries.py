"""The door for Intake: ``intake.open_catalog("<lake>/catalog.yaml")``.

The YAML holds four entries that never change; what they read does (:mod:`catalog.intake_readers`, which is not
imported here: a lake is made without Intake). It names the lake by ``{CATALOG_DIR}``, so a lake may be moved, and no
secret, because Intake would write it in clear.
"""

import yaml

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
