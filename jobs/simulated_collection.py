"""Simulated collections in nano-org's upload form: something to try, to teach and to test a lake with.

A collection is a folder of dataset folders, one a condition, which hold ThunderSTORM tables, one outline for
each and a `dataset.yaml`: what a laboratory would upload. The ROIs of a file lie ten in a row on the tiles of
a lake, and the outline follows the tiles' borders, so that ingesting finds each ROI again.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import yaml
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from compute.simulate import TILE_NM, Preset, localization_error, simulate_roi
from lake.metadata import slug

ROIS_PER_ROW = 10

FRAMES = 10_000
"""Camera frames of a file, as in a usual movie."""

PSF_SIGMA_NM = 130.0
"""Width in nm that is fitted to a far-red dye with an oil objective and camera pixels of about 100 nm."""

STEPS_PER_NM = 100
"""Coordinates are written in steps of 0.01 nm, rounded down so that no localization leaves its tile."""


def write_collection(
    folder: Path,
    conditions: Mapping[str, Preset],
    rois_per_file: int = 30,
    files_per_condition: int = 2,
    localizations_per_roi: int = 1_200,
    precision_nm: float = 5.0,
    seed: int = 0,
) -> list[Path]:
    """Write simulated conditions as dataset folders, ready to ingest.

    The localizations of a ROI depend on the seed, the title of its condition, and the numbers of its file and
    ROI, and on nothing else: more conditions, files or ROIs leave the positions already drawn as they were.

    Parameters
    ----------
    folder : pathlib.Path
        The collection; made where absent.
    conditions : mapping of str to Preset
        Recipe of each dataset by its title.
    rois_per_file : int
        ROIs in a file, at least 1.
    files_per_condition : int
        Files in a dataset, at least 1.
    localizations_per_roi : int
        Localizations in a ROI instead of the preset's number. The default, 133 per um2, keeps every ROI when
        they are thinned to 100 per um2.
    precision_nm : float
        Median localization precision in nm. With 0 the true positions are written, and the columns of
        photons and uncertainty left out.
    seed : int
        Seed of the collection, at least 0.

    Returns
    -------
    list of pathlib.Path
        The dataset folders, in the order of `conditions`; each is named by the id of its dataset.

    Raises
    ------
    ValueError
        If a number is out of its range, a title has no letter or digit, two titles give the same id, or a
        dataset folder is already there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from compute.simulate import PRESETS
    >>> with TemporaryDirectory() as folder:
    ...     (dataset,) = write_collection(Path(folder), {"Ten clusters": PRESETS["clusters-10"]}, 3, 1)
    ...     sorted(path.name for path in dataset.iterdir())
    ['dataset.yaml', 'ten-clusters_cell_1.csv', 'ten-clusters_cell_1_ROI_1.csv']
    """
    _check(rois_per_file, files_per_condition, localizations_per_roi, precision_nm, seed)
    datasets = _dataset_folders(folder, conditions)
    for (title, preset), dataset in zip(conditions.items(), datasets, strict=True):
        sized = replace(preset, total=localizations_per_roi)
        dataset.mkdir(parents=True)
        for file in range(1, files_per_condition + 1):
            rngs = [default_rng([seed, file, roi, *title.encode()]) for roi in range(rois_per_file)]
            stem = f"{dataset.name}_cell_{file}"
            pyarrow.csv.write_csv(_table(sized, precision_nm, rngs), dataset / f"{stem}.csv")
            (dataset / f"{stem}_ROI_1.csv").write_text(_outline(rois_per_file), encoding="utf-8")
        metadata = yaml.safe_dump(_metadata(title, sized, precision_nm, seed), sort_keys=False)
        (dataset / "dataset.yaml").write_text(metadata, encoding="utf-8")
    return datasets


def describe(preset: Preset) -> str:
    """Return the recipe of a preset in words, with its numbers.

    Parameters
    ----------
    preset : Preset
        The recipe.

    Returns
    -------
    str
        One sentence without its full stop.

    Examples
    --------
    >>> describe(Preset(clustered=0.5, n_clusters=(10, 30)))
    '900 localizations a ROI, 50 % in 10 or 30 Gaussian clusters (sigma 30 nm), 50 % uniformly random'
    """
    parts = [f"{preset.total} localizations a ROI"]
    if preset.clustered > 0:
        shape = f"sigma {preset.cluster_sigma_nm:g} nm"
        clusters = " or ".join(map(str, preset.n_clusters))
        parts.append(f"{preset.clustered:.0%} in {clusters} Gaussian clusters ({shape})")
    if preset.fibrous > 0:
        shape = f"{preset.orientation} directions, {preset.placement} spacing, width {preset.fibre_width_nm:g} nm"
        fibres = " or ".join(map(str, preset.n_fibres))
        parts.append(f"{preset.fibrous:.0%} on {fibres} fibres ({shape})")
    if preset.unstructured > 0:
        parts.append(f"{preset.unstructured:.0%} uniformly random")
    return ", ".join(parts).replace("%", " %")


def _check(rois: int, files: int, localizations: int, precision_nm: float, seed: int) -> None:
    """Refuse numbers out of their range before anything is written."""
    counts = {"rois_per_file": rois, "files_per_condition": files, "localizations_per_roi": localizations}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}: ask for at least one")
    if not (precision_nm >= 0 and math.isfinite(precision_nm)):
        raise ValueError(f"precision_nm is {precision_nm}: choose 0 nm or more")
    if seed < 0:
        raise ValueError(f"seed is {seed}: choose 0 or a positive number")


def _dataset_folders(folder: Path, titles: Iterable[str]) -> list[Path]:
    """Return the dataset folder of each title, and refuse to write into one that is there."""
    titles_by_id: dict[str, str] = {}
    for title in titles:
        dataset = slug(title)
        if dataset in titles_by_id:
            raise ValueError(f"titles {titles_by_id[dataset]!r} and {title!r} both have the id {dataset!r}: change one")
        if (folder / dataset).exists():
            raise ValueError(f"{folder / dataset} is already there: choose another folder or remove it")
        titles_by_id[dataset] = title
    return [folder / dataset for dataset in titles_by_id]


def _table(preset: Preset, precision_nm: float, rngs: Iterable[Generator]) -> pa.Table:
    """Return the ThunderSTORM table of one file: a ROI a generator, rows in order of frame."""
    rois = [_roi(preset, precision_nm, rng, index) for index, rng in enumerate(rngs)]
    columns = {name: np.concatenate([roi[name] for roi in rois]) for name in rois[0]}
    order = np.argsort(columns["frame"], kind="stable")
    ids = np.arange(1, len(order) + 1)
    return pa.table({"id": ids} | {name: values[order] for name, values in columns.items()})


def _roi(preset: Preset, precision_nm: float, rng: Generator, index: int) -> dict[str, NDArray[Any]]:
    """Return the columns of one ROI, on the tile that its index in the file gives it."""
    xy_nm, precisions_nm = localization_error(rng, simulate_roi(rng, preset), precision_nm)
    # In whole steps, because 2999.999 + 3000 in floating point can be 6000.
    steps_per_tile = round(TILE_NM * STEPS_PER_NM)
    steps = np.minimum(np.floor(xy_nm * STEPS_PER_NM).astype(np.int64), steps_per_tile - 1)
    row, column = divmod(index, ROIS_PER_ROW)
    x_nm, y_nm = ((steps + np.array([column, row]) * steps_per_tile) / STEPS_PER_NM).T
    widths_nm = PSF_SIGMA_NM * np.exp(0.05 * rng.standard_normal(preset.total))
    frames = np.sort(rng.integers(1, FRAMES + 1, preset.total))
    columns = {"frame": frames, "x [nm]": x_nm, "y [nm]": y_nm, "sigma [nm]": widths_nm.round(1)}
    if precision_nm > 0:
        # Without background the precision is the width over the root of the photons (Thompson et al. 2002).
        columns["intensity [photon]"] = ((widths_nm / precisions_nm) ** 2).round(1)
        columns["uncertainty [nm]"] = precisions_nm.round(2)
    return columns


def _outline(n_rois: int) -> str:
    """Return the polygon around the rows of ROIs, in um."""
    width_um, height_um = (TILE_NM / 1000 * n for n in (ROIS_PER_ROW, math.ceil(n_rois / ROIS_PER_ROW)))
    corners = ((0, 0), (width_um, 0), (width_um, height_um), (0, height_um))
    return "X,Y\n" + "".join(f"{x:g},{y:g}\n" for x, y in corners)


def _metadata(title: str, preset: Preset, precision_nm: float, seed: int) -> dict[str, Any]:
    """Return the fields of `dataset.yaml`."""
    return {
        "title": title,
        "modality": "other",
        "protein": "simulated",
        "fluorophore": "simulated",
        "localization_software": "nanolake simulate",
        "drift_corrected": True,
        "blink_corrected": True,
        "license": "CC0-1.0",
        "description": f"Simulated: {describe(preset)}, median precision {precision_nm:g} nm, seed {seed}.",
        "tags": ["simulated", *_structures(preset)],
    }


def _structures(preset: Preset) -> list[str]:
    """Name the structures of a preset, for its tags."""
    fractions = {"clusters": preset.clustered, "fibres": preset.fibrous, "uniform": preset.unstructured}
    return [name for name, fraction in fractions.items() if fraction > 0]
