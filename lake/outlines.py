"""Cell outlines: their files, their scale, and the tiles inside them.

nano-org cuts each cell into regions of interest of 3 x 3 um by its outline (doi:10.1038/s41467-025-63674-x,
Results). Which tiles it keeps is not published; here a tile is kept when one outline covers it, its own
boundary included, and tiles lie on the global grid of :mod:`lake.grid`.
"""

import csv
import math
import re
import reprlib
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from lake.grid import Grid

# Outlines and tile edges are rounded to 0.001 nm: 1.001 um is 1001 nm, not 1000.9999999999999 nm, and an
# outline drawn on a tile's edge covers the tile.
_DECIMALS_NM = 3

# Beyond 1 m no number can be a coordinate in um.
_LARGEST_UM = 1e6

# More tiles than any field has (10 million are 9 mm x 9 mm): the units are wrong, and memory would run out.
_MOST_TILES = 10_000_000

# Tiles tested in one call: about 20 MB of boxes.
_TILES_A_CALL = 100_000

_MICROMETRES = {"um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "micrometres"}
_HEADER = re.compile(r"([xy])\s*(?:[\[(_]\s*(\w+)\s*[\])]?)?")

type Tiles = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows (along y) and columns (along x) of tiles on the global grid, sorted by row, then column."""


def read_outline(data: bytes, name: str) -> Polygon:
    r"""Read the outline of a cell: one polygon, one vertex a line below the header ``X,Y``, in micrometres.

    Commas, semicolons (with decimal commas too) or tabs separate; quotes, lower case, a byte order mark,
    any line ends, further columns (such as Fiji's index) and a repeated first vertex are accepted.

    Parameters
    ----------
    data : bytes
        Content of the file.
    name : str
        Name of the file, for messages.

    Returns
    -------
    Polygon
        Valid polygon without holes, in nm, rounded to 0.001 nm.

    Raises
    ------
    ValueError
        No header ``X,Y``, another unit in it, a vertex that is no pair of finite numbers, fewer than 3
        distinct vertices, no area, or a polygon that crosses or touches itself.

    Examples
    --------
    >>> read_outline(b"X,Y\n0,0\n1.001,0\n0,3\n", "cell_ROI_1.csv").bounds
    (0.0, 0.0, 1001.0, 3000.0)
    """
    xy_um = _vertices_um(data, name)
    # Adding zero turns -0.0 into 0.0.
    xy_nm = np.round(xy_um * 1000.0, _DECIMALS_NM) + 0.0
    n_distinct = len(np.unique(xy_um, axis=0))
    if n_distinct < 3:
        raise ValueError(f"{name}: {n_distinct} distinct vertices; an outline needs at least 3")
    across_um = float(np.ptp(xy_um, axis=0).max())
    if across_um < 0.001:
        raise ValueError(f"{name}: the outline is {across_um:g} um across; are these metres? write um")
    polygon = Polygon(xy_nm)
    # Rounding lifts vertices of one line off it: 100 um of line enclose up to 25 nm2.
    if polygon.convex_hull.area < 100.0:
        raise ValueError(f"{name}: all vertices lie on one line, which has no area; draw the cell's outline")
    if not polygon.is_valid:
        # GEOS names the place in nm, for example 'Self-intersection[1500 20.5]'.
        place_nm = re.findall(r"[-+.e\d]+(?=[ \]])", shapely.is_valid_reason(polygon))
        near = ", ".join(f"{float(number) / 1000.0:g}" for number in place_nm)
        raise ValueError(f"{name}: the outline crosses or touches itself near ({near}) um; redraw it there")
    return polygon


def check_scale(outline: Polygon, x_nm: NDArray[np.float64], y_nm: NDArray[np.float64], name: str) -> None:
    """Refuse an outline that is in another unit than its file's localizations.

    Only what no cell explains is refused: an outline that dwarfs the localizations or lies far away from
    them, and falls among them when 10, 100 or 1,000 times smaller (pixels, nanometres); or one below
    0.2 um that falls among them when 1,000 times larger (millimetres). A small cell in a large field, few
    localizations, and an outline without any are accepted.

    Parameters
    ----------
    outline : Polygon
        From :func:`read_outline`.
    x_nm, y_nm : (n,) float64, nm
        Localizations of the outline's file; NaN and infinite ones are ignored, and with none left every
        outline is accepted.
    name : str
        Name of the outline's file, for messages.

    Raises
    ------
    ValueError
        The outline's unit is not the micrometre.

    Examples
    --------
    >>> x_nm = np.linspace(0.0, 80_000.0, 1000)
    >>> check_scale(shapely.box(3e4, 3e4, 4e4, 5e4), x_nm, x_nm, "cell_ROI_1.csv")
    >>> check_scale(shapely.box(3e7, 3e7, 4e7, 5e7), x_nm, x_nm, "cell_ROI_1.csv")
    Traceback (most recent call last):
    ValueError: cell_ROI_1.csv: the outline spans x 30000 to 40000 um, y 30000 to 50000 um and the
    localizations x 0 to 80 um, y 0 to 80 um; are these nanometres or pixels? write um
    """
    field_nm = _bounds_nm(x_nm, y_nm)
    if field_nm is None:
        return
    bounds_nm = np.array(outline.bounds)
    size_nm, field_size_nm = _size_nm(bounds_nm), _size_nm(field_nm)
    # Cells are smaller than 1 mm. The distance is trusted only where 100 localizations show the field.
    dwarfs = size_nm >= 1e6 and size_nm > 20.0 * field_size_nm
    far = len(x_nm) >= 100 and _gap_nm(bounds_nm, field_nm) > max(1e5, field_size_nm)
    smaller = any(_gap_nm(bounds_nm / factor, field_nm) == 0.0 for factor in (10.0, 100.0, 1000.0))
    if (dwarfs or far) and smaller:
        unit = "nanometres or pixels"
    elif size_nm < 200.0 and size_nm * 500.0 < field_size_nm and _gap_nm(bounds_nm * 1000.0, field_nm) == 0.0:
        unit = "millimetres"
    else:
        return
    raise ValueError(
        f"{name}: the outline spans {_spelled(bounds_nm)} and the localizations {_spelled(field_nm)}; "
        f"are these {unit}? write um"
    )


def tiles_inside(
    outlines: Sequence[Polygon], grid: Grid
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Find the tiles of the global grid that one outline covers.

    A tile whose edge lies on the outline is covered. A tile that only several outlines together cover is
    not; a tile that several cover each appears once, with the first of them.

    Parameters
    ----------
    outlines : sequence of Polygon
        Outlines in nm; none, and empty polygons, cover nothing.
    grid : Grid
        The tiles.

    Returns
    -------
    rows, cols : (n,) int64
        Tiles along y and along x, sorted by row, then column.
    outline_index : (n,) int32
        Position in ``outlines`` of the outline that covers the tile.

    Raises
    ------
    ValueError
        The bounding box of an outline holds more than 10 million tiles.

    Examples
    --------
    >>> cells = [shapely.box(-3000, 0, 3000, 3000), shapely.box(0, 0, 3000, 3000)]
    >>> rows, cols, index = tiles_inside(cells, Grid())
    >>> rows.tolist(), cols.tolist(), index.tolist()
    ([0, 0], [-1, 0], [0, 0])
    """
    found = [np.empty((3, 0), dtype=np.int64)]
    for index, outline in enumerate(outlines):
        if not outline.is_empty:
            rows, cols = _covered(outline, grid, index)
            found.append(np.stack([rows, cols, np.full_like(rows, index)]))
    rows, cols, index_of = np.concatenate(found, axis=1)
    order = np.lexsort((index_of, cols, rows))
    rows, cols, index_of = rows[order], cols[order], index_of[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (np.diff(rows) != 0) | (np.diff(cols) != 0)
    return rows[first], cols[first], index_of[first].astype(np.int32)


def whole_field_tiles(x_nm: NDArray[np.float64], y_nm: NDArray[np.float64], grid: Grid) -> Tiles:
    """List all tiles that the bounding box of the localizations touches.

    Parameters
    ----------
    x_nm, y_nm : (n,) float64, nm
        Localizations; NaN and infinite ones are ignored.
    grid : Grid
        The tiles.

    Returns
    -------
    rows, cols : (n,) int64
        Tiles along y and along x, sorted by row, then column; none without localizations.

    Raises
    ------
    ValueError
        The bounding box holds more than 10 million tiles.

    Examples
    --------
    >>> rows, cols = whole_field_tiles(np.array([10.0, 3000.0]), np.array([-1.0, 5.0]), Grid())
    >>> rows.tolist(), cols.tolist()
    ([-1, -1, 0, 0], [0, 1, 0, 1])
    """
    bounds_nm = _bounds_nm(x_nm, y_nm)
    if bounds_nm is None:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    _refuse_too_many(bounds_nm, grid, "the localizations span")
    col_low, row_low, col_high, row_high = grid.tiles(bounds_nm).tolist()
    rows, cols = np.meshgrid(np.arange(row_low, row_high + 1), np.arange(col_low, col_high + 1), indexing="ij")
    return rows.ravel(), cols.ravel()


def area_um2(outlines: Sequence[Polygon]) -> float:
    """Return the area that the outlines cover together, in um2.

    Parameters
    ----------
    outlines : sequence of Polygon
        Outlines in nm; where they overlap, the area counts once.

    Examples
    --------
    >>> area_um2([shapely.box(0, 0, 3000, 3000), shapely.box(0, 0, 6000, 3000)])
    18.0
    """
    return float(shapely.union_all(list(outlines)).area) / 1e6


def _vertices_um(data: bytes, name: str) -> NDArray[np.float64]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # An old Windows writes the micro sign like this; whatever else it is has no header X,Y.
        text = data.decode("latin-1")
    lines = text.splitlines()
    header = next((line for line in lines if line.strip()), "")
    separator = next((mark for mark in "\t;" if mark in header), ",")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    rows = (row for row in reader if any(cell.strip() for cell in row))
    try:
        columns = _columns(next(rows, []), name)
        vertices = [_vertex(row, columns, f"{name}: line {reader.line_num}") for row in rows]
    except csv.Error as error:
        raise ValueError(f"{name}: line {reader.line_num}: {error}; write a plain CSV") from None
    return np.array(vertices, dtype=np.float64).reshape(-1, 2)


def _columns(header: list[str], name: str) -> tuple[int, int]:
    columns: dict[str, int] = {}
    for position, cell in enumerate(header):
        match = _HEADER.fullmatch(cell.strip().lower())
        if match is None:
            continue
        if match[2] and match[2] not in _MICROMETRES:
            raise ValueError(f"{name}: the column {cell!r} is in {match[2]}; write micrometres")
        if match[1] in columns:
            raise ValueError(f"{name}: the column {cell!r} stands there twice; write one outline a file")
        columns[match[1]] = position
    if len(columns) < 2:
        first = reprlib.repr(",".join(header))
        raise ValueError(f"{name}: the first line is {first}; write the header X,Y above the vertices in um")
    return columns["x"], columns["y"]


def _vertex(row: list[str], columns: tuple[int, int], where: str) -> tuple[float, float]:
    try:
        # A comma left in a cell is a decimal comma: commas do not separate there.
        x_um, y_um = (float(row[column].replace(",", ".")) for column in columns)
    except (ValueError, IndexError):
        x_um = y_um = math.nan
    if not (abs(x_um) <= _LARGEST_UM and abs(y_um) <= _LARGEST_UM):
        raise ValueError(f"{where} holds {reprlib.repr(row)}; two numbers in um are needed below X and Y")
    return x_um, y_um


def _covered(outline: Polygon, grid: Grid, index: int) -> Tiles:
    bounds_nm = np.array(outline.bounds)
    _refuse_too_many(bounds_nm, grid, f"outline {index} (counted from 0) spans")
    col_low, row_low = np.floor(bounds_nm[:2] / grid.tile_nm).astype(np.int64).tolist()
    col_high, row_high = np.ceil(bounds_nm[2:] / grid.tile_nm).astype(np.int64).tolist()
    x_nm = np.round(np.arange(col_low, col_high + 1) * grid.tile_nm, _DECIMALS_NM)
    y_nm = np.round(np.arange(row_low, row_high + 1) * grid.tile_nm, _DECIMALS_NM)
    shapely.prepare(outline)
    step = max(1, _TILES_A_CALL // len(x_nm))
    found = [np.empty((2, 0), dtype=np.int64)]
    for start in range(0, row_high - row_low, step):
        low_nm, high_nm = y_nm[:-1][start : start + step, None], y_nm[1:][start : start + step, None]
        tiles = shapely.box(x_nm[None, :-1], low_nm, x_nm[None, 1:], high_nm)
        rows, cols = np.nonzero(shapely.covers(outline, tiles))
        found.append(np.stack([rows + row_low + start, cols + col_low]))
    rows, cols = np.concatenate(found, axis=1)
    return rows, cols


def _refuse_too_many(bounds_nm: NDArray[np.float64], grid: Grid, what: str) -> None:
    width, height = np.ceil((bounds_nm[2:] - bounds_nm[:2]) / grid.tile_nm).tolist()
    if width * height > _MOST_TILES or np.abs(bounds_nm).max() > _LARGEST_UM * 1000.0:
        raise ValueError(
            f"{what} {_spelled(bounds_nm)}: {width * height:.3g} tiles of {grid.tile_nm / 1000.0:g} um, "
            f"{_MOST_TILES:,} at most; give coordinates in the right unit, without stray ones"
        )


def _bounds_nm(x_nm: NDArray[np.float64], y_nm: NDArray[np.float64]) -> NDArray[np.float64] | None:
    finite = np.isfinite(x_nm) & np.isfinite(y_nm)
    if not finite.any():
        return None
    x_nm, y_nm = x_nm[finite], y_nm[finite]
    return np.array([x_nm.min(), y_nm.min(), x_nm.max(), y_nm.max()])


def _size_nm(bounds_nm: NDArray[np.float64]) -> float:
    return float((bounds_nm[2:] - bounds_nm[:2]).max())


def _gap_nm(a_nm: NDArray[np.float64], b_nm: NDArray[np.float64]) -> float:
    return max(0.0, float(np.maximum(a_nm[:2] - b_nm[2:], b_nm[:2] - a_nm[2:]).max()))


def _spelled(bounds_nm: NDArray[np.float64]) -> str:
    x_low, y_low, x_high, y_high = (f"{bound / 1000.0:g}" for bound in bounds_nm)
    return f"x {x_low} to {x_high} um, y {y_low} to {y_high} um"
