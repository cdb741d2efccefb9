"""Ingest of 20 files of 500,000 localizations against pyarrow's bare parse of the same files."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from measuring import once

from jobs import pipeline

DATASETS, FILES, LOCALIZATIONS = 4, 5, 500_000


def write_collection(folder: Path, datasets: int, files: int, n: int) -> list[Path]:
    """Write ThunderSTORM files of clustered localizations in a field of 60 x 60 um."""
    rng = np.random.default_rng(0)
    written = []
    for d in range(datasets):
        dataset = folder / f"condition-{d}"
        dataset.mkdir(parents=True)
        (dataset / "dataset.yaml").write_text(f"title: Condition {d}\nmodality: dSTORM\nprotein: TIGIT\n")
        for f in range(files):
            centres = rng.uniform(0, 60_000, (5000, 2))
            xy = np.clip(centres[rng.integers(0, 5000, n)] + rng.normal(0, 40, (n, 2)), 0, 59_999)
            columns = {
                "id": np.arange(1, n + 1, dtype=float),
                "frame": np.sort(rng.integers(1, 20_000, n)).astype(float),
                "x [nm]": xy[:, 0].round(2),
                "y [nm]": xy[:, 1].round(2),
                "sigma [nm]": rng.normal(130, 15, n).round(3),
                "intensity [photon]": rng.exponential(1000, n).round(3),
                "offset [photon]": rng.normal(30, 3, n).round(3),
                "bkgstd [photon]": rng.normal(6, 1, n).round(3),
                "chi2": rng.exponential(1e4, n).round(3),
                "uncertainty [nm]": rng.gamma(9, 2, n).round(3),
            }
            path = dataset / f"cell_{f}.csv"
            pyarrow.csv.write_csv(pa.table(columns), path)
            (dataset / f"cell_{f}_ROI_1.csv").write_text("X,Y\n0,0\n60,0\n60,60\n0,60\n")
            written.append(path)
    return written


def measure() -> list[dict]:
    """Return the row."""
    with tempfile.TemporaryDirectory() as folder:
        collection, lake = Path(folder) / "collection", Path(folder) / "lake"
        files = write_collection(collection, DATASETS, FILES, LOCALIZATIONS)
        warm = Path(folder) / "warm"
        write_collection(warm, 1, 1, 1000)
        pipeline.init(Path(folder) / "lake0")
        pipeline.ingest(Path(folder) / "lake0", [warm], workers=2)
        pipeline.init(lake)

        def parse() -> None:
            for path in files:
                pyarrow.csv.read_csv(path)

        parse()
        before = once(parse)
        ours = once(lambda: pipeline.ingest(lake, [collection], workers=2))
        peer = (before + once(parse)) / 2
        again = once(lambda: pipeline.ingest(lake, [collection], workers=2))
        nbytes = sum(path.stat().st_size for path in files)
    return [
        {
            "what": f"ingest of 20 files of 500,000 localizations ({nbytes / ours / 1e6:.0f} MB/s; {again:.2f} s again)",
            "seconds": ours,
            "peer": "pyarrow.csv.read_csv of the same files, its default two threads",
            "peer_seconds": peer,
            "ratio": ours / peer,
            "goal": "<= 2 times its time",
            "met": ours / peer <= 2,
        }
    ]
