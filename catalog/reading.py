"""From one localization file to its ROIs and histograms: the same steps for ingest and for a file of one's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from compute.histogram import tile_histograms
from compute.tiling import tile_localizations
from lake import outlines as cell_outlines
from lake.collection import LocalizationFile, open_source, read_bytes
from lake.formats import read_localizations
from lake.grid import Grid


@dataclass(frozen=True)
class TiledFile:
    """A localization file, sorted by tile.

    Attributes
    ----------
    columns : dict of str to (n,) array
        Localizations in tile order, under the names of :mod:`lake.columns`.
    rois : dict of str to (r,) array
        ``row``, ``col``, ``outline``, ``start``, ``stop``: the tiles that one outline covers.
    histograms : (r, K) unsigned integers
        Number of bins that hold k localizations.
    outlines : tuple of shapely.Polygon
        In nm.
    facts : dict
        What the files table stores of it.
    """

    columns: dict[str, NDArray[Any]]
    rois: dict[str, NDArray[Any]]
    histograms: NDArray[np.unsignedinteger[Any]]
    outlines: tuple[shapely.Polygon, ...]
    facts: dict[str, Any]


def read_tiled(file: LocalizationFile, grid: Grid, pixel_size_nm: float | None, *, whole_field: bool) -> TiledFile:
    """Read a file and its outlines, sort it by tile and count its bins.

    Parameters
    ----------
    file : LocalizationFile
        The file and where its outlines are.
    grid : Grid
        Bins and tiles.
    pixel_size_nm : float or None
        For formats that count in camera pixels.
    whole_field : bool
        Tile the bounding box of a file without outlines instead of refusing it.

    Raises
    ------
    ValueError
        One line that names the file, what is wrong and the way out.
    """
    localizations = read_localizations(open_source(file), pixel_size_nm)
    x_nm, y_nm = localizations.columns["x_nm"], localizations.columns["y_nm"]
    polygons = _read_outlines(file, x_nm, y_nm)
    if not polygons and not whole_field:
        stem = file.name.rsplit(".", 1)[0]
        raise ValueError(
            f"{file.name}: no cell outline; put one polygon a file beside it as {stem}_ROI_1.csv "
            "(header X,Y, micrometres), or tile the whole field with --whole-field"
        )
    if polygons:
        rows, cols, outline = cell_outlines.tiles_inside(polygons, grid)
    else:
        rows, cols = cell_outlines.whole_field_tiles(x_nm, y_nm, grid)
        outline = np.full(len(rows), -1, np.int32)
    tiling = tile_localizations(x_nm, y_nm, rows, cols, grid)
    columns = {name: values[tiling.order] for name, values in localizations.columns.items()}
    histograms = tile_histograms(columns["x_nm"], columns["y_nm"], tiling.start, tiling.stop, grid)
    rois: dict[str, NDArray[Any]] = {
        "row": rows,
        "col": cols,
        "outline": outline,
        "start": tiling.start,
        "stop": tiling.stop,
    }
    facts = _facts(file, columns, rois, polygons, grid)
    facts |= {"format": localizations.format, "provenance": localizations.provenance}
    return TiledFile(columns, rois, histograms, tuple(polygons), facts)


def _read_outlines(
    file: LocalizationFile, x_nm: NDArray[np.float64], y_nm: NDArray[np.float64]
) -> list[shapely.Polygon]:
    polygons = []
    for url in file.outlines:
        name = url.replace("\\", "/").rsplit("/", 1)[-1]
        polygon = cell_outlines.read_outline(read_bytes(url), name)
        cell_outlines.check_scale(polygon, x_nm, y_nm, name)
        polygons.append(polygon)
    return polygons


def _facts(
    file: LocalizationFile,
    columns: dict[str, NDArray[Any]],
    rois: dict[str, NDArray[Any]],
    polygons: Sequence[shapely.Polygon],
    grid: Grid,
) -> dict[str, Any]:
    """Return counts and quality figures of a file.

    Density is that of the ROIs (localizations over area), coverage the part of the cell area that ROIs cover,
    and precision the mean over all localizations; None where there is nothing to take it of.
    """
    n_rois = len(rois["row"])
    inside = int((rois["stop"] - rois["start"]).sum())
    tiled_um2 = n_rois * grid.tile_area_um2
    area_um2 = cell_outlines.area_um2(polygons) if polygons else tiled_um2
    precision = columns.get("precision_nm", np.empty(0, np.float32))
    known = precision[np.isfinite(precision)]
    return {
        "file": file.name,
        "nbytes": file.nbytes,
        "n_localizations": len(columns["x_nm"]),
        "n_outlines": len(polygons),
        "n_rois": n_rois,
        "n_inside": inside,
        "precision_nm": float(known.mean(dtype=np.float64)) if len(known) else None,
        "density_per_um2": inside / tiled_um2 if n_rois else None,
        "coverage": tiled_um2 / area_um2 if area_um2 else None,
        "area_um2": area_um2,
    }
