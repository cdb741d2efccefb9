"""Open and search a catalog of 100,000 datasets."""

import datetime as dt
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from measuring import best

from catalog import open_catalog
from jobs import pipeline
from lake import tables

DATASETS = 100_000


def fill(lake: Path, n: int) -> None:
    """Register datasets without data, a thousand at a time as ingests would."""
    rng = np.random.default_rng(0)
    proteins = [f"PROT{i}" for i in range(500)]
    url = pipeline.open_lake(lake).url
    now = dt.datetime.now(dt.UTC)
    version = 0
    for start in range(0, n, 1000):
        rows = [
            {
                "dataset": f"dataset-{i}",
                "title": f"Dataset {i}",
                "version": f"{i:016x}",
                "revision": 1,
                "state": "live",
                "modality": "dSTORM",
                "protein": proteins[rng.integers(500)],
                "cell_type": "Jurkat",
                "fluorophore": "Alexa Fluor 647",
                "density_per_um2": float(rng.gamma(4, 30)),
                "description": f"Resting cells on glass, plate {i % 97}, well {i % 12}.",
                "tags": ["resting", f"plate-{i % 97}"],
                "n_rois": 10,
                "n_rois_dense": 9,
                "n_localizations": 12_000,
                "ingested_at": now,
            }
            for i in range(start, start + 1000)
        ]
        version = tables.append(url, "datasets", pa.Table.from_pylist(rows, schema=tables.DATASETS))
    row = {
        "run": "bench",
        "kind": "ingest",
        "started_at": now,
        "finished_at": now,
        "datasets_version": version,
    }
    tables.append(url, "runs", [row])


def measure() -> list[dict]:
    """Return the rows."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        pipeline.init(lake)
        fill(lake, DATASETS)
        opened = best(lambda: open_catalog(lake))
        catalog = open_catalog(lake)
        found = {
            "by protein": lambda: catalog.search(protein="PROT7"),
            "by density range": lambda: catalog.search(density_per_um2=(200, None)),
            "by tag": lambda: catalog.search(tags="plate-3"),
            "by text": lambda: catalog.search("plate 33"),
        }
        rows = [
            {
                "what": f"open a catalog of {DATASETS:,} datasets",
                "seconds": opened,
                "goal": "< 0.3 s",
                "met": opened < 0.3,
            }
        ]
        for how, search in found.items():
            assert 0 < len(search()) < DATASETS
            seconds = best(search)
            rows.append({"what": f"search it {how}", "seconds": seconds, "goal": "< 0.05 s", "met": seconds < 0.05})
    return rows
