"""Workers and small datasets that the tests of scoring and upkeep share; made once a session."""

import pytest
from small_collections import NAMES, PARAMETERS, ingest, write_variants

from jobs import pipeline
from jobs.cluster import local_cluster


@pytest.fixture(scope="session")
def workers():
    """Run two worker threads."""
    with local_cluster(2) as running:
        yield running


@pytest.fixture(scope="session")
def variants(tmp_path_factory):
    """Return two versions of small datasets: the folder of each (name, version)."""
    folder = tmp_path_factory.mktemp("variants")
    collections = {version: write_variants(folder / str(version), NAMES, version) for version in (0, 1)}
    return {(name, version): collections[version] / name for name in NAMES for version in collections}


@pytest.fixture(scope="session")
def built(tmp_path_factory, variants, workers):
    """Return a lake in which every version was built, so that the arrays can be copied into other lakes."""
    lake = tmp_path_factory.mktemp("built") / "lake"
    pipeline.init(lake, PARAMETERS)
    for version in (0, 1):
        ingest(lake, workers, [variants[name, version] for name in NAMES])
    return lake
