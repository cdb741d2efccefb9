"""The door for Intake: the lake's catalog.yaml."""

import shutil

import intake
import numpy as np
import pytest
import yaml

from catalog import open_catalog
from jobs import pipeline

A, B = "tigit-on-nk-cells", "tigit-t-cells"


@pytest.fixture
def lake(scored):
    return scored / "lake é 1"


@pytest.fixture(params=[str, lambda path: f"file://{path}"])
def door(request, lake):
    return intake.open_catalog(request.param(lake / "catalog.yaml"))


def test_intake__lists_four_entries(door):
    assert set(door) >= {"datasets", "scores", "runs", "similarity"}


def test_intake__reads_the_catalog(door, lake):
    cat = door.datasets.read()
    assert cat.datasets.equals(open_catalog(lake).datasets)
    assert list(cat.search(protein="tigit")) == list(open_catalog(lake).search(protein="tigit"))
    assert cat.similar(A).equals(open_catalog(lake).similar(A))
    assert cat[A].to_xarray().equals(open_catalog(lake)[A].to_xarray())


def test_intake__reads_scores_of_either_mode(door, lake):
    assert door.scores.read().equals(open_catalog(lake).scores())
    assert door.scores.read(mode="unthinned").equals(open_catalog(lake).scores("unthinned"))


def test_intake__reads_runs(door, lake):
    assert door.runs.read().equals(open_catalog(lake).runs)


def test_intake__reads_lambda_of_two_datasets(door, lake):
    found = door.similarity.read(dataset=A, other=B, mode="unthinned")
    np.testing.assert_array_equal(found, open_catalog(lake).lambda_matrix(A, B, "unthinned"))
    with pytest.raises(ValueError, match=r"name a dataset: read\(dataset="):
        door.similarity.read()


def test_intake__follows_a_lake_that_moves(lake, tmp_path):
    moved = shutil.copytree(lake, tmp_path / "another place" / "lake")
    door = intake.open_catalog(str(moved / "catalog.yaml"))
    cat = door.datasets.read()
    assert cat.lake.url == moved.as_uri()
    assert cat[A].to_xarray().load().sizes["localization"] == 640
    assert len(door.scores.read()) == len(open_catalog(lake).scores())


def test_intake__sees_what_was_ingested_since_it_was_opened(lake, tmp_path):
    moved = shutil.copytree(lake, tmp_path / "lake")
    door = intake.open_catalog(str(moved / "catalog.yaml"))
    assert B in door.datasets.read()
    pipeline.remove(moved, B)
    assert B not in door.datasets.read()


def test_catalog_yaml__holds_no_path_and_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    pipeline.init(tmp_path / "lake")
    text = (tmp_path / "lake" / "catalog.yaml").read_text()
    assert not any(secret in text for secret in (str(tmp_path), "file:", "the-key", "the-secret"))
    content = yaml.safe_load(text)
    assert {entry["kwargs"]["url"] for entry in content["entries"].values()} == {"{CATALOG_DIR}"}
    assert all(entry["metadata"]["description"] for entry in content["entries"].values())


def test_catalog_yaml__is_written_once(tmp_path):
    pipeline.init(tmp_path / "lake")
    before = (tmp_path / "lake" / "catalog.yaml").read_bytes()
    pipeline.init(tmp_path / "lake")
    assert (tmp_path / "lake" / "catalog.yaml").read_bytes() == before
