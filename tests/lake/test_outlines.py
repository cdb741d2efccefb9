import time
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely import Polygon, box
from shapely.affinity import scale, translate

from lake.grid import Grid
from lake.outlines import area_um2, check_scale, read_outline, tiles_inside, whole_field_tiles

TRIANGLE = Polygon([(0, 0), (4000, 0), (0, 5000)])


def csv(*vertices_um, header="X,Y") -> bytes:
    """Return the bytes of an outline file."""
    return "\n".join([header, *(f"{x},{y}" for x, y in vertices_um), ""]).encode()


def tiles(outlines, grid=Grid()):  # noqa: B008 - a frozen value
    """Return the covered tiles as (row, col, outline) triples."""
    rows, cols, index = tiles_inside(outlines, grid)
    return list(zip(rows.tolist(), cols.tolist(), index.tolist(), strict=True))


@pytest.mark.parametrize(
    "data",
    [
        b"X,Y\n0,0\n4,0\n0,5\n",
        b"X,Y\n0,0\n4,0\n0,5",
        b"X,Y\n0,0\n4,0\n0,5\n0,0\n",
        b"X,Y\n0,0\n0,0\n4,0\n4.0,0e0\n0,5\n",
        b"X,Y\r\n0,0\r\n4,0\r\n0,5\r\n",
        b"X,Y\r0,0\r4,0\r0,5\r",
        b"\xef\xbb\xbfX,Y\n0,0\n4,0\n0,5\n",
        b"\n x , y \n\n 0 , -0 \n 4, 0\n0,5\n,\n\n",
        b'"X","Y"\n"0","0"\n"4","0"\n"0","5"\n',
        b"x\ty\n0\t0\n4\t0\n0\t5\n",
        b"x;y\n0,0;0\n4,0;0,0\n0;5,0\n",
        b" ,X,Y\n1,0,0\n2,4,0\n3,0,5\n",
        b"Index\tY\tX\tValue\n0\t0\t0\t255\n1\t0\t4\t255\n2\t5\t0\t255\n",
        b"X [um],Y [um]\n0,0\n4,0\n0,5\n",
        "X (µm),Y (μm)\n0,0\n4,0\n0,5\n".encode(),
        "X (µm),Y (µm)\n0,0\n4,0\n0,5\n".encode("latin-1"),
        b"x_um,y_um\n0,0\n4,0\n0,5\n",
    ],
)
def test_read_outline__one_outline_in_many_forms(data):
    outline = read_outline(data, "cell_ROI_1.csv")
    assert outline.equals(TRIANGLE)
    assert not np.signbit(outline.exterior.coords).any()


