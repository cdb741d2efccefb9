"""Collections small enough to ingest in a moment, written as a laboratory would."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

TILE_NM = 3000.0

Columns = dict[str, NDArray[Any]]


def localizations(seed: int, rois: int = 2, per_roi: int = 40) -> Columns:
    """Return localizations over a strip of ROIs and a margin around it, in no order of place."""
    rng = np.random.default_rng(seed)
    n = rois * per_roi
    # Pairs and triples in a bin, so that histograms have more than one column.
    centres = rng.uniform((-500, -500), (rois * TILE_NM + 500, TILE_NM + 500), (max(1, n // 3), 2))
    xy = centres[rng.integers(len(centres), size=n)] + rng.normal(0, 8, (n, 2))
    return {
        "frame": np.sort(rng.integers(1, 5000, n)),
        "x [nm]": xy[:, 0].round(2),
        "y [nm]": xy[:, 1].round(2),
        "intensity [photon]": rng.gamma(4, 300, n).round(1),
        "uncertainty [nm]": rng.uniform(4, 20, n).round(2),
    }


def write_table(path: Path, columns: Columns) -> Path:
    """Write a localization file."""
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_outline(path: Path, corners_um: Sequence[tuple[float, float]]) -> Path:
    """Write an outline."""
    path.write_text("X,Y\n" + "".join(f"{x},{y}\n" for x, y in corners_um), encoding="utf-8")
    return path


def strip_um(rois: int) -> list[tuple[float, float]]:
    """Return the corners of an outline around so many tiles in a row."""
    return [(-0.1, -0.1), (3 * rois + 0.1, -0.1), (3 * rois + 0.1, 3.1), (-0.1, 3.1)]


def write_metadata(folder: Path, title: str, **fields: Any) -> Path:
    """Write ``dataset.yaml``."""
    content = {"title": title, "modality": "dSTORM", "protein": "TIGIT"} | fields
    path = folder / "dataset.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def write_dataset(
    folder: Path,
    title: str | None = None,
    *,
    seed: int = 0,
    files: int = 1,
    rois: int = 2,
    per_roi: int = 40,
    **fields: Any,
) -> Path:
    """Write a dataset folder whose localizations depend on the seed; each file has one outline."""
    folder.mkdir(parents=True)
    for number in range(1, files + 1):
        write_table(folder / f"cell_{number}.csv", localizations(100 * seed + number, rois, per_roi))
        write_outline(folder / f"cell_{number}_ROI_1.csv", strip_um(rois))
    write_metadata(folder, title or folder.name, **fields)
    return folder
