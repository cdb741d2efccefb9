"""The main job on simulated data, from an empty folder to figures: ``nanolake demo``.

Six conditions in nano-org's upload form, five with 10 to 30 clusters a ROI and one of fibres, all of the same
density. They are ingested and scored in two steps, as data arrive in a lab.
"""

import itertools
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from catalog import Catalog, open_catalog, plots
from compute.simulate import PRESETS
from jobs import pipeline, printing
from jobs.simulated_collection import write_collection
from lake.metadata import slug

FIRST = {"10 clusters": "clusters-10", "12 clusters": "clusters-12", "15 clusters": "clusters-15"}
SECOND = {"20 clusters": "clusters-20", "30 clusters": "clusters-30", "fibres": "fibres-random"}
"""Titles and presets of the conditions that arrive first and second."""

REFERENCE = "10-clusters"
_FILES = 2
_MODE = "thinned"
_SHOWN_VALUES = 20_000  # lambda values of a violin; more do not change its shape


def run_demo(folder: str, *, rois: int, workers: int | None) -> None:
    """Run the demonstration and say what it does on the way.

    Parameters
    ----------
    folder : str
        Where collections, lake and figures go. What an earlier demonstration left there is used again.
    rois : int
        ROIs a condition.
    workers : int or None
        Workers; one a core by default.
    """
    started = time.monotonic()
    root = Path(folder)
    lake = str(root / "lake")
    pipeline.init(lake)
    for step, conditions in enumerate((FIRST, SECOND), 1):
        collection = root / f"collection-{step}"
        _say(f"step {step}: simulate {', '.join(conditions)} in nano-org's upload form: {collection}")
        _simulate(collection, conditions, rois)
        outcome = pipeline.ingest(lake, [collection], workers=workers)
        printing.ingested(outcome, "table")
        printing.scored(pipeline.score(lake, workers=workers), "table")
    catalog = open_catalog(lake)
    _say(f"datasets ranked by similarity to {REFERENCE}: lambda grows with the difference in cluster number")
    hits = catalog.similar(REFERENCE, mode=_MODE)
    printing.ranking(hits, "table")
    _explain_growth(catalog)
    figures = draw(catalog, root / "figures")
    _say(f"{len(figures)} figures in {root / 'figures'}: {', '.join(path.name for path in figures)}")
    _say(_next_steps(lake, root, time.monotonic() - started))


def _say(text: str) -> None:
    click.echo(f"\n{text}", err=True)


def _simulate(collection: Path, conditions: Mapping[str, str], rois: int) -> None:
    missing = {
        title: PRESETS[preset] for title, preset in conditions.items() if not (collection / slug(title)).exists()
    }
    if missing:
        write_collection(collection, missing, rois_per_file=rois // _FILES, files_per_condition=_FILES)


def _explain_growth(catalog: Catalog) -> None:
    """Print mean lambda against the number of clusters."""
    means = catalog.means(_MODE).loc[REFERENCE].to_dict()
    counts = [10, 12, 15, 20, 30]
    values = [float(means[f"{n}-clusters"]) for n in counts]
    _say("mean lambda of 10 clusters a ROI against n clusters a ROI, same density:")
    for n, value in zip(counts, values, strict=True):
        click.echo(f"  {n:3d}  {value:5.2f}  {'#' * round(value * 20)}", err=True)
    grows = all(a < b for a, b in itertools.pairwise(values))
    click.echo(f"  it {'grows with every step' if grows else 'does not grow with every step'}", err=True)


def draw(catalog: Catalog, folder: Path) -> list[Path]:
    """Draw the figures of the demonstration; return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, Callable[[Any], Any]] = {
        f"image-{name}.png": _image_of(catalog, name) for name in sorted(catalog)
    }
    within = {name: _values(catalog, name, name) for name in sorted(catalog)}
    against = {name: _values(catalog, REFERENCE, name) for name in catalog}
    means = catalog.means(_MODE)
    drawings |= {
        "self-similarity.png": lambda ax: plots.self_similarity(within, ax=ax),
        "violins.png": lambda ax: plots.lambda_violins(against, REFERENCE, ax=ax),
        "heatmap.png": lambda ax: plots.condition_heatmap(means, title=f"mean lambda, {_MODE}", ax=ax),
        "ranking.png": lambda ax: plots.ranking(catalog.similar(REFERENCE, mode=_MODE), ax=ax),
    }
    return [_save(folder / name, drawing) for name, drawing in drawings.items()]


def _image_of(catalog: Catalog, name: str) -> Callable[[Any], Any]:
    """Return what draws the first 2 x 2 ROIs of a dataset."""
    table = catalog[name].to_xarray()[["x_nm", "y_nm"]].load()
    x_nm, y_nm = table["x_nm"].to_numpy(), table["y_nm"].to_numpy()
    inside = (x_nm < 6000) & (y_nm < 6000)
    first = np.flatnonzero(inside)
    return lambda ax: plots.localization_image(x_nm[first], y_nm[first], title=catalog[name].row["title"], ax=ax)


def _values(catalog: Catalog, a: str, b: str) -> NDArray[np.float32]:
    """Return lambda between the ROIs of two datasets, thinned out where there are many."""
    values = catalog.lambda_values(a, b, mode=_MODE)
    return values[:: max(1, values.size // _SHOWN_VALUES)]


def _save(path: Path, drawing: Callable[[Any], Any]) -> Path:
    figure = Figure(figsize=(6.4, 4.8), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    drawing(figure.add_subplot())
    figure.savefig(path)
    return path


def _next_steps(lake: str, root: Path, seconds: float) -> str:
    command = "nanolake" if shutil.which("nanolake") else sys.argv[0]
    return (
        f"done in {seconds:.0f} s. Try next:\n"
        f"  {command} ls {lake}\n"
        f"  {command} show {lake} fibres\n"
        f"  {command} similar {lake} fibres --mode unthinned\n"
        f"  {command} ingest {lake} <your collection>; {command} score {lake}\n"
        f"A collection looks like {root / 'collection-1'}: one folder a condition, with dataset.yaml,\n"
        "localization files and cell outlines <file>_ROI_1.csv (X,Y in micrometres)."
    )
