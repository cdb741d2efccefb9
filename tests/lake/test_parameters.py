"""The lake itself: made once, opened with the parameters it was made with."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from lake import parameters, paths, storage
from lake.parameters import Parameters, open_lake, parameters_from


def test_parameters__are_those_of_the_paper_by_default():
    values = Parameters()
    assert (values.bin_nm, values.tile_bins, values.alpha) == (30.0, 100, 0.05)
    assert values.thinning_target == 900
    assert values.thinning == "exact"
    assert values.grid.tile_nm == 3000.0


@pytest.mark.parametrize(("density", "target"), [(30.0, 270), (100.0, 900), (0.01, 1), (33.4, 301)])
def test_parameters__count_the_localizations_of_a_thinned_roi(density, target):
    assert Parameters(thinning_density_per_um2=density).thinning_target == target


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("alpha", 0.0, "greater than 0"),
        ("alpha", 1.0, "less than 1"),
        ("bin_nm", -30.0, "greater than 0"),
        ("tile_bins", 0, "greater than or equal to 1"),
        ("thinning", "approximate", "'exact' or 'monte-carlo'"),
        ("thinning_density_per_um2", "dense", "number"),
        ("lambda_dtype", "int8", "'float32' or 'float16'"),
        ("colour", "red", "not permitted"),
    ],
)
def test_parameters_from__names_origin_parameter_value_and_reason_in_one_line(name, value, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        parameters_from({name: value}, "init")
    message = str(caught.value)
    assert message.startswith(f"init: {name} is {value!r}: ")
    assert "\n" not in message


def test_parameters_from__names_every_wrong_value():
    with pytest.raises(ValueError, match=r"bin_nm is 0: .*; alpha is 2: "):
        parameters_from({"bin_nm": 0, "alpha": 2}, "init")


def test_create__makes_a_lake_that_open_finds(tmp_path):
    values = Parameters(thinning_density_per_um2=30.0)
    made = parameters.create(tmp_path / "la ke", values)
    assert open_lake(tmp_path / "la ke") == open_lake((tmp_path / "la ke").as_uri()) == made
    assert made.parameters == values
    assert made.url == (tmp_path / "la ke").as_uri()


def test_create__of_the_same_lake_again_opens_it(tmp_path):
    made = parameters.create(tmp_path, Parameters())
    assert parameters.create(tmp_path, Parameters()) == made


def test_create__refuses_other_parameters_and_names_them(tmp_path):
    made = parameters.create(tmp_path, Parameters())
    with pytest.raises(ValueError, match=r"already, with alpha 0\.05 \(asked: 0\.01\); choose another place") as caught:
        parameters.create(tmp_path, Parameters(alpha=0.01))
    assert "bin_nm" not in str(caught.value)
    assert open_lake(tmp_path) == made


def test_create__by_many_at_once_makes_one_lake(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: parameters.create(tmp_path, Parameters()), range(8)))
    assert len({lake.lake_id for lake in made}) == 1


def test_lake_yaml__is_for_people_too(tmp_path):
    lake = parameters.create(tmp_path, Parameters())
    content = yaml.safe_load((tmp_path / "lake.yaml").read_text())
    assert content["format_version"] == paths.FORMAT_VERSION
    assert content["lake_id"] == lake.lake_id
    assert content["parameters"]["bin_nm"] == 30.0


@pytest.mark.parametrize("make", [False, True])
def test_open_lake__says_how_to_make_one(tmp_path, make):
    folder = tmp_path / "nothing"
    if make:
        folder.mkdir()
    with pytest.raises(ValueError, match=r"nothing: no lake here.*make one with `nanolake init .*nothing`"):
        open_lake(folder)
    assert folder.exists() == make


def test_open_lake__refuses_a_newer_format(tmp_path):
    text = "format_version: 2\nlake_id: x\nparameters: {}\n"
    storage.write(storage.normalise(tmp_path), paths.LAKE, text.encode())
    with pytest.raises(ValueError, match="format version 2, but this nanolake reads up to 1; upgrade nanolake"):
        open_lake(tmp_path)


@pytest.mark.parametrize("text", ["", "{{", "- a\n", "lake_id: x\n", "\x00\xff"])
def test_open_lake__refuses_a_damaged_lake_yaml(tmp_path, text):
    storage.write(storage.normalise(tmp_path), paths.LAKE, text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"lake.yaml is damaged; .* copy it back from a backup"):
        open_lake(tmp_path)


def test_open_lake__refuses_parameters_that_do_not_hold(tmp_path):
    text = "format_version: 1\nlake_id: x\nparameters: {alpha: 7}\n"
    storage.write(storage.normalise(tmp_path), paths.LAKE, text.encode())
    with pytest.raises(ValueError, match=r"lake.yaml: alpha is 7: "):
        open_lake(tmp_path)
