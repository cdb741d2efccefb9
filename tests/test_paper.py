"""What nano-org published (doi:10.1038/s41467-025-63674-x), found again by the whole product."""

from dataclasses import replace

import numpy as np
import pytest

from catalog import open_catalog
from compute.histogram import tile_histograms
from compute.similarity import columns, cumulate, lambda_tile
from compute.simulate import PRESETS, simulate_roi
from compute.thinning import thin_exact
from jobs import pipeline
from jobs.simulated_collection import write_collection
from lake.grid import Grid
from lake.parameters import Parameters


def simulated_histograms(preset, n, seed):
    rois = [simulate_roi(np.random.default_rng([seed, i]), preset) for i in range(n)]
    stops = np.cumsum([len(roi) for roi in rois])
    xy = np.concatenate(rois)
    return tile_histograms(xy[:, 0], xy[:, 1], stops - [len(roi) for roi in rois], stops, Grid())


def mean_lambda(a, b):
    return float(lambda_tile(cumulate(a), columns(cumulate(b))).mean())


def test_figure_2b__dissimilarity_grows_with_the_difference_in_cluster_number(tmp_path):
    numbers = (10, 12, 15, 20, 30, 60)
    conditions = {f"{n} clusters": PRESETS[f"clusters-{n}"] for n in numbers}
    write_collection(tmp_path / "collection", conditions, 30, 1, localizations_per_roi=900, precision_nm=0)
    pipeline.init(tmp_path / "lake")
    pipeline.ingest(tmp_path / "lake", [tmp_path / "collection"])
    pipeline.score(tmp_path / "lake")
    catalog = open_catalog(tmp_path / "lake")
    for mode in ("unthinned", "thinned"):  # 900 localizations a ROI are the thinning target: both must agree
        hits = catalog.similar("10-clusters", mode=mode)
        assert list(hits["dataset"]) == [f"{n}-clusters" for n in numbers[1:]]
        # Measured with an independent implementation, 30 ROIs a condition, 900 localizations, sigma 30 nm.
        golden = (0.57, 0.94, 1.52, 2.37, 3.58)
        assert list(hits["mean"]) == pytest.approx(golden, rel=0.15)
        assert catalog.self_similarity("10-clusters", mode)["mean"] == pytest.approx(0.39, abs=0.14)


def test_thinned_mode__does_not_depend_on_density():
    sparse, dense = (
        simulated_histograms(replace(PRESETS["clusters-30"], total=total), 20, seed=total) for total in (1500, 6000)
    )
    target = 900
    thin_sparse, thin_dense = thin_exact(sparse, target), thin_exact(dense, target)
    assert mean_lambda(sparse, dense) > 3
    within = mean_lambda(thin_sparse, thin_sparse)
    assert mean_lambda(thin_sparse, thin_dense) == pytest.approx(within, abs=0.1)


@pytest.mark.parametrize("density", [30.0, 100.0])
def test_real_collection__is_scored_at_both_densities(shared_data, tmp_path, density):
    lake = tmp_path / "lake"
    pipeline.init(lake, Parameters(thinning_density_per_um2=density))
    assert not pipeline.ingest(lake, [shared_data / "collection"]).problems
    pipeline.score(lake)
    catalog = open_catalog(lake)
    dense = dict(zip(catalog.datasets["dataset"], catalog.datasets["n_rois_dense"], strict=True))
    assert sum(dense.values()) == {30.0: 187, 100.0: 20}[density]
    for name, n in dense.items():
        hits = catalog.similar(name, mode="unthinned")
        assert len(hits) == 3
        assert (hits["mean"] > 0).all()
        if n:
            hits = catalog.similar(name, mode="thinned")
            assert set(hits["dataset"]) == {other for other, m in dense.items() if m and other != name}
            counts = dict(zip(hits["dataset"], hits["n_pairs"], strict=True))
            assert counts == {other: n * dense[other] for other in counts}