def test_read_outline__is_in_nm_rounded_to_a_picometre():
    outline = read_outline(csv((1.001, -0.0000004), (2.0020014, 0), (2, 1.1)), "a.csv")
    assert list(outline.exterior.coords)[:3] == [(1001.0, 0.0), (2002.001, 0.0), (2000.0, 1100.0)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the first line is ''; write the header X,Y"),
        (b"0.279,60.116\n1,2\n3,4\n", "the first line is '0.279,60.116'; write the header X,Y"),
        (b"X\n1\n2\n3\n", "the first line is 'X'"),
        (b"frame,x,z\n1,2,3\n", "the first line is 'frame,x,z'"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "write the header X,Y"),
        (b"x [nm],y [nm]\n0,0\n", r"the column 'x \[nm\]' is in nm; write micrometres"),
        (b"X_px,Y_px\n0,0\n", "the column 'X_px' is in px; write micrometres"),
        (b"X,Y,X,Y\n0,0,1,1\n", "the column 'X' stands there twice; write one outline a file"),
        (b"X,Y\n0,0\n4,zero\n0,5\n", r"line 3 holds \['4', 'zero'\]; two numbers in um"),
        (b"X,Y\n0,0\n4\n0,5\n", r"line 3 holds \['4'\]"),
        (b"X,Y\n\n0,0\n4,\n0,5\n", r"line 4 holds \['4', ''\]"),
        (b"X,Y\n0,0\n4,nan\n0,5\n", r"line 3 holds \['4', 'nan'\]"),
        (b"X,Y\n0,0\n4,-inf\n0,5\n", r"line 3 holds \['4', '-inf'\]"),
        (b"X,Y\n0,0\n4,1e999\n0,5\n", r"line 3 holds \['4', '1e999'\]"),
        (b"X,Y\n0,0\n4,1e7\n0,5\n", r"line 3 holds \['4', '1e7'\]"),
        (b"X,Y\n0,0\n" + b"1" * 200_000 + b",0\n", "line 3: field larger than field limit"),
        (csv(), "0 distinct vertices; an outline needs at least 3"),
        (csv((1, 2)), "1 distinct vertices"),
        (csv((0, 0), (4, 0), (0, 0), (4, 0)), "2 distinct vertices"),
        (csv((0, 0), (1, 1), (2, 2), (3, 3)), "all vertices lie on one line"),
        (csv((0, 0), (10, 3.3333333), (20, 6.6666667), (30, 10)), "all vertices lie on one line"),
        (csv((0, 0), (3, 5), (3, 0), (0, 5)), r"crosses or touches itself near \(1.5, 2.5\) um"),
        (csv((0, 0), (3, 0), (3, 3), (0, 3), (1.5, 0)), r"crosses or touches itself near \(1.5, 0\) um"),
        (csv((-9, -9), (-8, -9), (-6, -9), (-7, -9), (-7, -7)), "crosses or touches itself near"),
        (csv((1e-5, 1e-5), (4e-5, 1e-5), (1e-5, 5e-5)), "4e-05 um across; are these metres"),
    ],
)
def test_read_outline__refuses(data, message):
    with pytest.raises(ValueError, match=r"^cell_ROI_1\.csv: .*" + message) as caught:
        read_outline(data, "cell_ROI_1.csv")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


# Three vertices take 11 bytes.
@given(st.binary(max_size=10), st.booleans())
def test_read_outline__any_bytes_give_one_line(data, header):
    with pytest.raises(ValueError, match=r"\Aa\.csv: .+\Z"):
        read_outline((b"X,Y\n" if header else b"") + data, "a.csv")


FIELD_NM = np.linspace(0.0, 80_000.0, 5000)
CELL = box(20_000, 30_000, 50_000, 60_000)


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(1e3, "nanometres or pixels"), (1 / 0.1, "pixels"), (100, "pixels"), (1e-3, "millimetres")],
)
def test_check_scale__refuses_another_unit(factor, unit):
    outline = scale(CELL, factor, factor, origin=(0, 0))
    with pytest.raises(ValueError, match=rf"^cell\.csv: the outline spans x .* um; are these .*{unit}\? write um"):
        check_scale(outline, FIELD_NM, FIELD_NM, "cell.csv")


def test_check_scale__refuses_nanometres_beside_few_localizations():
    outline = scale(CELL, 1000, 1000, origin=(0, 0))
    with pytest.raises(ValueError, match="nanometres"):
        check_scale(outline, np.array([25_000.0, np.nan]), np.array([35_000.0, 0.0]), "cell.csv")


def localizations_nm() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "field": FIELD_NM,
        "one": np.array([40_000.0]),
        "one beside": np.array([79_000.0]),
        "one at the origin": np.zeros(1),
        "centrosome": 40_000.0 + rng.normal(0.0, 100.0, 5000),
        "another cell's centrosome": 79_000.0 + rng.normal(0.0, 100.0, 5000),
        "a centrosome at a tenth": 4_000.0 + rng.normal(0.0, 100.0, 5000),
        "none": np.empty(0),
        "only NaN": np.full(200, np.nan),
        "some NaN": np.concatenate([FIELD_NM, [np.nan, np.inf]]),
    }


@pytest.mark.parametrize("where", localizations_nm())
@pytest.mark.parametrize(
    "outline",
    [
        CELL,
        box(100, 100, 1_100, 1_600),  # a bacterium near the origin
        box(70_000, 70_000, 100_000, 100_000),  # half outside of the field
        box(90_000, 0, 120_000, 30_000),  # outside of the field
        box(-120_000, -120_000, -90_000, -90_000),
        box(0, 0, 400_000, 400_000),  # a giant cell
    ],
)
def test_check_scale__accepts_what_a_cell_explains(where, outline):
    coordinate_nm = localizations_nm()[where]
    check_scale(outline, coordinate_nm, coordinate_nm, "cell.csv")


