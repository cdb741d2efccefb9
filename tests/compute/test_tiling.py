"""Localizations in the order of their tiles, against a loop over tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.tiling import tile_localizations
from lake.grid import Grid


def tiles_of(x_nm, y_nm, grid):
    return list(zip(grid.tiles(y_nm).tolist(), grid.tiles(x_nm).tolist(), strict=True))


@st.composite
def cases(draw):
    """Draw localizations around a corner of the grid, and ROIs with and without localizations."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    corner = draw(st.sampled_from([0, 0, -5, 10_000, -70_000]))
    x_nm, y_nm = (rng.integers(-12_000, 12_000, draw(st.integers(0, 200))) / 4 + corner * 3000.0 for _ in range(2))
    n = min(len(x_nm), len(y_nm))
    rois = draw(st.sets(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), max_size=8))
    rows, cols = np.array(sorted(rois), np.int64).reshape(-1, 2).T + corner
    return x_nm[:n], y_nm[:n], rows, cols


@given(cases())
def test_tile_localizations__gives_each_roi_its_localizations_in_the_order_of_the_file(case):
    x_nm, y_nm, rows, cols = case
    tiling = tile_localizations(x_nm, y_nm, rows, cols, Grid())
    tiles = tiles_of(x_nm, y_nm, Grid())
    for row, col, start, stop in zip(rows, cols, tiling.start, tiling.stop, strict=True):
        expected = [i for i, tile in enumerate(tiles) if tile == (row, col)]
        assert tiling.order[start:stop].tolist() == expected


@given(cases())
def test_tile_localizations__keeps_every_localization_sorted_by_row_column_and_place(case):
    x_nm, y_nm, rows, cols = case
    order = tile_localizations(x_nm, y_nm, rows, cols, Grid()).order
    tiles = tiles_of(x_nm, y_nm, Grid())
    assert order.tolist() == sorted(range(len(x_nm)), key=lambda i: (tiles[i], i))


def test_tile_localizations__of_nothing_has_empty_rois():
    none = np.empty(0)
    tiling = tile_localizations(none, none, np.array([0, 5]), np.array([-3, 4]), Grid())
    assert tiling.order.shape == (0,)
    assert (tiling.start == tiling.stop).all()


@pytest.mark.parametrize("far_nm", [3e5, 3e8])
def test_tile_localizations__holds_for_fields_of_any_size(far_nm):
    """Tile keys of a small field fit into 16 bits, those of a large one do not."""
    x_nm = np.array([far_nm, 10.0, far_nm, 20.0])
    last = Grid().tiles(np.array([far_nm]))
    tiling = tile_localizations(x_nm, x_nm, np.r_[0, last], np.r_[0, last], Grid())
    assert tiling.order.tolist() == [1, 3, 0, 2]
    assert (tiling.start.tolist(), tiling.stop.tolist()) == ([0, 2], [2, 4])
