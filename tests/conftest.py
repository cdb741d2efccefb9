"""Fixtures for every test: where the real data are."""

import os
from pathlib import Path

import pytest

SHARED_DATA = Path(os.environ.get("NANOLAKE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data; skip the test where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data in {SHARED_DATA}; set NANOLAKE_TEST_DATA to the folder that holds it")
    return SHARED_DATA