def test_check_scale__accepts_a_tiny_outline_in_a_tiny_field():
    x_nm = np.linspace(0.0, 300.0, 1000)
    check_scale(box(0, 0, 150, 150), x_nm, x_nm, "pore.csv")


def test_check_scale__accepts_a_far_cell_beside_one_localization():
    # One localization does not show the field: ten times smaller, the outline would hold it.
    one_nm = np.array([40_000.0])
    far = box(300_000, 300_000, 450_000, 450_000)
    check_scale(far, one_nm, one_nm, "cell.csv")
    with pytest.raises(ValueError, match="pixels"):
        check_scale(far, np.repeat(one_nm, 100), np.repeat(one_nm, 100), "cell.csv")


def test_check_scale__accepts_tissue():
    x_nm = np.linspace(0.0, 3e6, 1000)
    check_scale(box(1e5, 1e5, 2.5e6, 2.5e6), x_nm, x_nm, "tissue.csv")


@pytest.mark.parametrize(("col", "row"), [(0, 0), (-10, -3), (-5, -1), (1000, -2000)])
def test_tiles_inside__rectangle_on_tile_edges(col, row):
    outline = translate(box(0, 0, 30_000, 9_000), col * 3000, row * 3000)
    expected = [(row + i, col + j, 0) for i in range(3) for j in range(10)]
    assert tiles([outline]) == expected


def test_tiles_inside__a_picometre_less_loses_the_edge():
    assert len(tiles([box(0, 0, 30_000, 9_000)])) == 30
    assert len(tiles([box(0.001, 0, 30_000, 9_000)])) == 27
    assert len(tiles([box(0, 0, 30_000, 8_999.999)])) == 20


def test_tiles_inside__notch_in_a_tile():
    # The notch leaves all four corners of the middle tile inside.
    notched = box(0, 0, 9000, 9000) - box(4000, 5000, 4100, 9000)
    assert {(row, col) for row, col, _ in tiles([notched])} == set(product(range(3), range(3))) - {
        (1, 1),
        (2, 1),
    }


def test_tiles_inside__rows_run_along_y():
    assert tiles([box(0, 0, 6000, 3000)]) == [(0, 0, 0), (0, 1, 0)]
    assert tiles([box(0, 0, 3000, 6000)]) == [(0, 0, 0), (1, 0, 0)]


def test_tiles_inside__the_first_outline_has_the_shared_tile():
    left, right, small = box(0, 0, 9000, 3000), box(3000, 0, 12_000, 3000), box(0, 0, 2000, 2000)
    assert tiles([left, right]) == [(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 3, 1)]
    assert tiles([small, right, left]) == [(0, 0, 2), (0, 1, 1), (0, 2, 1), (0, 3, 1)]


def test_tiles_inside__two_halves_do_not_make_a_tile():
    assert tiles([box(0, 0, 1500, 3000), box(1500, 0, 3000, 3000)]) == []


@pytest.mark.parametrize("outlines", [[], [Polygon()], [box(0, 0, 2999, 9000)], [box(1, 1, 5999, 5999)]])
def test_tiles_inside__nothing(outlines):
    rows, cols, index = tiles_inside(outlines, Grid())
    assert (rows.dtype, cols.dtype, index.dtype) == (np.int64, np.int64, np.int32)
    assert rows.shape == cols.shape == index.shape == (0,)


def test_tiles_inside__refuses_wrong_units():
    outline = scale(CELL, 1000, 1000, origin=(0, 0))
    with pytest.raises(ValueError, match=r"outline 1 \(counted from 0\) spans x 20000 .*: 1e\+08 tiles of 3 um"):
        tiles_inside([CELL, outline], Grid())


def test_tiles_inside__refuses_coordinates_beyond_all_fields():
    with pytest.raises(ValueError, match="coordinates in the right unit"):
        tiles_inside([box(1e300, 0, 1.1e300, 1)], Grid())


def test_tiles_inside__100_um_in_less_than_a_second():
    angle = np.linspace(0.0, 2.0 * np.pi, 2000, endpoint=False)
    radius_nm = 50_000.0 * (1.0 + 0.1 * np.sin(7.0 * angle))
    outline = Polygon(np.column_stack([radius_nm * np.cos(angle), radius_nm * np.sin(angle)]))
    started = time.perf_counter()
    found = tiles([outline])
    assert time.perf_counter() - started < 1.0
    # As many tiles as the area holds, less those that the rim of 2 pi 50 um cuts.
    area_tiles = outline.area / 9e6
    assert area_tiles - 1.5 * 2 * np.pi * 50 / 3 < len(found) < area_tiles


