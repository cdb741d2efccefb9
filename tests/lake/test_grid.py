"""The grid: pure arithmetic from nanometres to bins to tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lake.grid import Grid

coordinates_nm = hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1e8, 1e8))
sides = st.sampled_from([10.0, 30.0, 33.3, 64.0])


def test_grid__is_nano_orgs_by_default():
    assert (Grid().bin_nm, Grid().tile_bins, Grid().tile_nm, Grid().tile_area_um2) == (30.0, 100, 3000.0, 9.0)


def test_bins__an_edge_belongs_to_the_upper_bin():
    assert Grid().bins(np.array([29.99, 30.0, -30.0, -30.01, -0.0])).tolist() == [0, 1, -1, -2, 0]


def test_tiles__an_edge_belongs_to_the_upper_tile():
    assert Grid().tiles(np.array([2999.99, 3000.0, -3000.0, -3000.01])).tolist() == [0, 1, -1, -2]


@given(coordinates_nm, sides, st.integers(1, 200))
def test_tiles__are_whole_numbers_of_bins(x_nm, bin_nm, tile_bins):
    grid = Grid(bin_nm, tile_bins)
    inside = grid.bins(x_nm) - grid.tiles(x_nm) * tile_bins
    assert ((inside >= 0) & (inside < tile_bins)).all()


@given(coordinates_nm, sides)
def test_bins__hold_their_coordinates_and_keep_their_order(x_nm, bin_nm):
    bins = Grid(bin_nm).bins(x_nm)
    rounding_nm = 1e-6
    assert (bins * bin_nm <= x_nm + rounding_nm).all()
    assert ((bins + 1) * bin_nm >= x_nm - rounding_nm).all()
    assert (np.diff(bins[np.argsort(x_nm)]) >= 0).all()


@given(st.integers(-(10**6), 10**6), st.integers(-100, 100))
def test_bins__move_with_whole_bins(steps, shift):
    # In steps of 0.25 nm, which binary numbers hold exactly.
    x_nm = np.array([steps * 0.25])
    assert Grid().bins(x_nm + shift * 30.0) == Grid().bins(x_nm) + shift


@pytest.mark.parametrize("bin_nm", [0.0, -30.0, np.nan, np.inf])
def test_grid__refuses_bins_without_a_side(bin_nm):
    with pytest.raises(ValueError, match=f"bin_nm is {bin_nm}: a bin needs a positive side in nm"):
        Grid(bin_nm)


def test_grid__refuses_tiles_without_bins():
    with pytest.raises(ValueError, match="tile_bins is 0: a tile needs at least one bin"):
        Grid(30.0, 0)
