"""One small scored lake for all tests of the catalog."""

import pytest
from tiny_collection import write_dataset

from jobs import pipeline
from lake.parameters import Parameters

DATASETS = {
    "a": {"title": "TIGIT on NK cells", "protein": "TIGIT", "fluorophore": "Alexa Fluor 647", "tags": ["resting"]},
    "b": {"title": "TIGIT / T cells", "protein": "TIGIT", "fluorophore": "CF568", "drift_corrected": True},
    "c": {"title": "<b>NKp30</b> & co [2]", "protein": "NKp30", "modality": "PALM", "cell_type": "NK cell"},
    "sparse": {"title": "Sparse", "protein": "CD3"},
}


@pytest.fixture(scope="session")
def scored(tmp_path_factory):
    """Return a folder with a scored lake, ``lake é 1``, and its collection, ``coll``; nobody may change them.

    Of 80 localizations a ROI on average, those with at least 45 are thinned; ``sparse`` has none such.
    """
    folder = tmp_path_factory.mktemp("catalog")
    for seed, (name, fields) in enumerate(DATASETS.items(), 1):
        per_roi = 10 if name == "sparse" else 80
        write_dataset(folder / "coll" / name, seed=seed, files=1 + seed % 2, rois=4, per_roi=per_roi, **fields)
    pipeline.init(folder / "lake é 1", Parameters(thinning_density_per_um2=5.0))
    assert pipeline.ingest(folder / "lake é 1", [folder / "coll"]).problems == []
    pipeline.score(folder / "lake é 1")
    return folder