def test_tiles_inside__more_tiles_than_one_call_takes():
    grid = Grid(bin_nm=30.0, tile_bins=1)
    rows, cols, index = tiles_inside([box(0, 0, 30 * 700, 30 * 400)], grid)
    assert np.array_equal(rows, np.repeat(np.arange(400), 700))
    assert np.array_equal(cols, np.tile(np.arange(700), 400))
    assert not index.any()


@given(
    bin_nm=st.sampled_from([30.0, 33.3, 0.7, 12.345, 100 / 3]),
    tile_bins=st.sampled_from([1, 7, 100]),
    col=st.integers(-3000, 3000),
    row=st.integers(-3000, 3000),
)
def test_tiles_inside__edges_survive_the_file(bin_nm, tile_bins, col, row):
    # A rectangle of 2 x 3 tiles written to a file in um with the digits that a picometre needs.
    grid = Grid(bin_nm, tile_bins)
    assume(grid.tile_nm > 1.0)
    x_um = [f"{(col + j) * grid.tile_nm / 1000:.6f}" for j in (0, 2)]
    y_um = [f"{(row + i) * grid.tile_nm / 1000:.6f}" for i in (0, 3)]
    vertices = [(x_um[0], y_um[0]), (x_um[1], y_um[0]), (x_um[1], y_um[1]), (x_um[0], y_um[1])]
    outline = read_outline(csv(*vertices), "a.csv")
    assert tiles([outline], grid) == [(row + i, col + j, 0) for i in range(3) for j in range(2)]


def crosses(start, end, tile_nm) -> bool:
    """Say in exact arithmetic whether a segment meets the inside of a tile."""
    enter, leave = Fraction(0), Fraction(1)
    for axis in (0, 1):
        low, high = tile_nm[axis], tile_nm[axis] + 3000
        step = end[axis] - start[axis]
        if step == 0:
            if not low < start[axis] < high:
                return False
            continue
        times = sorted([(low - start[axis]) / step, (high - start[axis]) / step])
        enter, leave = max(enter, times[0]), min(leave, times[1])
    return enter < leave


def holds(ring, point) -> bool:
    """Say in exact arithmetic whether a ring surrounds a point."""
    inside = False
    for (x0, y0), (x1, y1) in pairwise(ring):
        if (y0 > point[1]) != (y1 > point[1]):
            inside ^= point[0] < x0 + (point[1] - y0) * (x1 - x0) / (y1 - y0)
    return inside


def reference(outline) -> set[tuple[int, int]]:
    """Find the tiles whose inside no edge crosses and whose centre the outline surrounds."""
    ring = [(Fraction(x), Fraction(y)) for x, y in outline.exterior.coords]
    low, high = -8, 8
    return {
        (row, col)
        for row, col in product(range(low, high), repeat=2)
        if not any(crosses(start, end, (col * 3000, row * 3000)) for start, end in pairwise(ring))
        and holds(ring, (Fraction(col * 3000 + 1500), Fraction(row * 3000 + 1500)))
    }


# Vertices on such multiples move by whole tiles without rounding.
WHOLE_NM = (1500.0, 1000.0, 250.0)


@st.composite
def polygons(draw, steps_nm=(*WHOLE_NM, 0.001)):
    """Star-shaped outlines whose vertices often lie on tile edges and corners."""
    n = draw(st.integers(3, 9))
    angle = np.sort(draw(st.lists(st.floats(0.0, 6.28), min_size=n, max_size=n, unique=True)))
    radius = np.array(draw(st.lists(st.floats(2000.0, 17_000.0), min_size=n, max_size=n)))
    step_nm = draw(st.sampled_from(steps_nm))
    centre = draw(st.tuples(st.integers(-6000, 6000), st.integers(-6000, 6000)))
    xy = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]) + centre
    outline = Polygon(np.round(np.round(xy / step_nm) * step_nm, 3))
    assume(outline.is_valid and outline.area > 9e6)
    return outline


