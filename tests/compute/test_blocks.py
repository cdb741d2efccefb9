"""Which lambda tiles a run computes, against a brute count of ROI pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.blocks import Panel, n_pairs, segment_edges, tile_that_fits, worker_bytes

PANELS = st.builds(Panel, n_before=st.integers(0, 30), n_new=st.integers(0, 30), tile=st.integers(1, 12))


@st.composite
def panels_with_live(draw):
    panel = draw(PANELS)
    live = draw(st.lists(st.booleans(), min_size=panel.n_before, max_size=panel.n_before))
    return panel, np.array(live, np.bool_), draw(st.integers(1, 7))


def covered(panel, batches):
    """Return how often each (row, column) of a panel is computed."""
    times = np.zeros((panel.n_new, panel.n_columns), int)
    for batch in batches:
        for tile in batch.columns:
            times[slice(*panel.rows(batch.row)), slice(*panel.column_range(tile))] += 1
    return times


@given(panels_with_live())
@settings(max_examples=200)
def test_batches__cover_every_needed_pair_exactly_once(drawn):
    panel, live, per_batch = drawn
    batches = list(panel.batches(per_batch, live))
    times = covered(panel, batches)
    assert times.max(initial=0) <= 1
    for row in range(panel.n_new):
        for column in range(panel.n_before + row + 1):
            if column >= panel.n_before or live[column]:
                assert times[row, column] == 1
    assert all(1 <= len(batch.columns) <= per_batch for batch in batches)


@given(panels_with_live())
@settings(max_examples=100)
def test_batches__compute_no_tile_without_a_needed_pair(drawn):
    panel, live, per_batch = drawn
    for batch in panel.batches(per_batch, live):
        start, stop = panel.rows(batch.row)
        for tile in batch.columns:
            low, high = panel.column_range(tile)
            assert low < high
            # The last row of the block is at or after the tile's first column.
            assert low < panel.n_before + stop
            assert high > panel.n_before or live[low:high].any()
            assert start < stop


@given(PANELS, st.integers(1, 5))
@settings(max_examples=50)
def test_batches__without_dead_rois_are_those_of_all_live(panel, per_batch):
    everything = np.ones(panel.n_before, np.bool_)
    assert list(panel.batches(per_batch)) == list(panel.batches(per_batch, everything))


def test_tiles__of_dead_rois_are_skipped():
    panel = Panel(n_before=12, n_new=4, tile=4)
    live = np.array([True] * 4 + [False] * 4 + [False, False, True, False])
    assert panel.tiles(0) == [0, 1, 2, 3]
    assert panel.tiles(0, live) == [0, 2, 3]
    # A tile that holds the end of the earlier ROIs and new ones is needed, dead or not.
    assert Panel(n_before=10, n_new=2, tile=4).tiles(0, np.zeros(10, np.bool_)) == [2]


@given(PANELS)
@settings(max_examples=50)
def test_diagonal__is_where_row_and_column_are_the_same_roi(panel):
    for block in range(panel.row_blocks):
        start, _ = panel.rows(block)
        for tile in panel.tiles(block):
            low, _ = panel.column_range(tile)
            assert panel.diagonal(block, tile) == (panel.n_before + start) - low


@given(st.integers(0, 20), st.integers(0, 20))
def test_n_pairs__counts_pairs_with_at_least_one_new_roi(before, new):
    brute = sum(1 for row in range(before, before + new) for _ in range(row))
    assert n_pairs(before, new) == brute


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8).filter(any), st.data())
@settings(max_examples=150)
def test_segment_edges__say_who_owns_each_roi(sizes, data):
    owners = np.repeat(np.arange(len(sizes)), sizes)
    start = data.draw(st.integers(0, len(owners) - 1))
    stop = data.draw(st.integers(start + 1, len(owners)))
    segments, edges = segment_edges(sizes, start, stop)
    assert edges[0] == 0
    assert (np.diff(edges) > 0).all()
    np.testing.assert_array_equal(np.repeat(segments, np.diff(edges)), owners[start:stop])


@pytest.mark.parametrize(("tile", "width"), [(1024, 385), (256, 10_000), (1, 1)])
def test_tile_that_fits__is_the_largest_halving_that_the_memory_holds(tile, width):
    need = worker_bytes(tile, width)
    assert tile_that_fits(need, width, tile) == tile
    assert tile_that_fits(need - 1, width, tile) == tile // 2
    assert tile_that_fits(0, width, tile) == 0
    assert worker_bytes(tile_that_fits(need // 3, width, tile), width) <= need // 3


def test_worker_bytes__hold_the_arrays_of_a_task():
    """What a task allocates at once: CDFs of rows and columns, their layout and sums, and the tile."""
    from compute.similarity import columns, cumulate, lambda_tile

    tile, width = 256, 200
    histograms = np.full((tile, width), 3.0)
    cdf = cumulate(histograms)
    laid = columns(cdf)
    arrays = [histograms, np.cumsum(histograms, axis=1), cdf.values, cdf.values, laid.values]
    arrays += [lambda_tile(cdf, laid)] * 2
    assert sum(array.nbytes for array in arrays) <= worker_bytes(tile, width)
