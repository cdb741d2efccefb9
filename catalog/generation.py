"""Where the ROIs of each dataset stand in the lambda panels of the newest generation."""

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from catalog import rois
from lake import current, datasets, paths
from lake.current import Published, ScoredRun
from lake.parameters import Lake, Parameters, parameters_from


@dataclass(frozen=True)
class Generation:
    """The published scores of a lake.

    Attributes
    ----------
    lake : Lake
        The lake.
    name : str
        Generation.
    runs : tuple of ScoredRun
        Its runs in sequence.
    parameters : Parameters
        With which it was scored.
    """

    lake: Lake
    name: str
    runs: tuple[ScoredRun, ...]
    parameters: Parameters

    def panels(self, mode: str) -> list[tuple[str, int]]:
        """Return path and rows of the panels in sequence."""
        return [(paths.panel(self.name, run.run, mode), sum(run.sizes[mode])) for run in self.runs]

    def members(self, mode: str) -> list[tuple[tuple[str, str], int]]:
        """Return every scored dataset and version with its number of ROIs, in the order of the columns.

        Raises
        ------
        ValueError
            If there is no such mode.
        """
        _refuse_unknown(mode)
        return [pair for run in self.runs for pair in zip(run.datasets, run.sizes[mode], strict=True)]


def _refuse_unknown(mode: str) -> None:
    if mode not in paths.MODES:
        raise ValueError(f"mode is {mode!r}; choose one of {', '.join(paths.MODES)}")


def open_generation(lake: Lake, published: Published) -> Generation:
    """Return the newest generation.

    Raises
    ------
    ValueError
        If nothing was scored yet.
    """
    if published.generation is None:
        raise ValueError(f"{lake.url}: nothing is scored yet; run `nanolake score` on it")
    return Generation(
        lake,
        published.generation,
        tuple(current.scored_runs(lake.url, published.generation, published.runs)),
        parameters_from(published.parameters, published.generation),
    )


@dataclass(frozen=True)
class _Place:
    """A dataset's ROIs: panel, first row in it, first column in the generation, and their number."""

    panel: str
    row: int
    column: int
    size: int


def _place(generation: Generation, dataset: tuple[str, str], mode: str) -> _Place:
    column = 0
    for run in generation.runs:
        row = 0
        for member, size in zip(run.datasets, run.sizes[mode], strict=True):
            if member == dataset:
                return _Place(paths.panel(generation.name, run.run, mode), row, column, size)
            row += size
            column += size
    raise ValueError(f"dataset {dataset[0]} is not scored yet; run `nanolake score`")


def lambda_matrix(generation: Generation, a: tuple[str, str], b: tuple[str, str], mode: str) -> xr.DataArray:
    """Return lambda of every ROI of one dataset against every ROI of another.

    Parameters
    ----------
    generation : Generation
        Published scores.
    a, b : (dataset, version)
        Datasets of the rows and of the columns; the same one for self-similarity.
    mode : str
        One of :data:`lake.paths.MODES`.

    Returns
    -------
    xarray.DataArray
        Lazy, dims ``roi`` and ``other``, with the ROI's index, file and corner (nm) along both. The diagonal of
        a dataset against itself is 0.

    Raises
    ------
    ValueError
        If there is no such mode, or a dataset is not scored or has no ROI that is scored in the mode.
    """
    _refuse_unknown(mode)
    first, second = _place(generation, a, mode), _place(generation, b, mode)
    for name, place in ((a[0], first), (b[0], second)):
        if not place.size:
            raise ValueError(
                f"dataset {name} has no ROI that is scored in the {mode} mode; use the unthinned mode, or score "
                "at a lower density with `nanolake score --full --thinning-density`"
            )
    values = _block(generation.lake, first, second)
    coordinates = {
        **_roi_coordinates(generation, a, mode, "roi", ""),
        **_roi_coordinates(generation, b, mode, "other", "other_"),
    }
    return xr.DataArray(
        values,
        dims=("roi", "other"),
        coords=coordinates,
        name="lambda",
        attrs={"mode": mode, "alpha": generation.parameters.alpha, "dataset": a[0], "other": b[0]},
    )


def _block(lake: Lake, first: _Place, second: _Place) -> da.Array:
    """Return the stored values; the later dataset's ROIs are the rows of its panel."""
    later, earlier = (first, second) if first.column >= second.column else (second, first)
    stored = datasets.open_array(lake.url, f"{later.panel}/lambda")
    panel = da.from_array(stored, chunks=stored.chunks, name=False)
    block = panel[later.row : later.row + later.size, earlier.column : earlier.column + earlier.size]
    if first.column == second.column:
        # da.tril cuts its mask by the first chunk, which may be a single row here: make all chunks alike.
        block = block.rechunk(stored.chunks[1])
        return da.tril(block) + da.tril(block, -1).T
    return block if later is first else block.T


def _roi_coordinates(
    generation: Generation, dataset: tuple[str, str], mode: str, dim: str, prefix: str
) -> dict[str, tuple[str, NDArray[Any]]]:
    group = f"{paths.dataset(*dataset)}/rois"
    table = {
        name: datasets.read_array(generation.lake.url, f"{group}/{name}")
        for name in ("n_localizations", "file", "x_nm", "y_nm")
    }
    index = rois.scored(table["n_localizations"], mode, generation.parameters)
    coordinates = {f"{prefix}{name}": (dim, np.asarray(values[index])) for name, values in table.items()}
    return {dim: (dim, index), **coordinates}