@settings(max_examples=60, deadline=None)
@given(polygons())
def test_tiles_inside__exact_reference(outline):
    assert tiles([outline]) == [(row, col, 0) for row, col in sorted(reference(outline))]


@settings(max_examples=40, deadline=None)
@given(polygons(steps_nm=WHOLE_NM), polygons(steps_nm=WHOLE_NM), st.integers(-50, 50), st.integers(-50, 50))
def test_tiles_inside__moves_with_whole_tiles_and_adds_up(first, second, col, row):
    both = tiles([first, second])
    assert [(i, j) for i, j, _ in both] == sorted(reference(first) | reference(second))
    assert {(i, j) for i, j, index in both if index == 0} == reference(first)
    moved = [translate(outline, col * 3000, row * 3000) for outline in (first, second)]
    assert tiles(moved) == [(i + row, j + col, index) for i, j, index in both]


def test_whole_field_tiles__bounding_box():
    x_nm, y_nm = np.array([-1.0, 5999.0, np.nan, 9e9]), np.array([0.0, 3000.0, 0.0, np.inf])
    rows, cols = whole_field_tiles(x_nm, y_nm, Grid())
    assert list(zip(rows.tolist(), cols.tolist(), strict=True)) == list(product([0, 1], [-1, 0, 1]))
    assert rows.dtype == cols.dtype == np.int64


@given(st.lists(st.tuples(*[st.floats(-50_000, 50_000)] * 2), min_size=1))
def test_whole_field_tiles__holds_every_localization(points):
    x_nm, y_nm = np.array(points).T
    rows, cols = whole_field_tiles(x_nm, y_nm, Grid())
    field = list(zip(rows.tolist(), cols.tolist(), strict=True))
    assert field == sorted(set(field))
    occupied = set(zip(Grid().tiles(y_nm).tolist(), Grid().tiles(x_nm).tolist(), strict=True))
    assert occupied <= set(field)
    assert {row for row, _ in field} == set(range(min(occupied)[0], max(occupied)[0] + 1))


@pytest.mark.parametrize("coordinate_nm", [[], [np.nan, np.inf]])
def test_whole_field_tiles__no_localizations(coordinate_nm):
    rows, cols = whole_field_tiles(np.array(coordinate_nm), np.array(coordinate_nm), Grid())
    assert rows.shape == cols.shape == (0,)


@pytest.mark.parametrize("stray_nm", [1e8, 1e300, -1e30])
def test_whole_field_tiles__refuses_a_stray_localization(stray_nm):
    x_nm = np.array([0.0, stray_nm])
    with pytest.raises(ValueError, match=r"the localizations span x .*, 10,000,000 at most; .*without stray"):
        whole_field_tiles(x_nm, x_nm, Grid())


def test_area_um2__counts_overlap_once():
    assert area_um2([]) == 0.0
    assert area_um2([box(0, 0, 3000, 3000)]) == 9.0
    assert area_um2([box(0, 0, 3000, 3000), box(2000, 0, 5000, 3000), box(0, 9000, 1000, 10_000)]) == 16.0


def test_collection__outlines_give_these_rois(shared_data):
    n_outlines, n_rois = 0, {}
    for file in sorted((shared_data / "collection").glob("*/*.csv")):
        if "_ROI" in file.stem:
            continue
        table = pd.read_csv(file)
        x_nm, y_nm = table["x [nm]"].to_numpy(), table["y [nm]"].to_numpy()
        outlines = []
        for path in sorted(file.parent.glob(f"{file.stem}_ROI*.csv")):
            outline = read_outline(path.read_bytes(), path.name)
            check_scale(outline, x_nm, y_nm, path.name)
            for factor in (1000.0, 100.0, 0.001):
                with pytest.raises(ValueError, match=path.stem):
                    check_scale(scale(outline, factor, factor, origin=(0, 0)), x_nm, y_nm, path.name)
            outlines.append(outline)
        n_outlines += len(outlines)
        n_rois[file.parent.name] = n_rois.get(file.parent.name, 0) + len(tiles(outlines))
    assert n_outlines == 164
    assert n_rois == {"EGFR_AF647": 821, "EGFR_CF568": 410, "EREG_AF647": 410, "EREG_CF568": 821}
