"""Collections of a few small datasets, made to meet every case of a scoring run."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lake.parameters import Parameters

TILE_NM = 3000

PARAMETERS = Parameters(thinning_density_per_um2=5.0)
"""A ROI of the thinned mode holds 45 localizations."""

METADATA = """\
title: {title}
modality: other
protein: {title}
fluorophore: simulated
localization_software: simulated
drift_corrected: true
blink_corrected: true
description: seed {seed}
"""


def write_dataset(folder: Path, counts: Sequence[Sequence[int]], seed: int) -> Path:
    """Write a dataset folder: one file for each sequence of localizations by ROI, with the ROIs in one row.

    The title is the folder's name. A last half tile inside the outline holds five localizations that belong to
    no ROI, so that a file may be without any in its ROIs.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for file, rois in enumerate(counts):
        parts = [_roi(rng, n) + (tile * TILE_NM, 0) for tile, n in enumerate(rois)]
        parts.append(rng.uniform(0, 1400, (5, 2)) + (len(rois) * TILE_NM, 0))
        xy_nm = np.concatenate(parts)
        rows = [f"{frame},{x:.2f},{y:.2f}" for frame, (x, y) in enumerate(xy_nm, 1)]
        (folder / f"cell_{file}.csv").write_text("\n".join(["frame,x [nm],y [nm]", *rows, ""]))
        right_um = (len(rois) + 0.5) * TILE_NM / 1000
        outline = ["X,Y", "0,0", f"{right_um},0", f"{right_um},3", "0,3", ""]
        (folder / f"cell_{file}_ROI_1.csv").write_text("\n".join(outline))
    (folder / "dataset.yaml").write_text(METADATA.format(title=folder.name, seed=seed))
    return folder


def _roi(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return n positions of a tile: a part in clusters, so that bins hold few and many localizations."""
    clustered = int(n * rng.uniform(0, 0.9))
    centres = rng.uniform(100, 2900, (rng.integers(1, 8), 2))
    clusters = rng.choice(centres, clustered) + rng.normal(0, 25, (clustered, 2))
    xy_nm = np.concatenate([clusters, rng.uniform(0, TILE_NM, (n - clustered, 2))])
    return np.clip(xy_nm, 0, TILE_NM - 1)


def mixed_counts(rng: np.random.Generator, rois: int) -> list[int]:
    """Return localizations of ROIs, of which some are empty, some too sparse to be thinned, and most dense."""
    kinds = rng.choice(3, rois, p=(0.1, 0.25, 0.65))
    draws = [np.zeros(rois, int), rng.integers(1, 45, rois), rng.integers(45, 200, rois)]
    return [int(draws[kind][i]) for i, kind in enumerate(kinds)]


def write_variants(folder: Path, names: Iterable[str], version: int) -> Path:
    """Write a collection of datasets of one to 26 ROIs; another version has other ROIs under the same titles.

    ``sparse`` has no ROI that is thinned and ``void`` none with localizations.
    """
    for index, name in enumerate(names):
        rng = np.random.default_rng([version, index])
        counts = [mixed_counts(rng, int(rng.integers(1, 14))) for _ in range(1 + index % 2)]
        counts[0][0] = 90
        if name == "sparse":
            counts = [[20, 44, 0, 7]]
        if name == "void":
            counts = [[0, 0]]
        write_dataset(folder / name, counts, seed=100 * version + index)
    return folder


def gather(folder: Path, datasets: Iterable[Path]) -> Path:
    """Make a collection of copies of dataset folders."""
    for dataset in datasets:
        shutil.copytree(dataset, folder / dataset.name)
    return folder
