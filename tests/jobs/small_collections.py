"""Small datasets that meet every case of a scoring run, lakes of them, and what two lakes must agree on."""

import itertools
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

import dask
import numpy as np

from catalog import open_catalog
from jobs import ingest as ingesting
from jobs import pipeline
from jobs import plan as plans
from jobs import score as scoring
from jobs.plan import Plan
from lake import paths, storage
from lake.parameters import Parameters, open_lake

NAMES = ("a", "b", "c", "d", "sparse", "void")

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
        parts = [_roi(rng, n) + np.array([tile * TILE_NM, 0]) for tile, n in enumerate(rois)]
        parts.append(rng.uniform(0, 1400, (5, 2)) + np.array([len(rois) * TILE_NM, 0]))
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
    """Write a collection of datasets of one to 18 ROIs; another version has other ROIs under the same titles.

    ``sparse`` has no ROI that is thinned and ``void`` none with localizations.
    """
    for index, name in enumerate(names):
        rng = np.random.default_rng([version, index])
        counts = [mixed_counts(rng, int(rng.integers(1, 10))) for _ in range(1 + index % 2)]
        counts[0][0] = 90
        if name == "sparse":
            counts = [[20, 44, 0, 7]]
        if name == "void":
            counts = [[0, 0]]
        write_dataset(folder / name, counts, seed=100 * version + index)
    return folder


def new_lake(folder: Path, built: Path, **parameters) -> Path:
    """Make a lake that holds the arrays of another, as an ingest leaves them that dies before registering."""
    lake = folder / "lake"
    pipeline.init(lake, PARAMETERS.model_copy(update=parameters))
    shutil.copytree(built / "datasets", lake / "datasets")
    return lake


def ingest(lake: Path, workers, folders: Iterable[Path]):
    """Ingest dataset folders, as one collection."""
    collection = Path(f"{lake}-collections") / str(time.monotonic_ns())
    for folder in folders:
        shutil.copytree(folder, collection / folder.name)
    outcome = ingesting.ingest(open_lake(lake), [str(collection)], lambda: nullcontext(workers))
    assert outcome.problems == []
    return outcome


def score(lake: Path, workers, **options) -> list[scoring.Scored]:
    """Score with workers that run already."""
    return scoring.score(open_lake(lake), lambda: nullcontext(workers), **options)


def lake_of(folder: Path, built: Path, workers, datasets: Iterable[Path]) -> Path:
    """Make a lake and ingest datasets."""
    lake = new_lake(folder, built)
    ingest(lake, workers, datasets)
    return lake


def compute_without_publishing(lake: Path, workers, plan: Plan) -> None:
    """Do what a scoring run does before its first commit; a run that is killed then leaves this."""
    opened = open_lake(lake)
    storage.create(opened.url, paths.plan(plan.generation, plan.run), plans.encode(plan))
    scoring.create_panels(opened, plan)
    scoring.compute(opened, plan, workers, set())


def lambdas(lake: Path) -> dict[tuple[str, str, str], np.ndarray]:
    """Return every lambda matrix between the live datasets of a lake, by mode and ids."""
    catalog = open_catalog(lake)
    found = {}
    with dask.config.set(scheduler="synchronous"):
        for mode, size in (("unthinned", "n_rois_occupied"), ("thinned", "n_rois_dense")):
            scored = catalog.datasets.loc[catalog.datasets[size] > 0, "dataset"]
            for a, b in itertools.combinations_with_replacement(sorted(scored), 2):
                found[mode, a, b] = catalog.lambda_matrix(a, b, mode).values
    return found


def score_frame(lake: Path, mode: str):
    """Return the scores that a catalog shows, without where they come from."""
    frame = open_catalog(lake).scores(mode).set_index(["dataset", "other"]).sort_index()
    return frame.drop(columns=["generation", "run", "version", "other_version", "mode"])


def assert_same_lambdas(found, expected) -> None:
    """Compare the bits."""
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert values.dtype == found[key].dtype
        np.testing.assert_array_equal(found[key].view(np.uint8), values.view(np.uint8), err_msg=str(key))


def assert_same_scores(lake: Path, reference: Path) -> None:
    """Compare what is merged from partial scores: sums to 1e-12, all else exactly."""
    for mode in paths.MODES:
        found, expected = score_frame(lake, mode), score_frame(reference, mode)
        assert found.index.tolist() == expected.index.tolist()
        for name in ("n_pairs", "min", "max"):
            assert found[name].tolist() == expected[name].tolist()
        for name in ("mean", "sd"):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-12)
        for row, wanted in zip(found["histogram"], expected["histogram"], strict=True):
            np.testing.assert_array_equal(row, wanted)
