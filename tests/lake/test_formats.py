"""One contract for all readers: the same localizations written in every variant read as the same columns."""

import csv
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field

import h5py
import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lake.columns import COLUMNS
from lake.formats import FORMATS, Localizations, Source, UnreadableFile, read_localizations

ROWS = 57
PIXEL_NM = 130.0


def _truth():
    rng = np.random.default_rng(20240607)
    truth = {
        "x_nm": rng.uniform(1000, 60_000, ROWS),
        "y_nm": rng.uniform(1000, 60_000, ROWS),
        "z_nm": rng.normal(0, 300, ROWS),
        "frame": np.sort(rng.integers(0, 900, ROWS)),
        "photons": rng.exponential(2000, ROWS),
        "background_photons": rng.uniform(10, 90, ROWS),
        "background_sd_photons": rng.uniform(1, 9, ROWS),
        "precision_nm": rng.uniform(3, 30, ROWS),
        "precision_z_nm": rng.uniform(5, 60, ROWS),
        "sigma_x_nm": rng.uniform(100, 180, ROWS),
        "sigma_y_nm": rng.uniform(100, 180, ROWS),
        "chi2": rng.uniform(100, 3000, ROWS),
        "detections": rng.integers(1, 9, ROWS),
        "channel": rng.integers(0, 2, ROWS),
        "group": rng.integers(-1, 50, ROWS),
    }
    truth["frame"][0] = 0
    return truth


TRUTH = _truth()


@dataclass(frozen=True)
class Written:
    """A file, what a reader must find in it, and what it needs to be told."""

    data: bytes
    columns: tuple[str, ...]
    format: str
    name: str = "cell.csv"
    siblings: dict[str, bytes] = field(default_factory=dict)
    pixel_size_nm: float | None = None
    truth: dict = field(default_factory=lambda: TRUTH)

    def source(self, data=None):
        return Source(self.name, pa.py_buffer(self.data if data is None else data), self.siblings)

    def read(self, data=None) -> Localizations:
        return read_localizations(self.source(data), self.pixel_size_nm)


def _text(columns, *, delimiter=",", decimal=".", line_end="\n", quoted=True):
    """Write header -> values as text, numbers with all their digits."""
    quote = '"' if quoted else ""
    lines = [delimiter.join(quote + name + quote for name in columns)]
    lines += [
        delimiter.join(repr(float(value)).replace(".", decimal) for value in row)
        for row in zip(*columns.values(), strict=True)
    ]
    return (line_end.join(lines) + line_end).encode()


def _thunderstorm_2d(bracket="{} [{}]", first_frame=1, *, length="nm", nm=1.0, uncertainty="uncertainty"):
    truth = TRUTH

    def named(name, unit):
        return bracket.format(name, unit)

    return {
        "id": np.arange(1, ROWS + 1),
        "frame": truth["frame"] + first_frame,
        named("x", length): truth["x_nm"] / nm,
        named("y", length): truth["y_nm"] / nm,
        named("sigma", length): truth["sigma_x_nm"] / nm,
        named("intensity", "photon"): truth["photons"],
        named("offset", "photon"): truth["background_photons"],
        named("bkgstd", "photon"): truth["background_sd_photons"],
        "chi2": truth["chi2"],
        named(uncertainty, length): truth["precision_nm"] / nm,
    }


THUNDERSTORM_2D = (
    *("x_nm", "y_nm", "frame", "photons", "background_photons", "background_sd_photons"),
    *("precision_nm", "sigma_x_nm", "sigma_y_nm", "chi2"),
)
ROUND = TRUTH | {"sigma_y_nm": TRUTH["sigma_x_nm"]}  # one sigma describes both axes


def _thunderstorm(data, columns=THUNDERSTORM_2D, truth=ROUND, **given):
    return Written(data, columns, "thunderstorm-csv", truth=truth, **given)


def _thunderstorm_3d():
    columns = {
        "id": np.arange(ROWS),
        "frame": TRUTH["frame"] + 1,
        "x [nm]": TRUTH["x_nm"],
        "y [nm]": TRUTH["y_nm"],
        "z [nm]": TRUTH["z_nm"],
        "sigma1 [nm]": TRUTH["sigma_x_nm"],
        "sigma2 [nm]": TRUTH["sigma_y_nm"],
        "intensity [photon]": TRUTH["photons"],
        "uncertainty_xy [nm]": TRUTH["precision_nm"],
        "uncertainty_z [nm]": TRUTH["precision_z_nm"],
        "detections": TRUTH["detections"],
    }
    names = ("x_nm", "y_nm", "z_nm", "frame", "photons", "precision_nm", "precision_z_nm")
    return _thunderstorm(_text(columns), (*names, "sigma_x_nm", "sigma_y_nm", "detections"), TRUTH)


def _picasso_export():
    """Picasso's ThunderSTORM export: no quotes, frames from 0."""
    columns = {
        "id": np.arange(ROWS),
        "frame": TRUTH["frame"],
        "x [nm]": TRUTH["x_nm"],
        "y [nm]": TRUTH["y_nm"],
        "sigma [nm]": TRUTH["sigma_x_nm"],
        "intensity [photon]": TRUTH["photons"],
        "offset [photon]": TRUTH["background_photons"],
        "bkgstd [photon]": TRUTH["background_sd_photons"],
        "uncertainty_xy [nm]": TRUTH["precision_nm"],
        "detections": TRUTH["detections"],
    }
    names = tuple(name for name in THUNDERSTORM_2D if name != "chi2")
    return _thunderstorm(_text(columns, quoted=False), (*names, "detections"))


def _excel_damaged():
    """The whole header in one quoted cell, as Excel leaves it."""
    header, _, rows = _text(_thunderstorm_2d()).partition(b"\n")
    return b'"' + header[1:].replace(b'"', b'""').replace(b'""', b"", 1) + b'"\n' + rows


def _adu():
    columns = _thunderstorm_2d()
    for name in ("intensity", "offset", "bkgstd"):
        columns[f"{name} [ADU]"] = columns.pop(f"{name} [photon]")
    names = tuple(name for name in THUNDERSTORM_2D if "photons" not in name)
    return _thunderstorm(_text(columns), names)


def _nanometres(header, columns, *, first_frame=1, **style):
    values = TRUTH | {"frame": TRUTH["frame"] + first_frame}
    written = {name: values[column] for name, column in zip(header, columns, strict=True)}
    return Written(_text(written, **{"quoted": False} | style), columns, "nanometre-csv")


PICASSO_COLUMNS = (
    *("x_nm", "y_nm", "z_nm", "frame", "photons", "background_photons", "precision_nm"),
    *("precision_z_nm", "sigma_x_nm", "sigma_y_nm", "detections", "group"),
)


def _picasso_table(*, dtype="f4", frame_dtype="u4", photons=True):
    lpx = TRUTH["precision_nm"] * 0.75 / PIXEL_NM
    lpy = TRUTH["precision_nm"] * 1.25 / PIXEL_NM
    fields = {
        "frame": TRUTH["frame"],
        "x": TRUTH["x_nm"] / PIXEL_NM,
        "y": TRUTH["y_nm"] / PIXEL_NM,
        "photons": TRUTH["photons"],
        "sx": TRUTH["sigma_x_nm"] / PIXEL_NM,
        "sy": TRUTH["sigma_y_nm"] / PIXEL_NM,
        "bg": TRUTH["background_photons"],
        "lpx": lpx,
        "lpy": lpy,
        "net_gradient": np.ones(ROWS),
        "z": TRUTH["z_nm"],
        "lpz": TRUTH["precision_z_nm"],
        "n": TRUTH["detections"],
        "group": TRUTH["group"],
    }
    if not photons:
        fields = {name: fields[name] for name in ("frame", "x", "y", "lpx", "lpy", "z", "lpz")}
    table = np.zeros(ROWS, [(name, frame_dtype if name == "frame" else dtype) for name in fields])
    for name, values in fields.items():
        table[name] = values
    return table


def _hdf5(table, metadata=None, **storage):
    file = io.BytesIO()
    with h5py.File(file, "w", **storage.pop("file", {})) as h5:
        h5.create_dataset("locs", data=table, **storage)
        if metadata is not None:
            h5["metadata"] = metadata
    return file.getvalue()


def _picasso(
    data, columns=PICASSO_COLUMNS, *, documents=({"Pixelsize": PIXEL_NM},), name="cell.hdf5", **given
):
    siblings = (
        {name.removesuffix(".hdf5") + ".yaml": yaml.safe_dump_all(documents).encode()} if documents else {}
    )
    return Written(data, columns, "picasso-hdf5", name=name, siblings=siblings, **given)


SMAP_COLUMNS = ("x_nm", "y_nm", "z_nm", "frame", "precision_nm", "precision_z_nm")

VARIANTS: dict[str, Callable[[], Written]] = {
    "thunderstorm": lambda: _thunderstorm(_text(_thunderstorm_2d())),
    "thunderstorm, newer name of the uncertainty": lambda: _thunderstorm(
        _text(_thunderstorm_2d(uncertainty="uncertainty_xy"))
    ),
    "thunderstorm 3D, merged": _thunderstorm_3d,
    "thunderstorm, no space before the unit": lambda: _thunderstorm(_text(_thunderstorm_2d("{}[{}]"))),
    "thunderstorm, two spaces": lambda: _thunderstorm(_text(_thunderstorm_2d("{}  [{}]"))),
    "thunderstorm, spaces in the bracket, capitals": lambda: _thunderstorm(
        _text(_thunderstorm_2d("{} [ {} ]")).replace(b"x [ nm ]", b"X [ NM ]")
    ),
    "thunderstorm, no quotes": lambda: _thunderstorm(_text(_thunderstorm_2d(), quoted=False)),
    "thunderstorm, BOM": lambda: _thunderstorm(b"\xef\xbb\xbf" + _text(_thunderstorm_2d())),
    "thunderstorm, CRLF": lambda: _thunderstorm(_text(_thunderstorm_2d(), line_end="\r\n")),
    "thunderstorm, CR": lambda: _thunderstorm(_text(_thunderstorm_2d(), line_end="\r")),
    "thunderstorm, empty lines": lambda: _thunderstorm(b"\n\n" + _text(_thunderstorm_2d(), line_end="\n\n")),
    "thunderstorm, no last line end": lambda: _thunderstorm(_text(_thunderstorm_2d())[:-1]),
    "thunderstorm, um": lambda: _thunderstorm(_text(_thunderstorm_2d(length="um", nm=1000.0))),
    "thunderstorm, micro sign": lambda: _thunderstorm(_text(_thunderstorm_2d(length="\u00b5m", nm=1000.0))),
    "thunderstorm, Greek mu": lambda: _thunderstorm(_text(_thunderstorm_2d(length="\u03bcm", nm=1000.0))),
    "thunderstorm, micro sign of Windows": lambda: _thunderstorm(
        _text(_thunderstorm_2d(length="\u00b5m", nm=1000.0)).decode().encode("latin-1")
    ),
    "thunderstorm, px": lambda: _thunderstorm(
        _text(_thunderstorm_2d(length="px", nm=PIXEL_NM)), pixel_size_nm=PIXEL_NM
    ),
    "thunderstorm, tabs": lambda: _thunderstorm(_text(_thunderstorm_2d(), delimiter="\t")),
    "thunderstorm, European Excel": lambda: _thunderstorm(
        _text(_thunderstorm_2d(), delimiter=";", decimal=",", line_end="\r\n", quoted=False)
    ),
    "thunderstorm, semicolons with points": lambda: _thunderstorm(_text(_thunderstorm_2d(), delimiter=";")),
    "thunderstorm, Excel-damaged": lambda: _thunderstorm(_excel_damaged()),
    "thunderstorm, ADU": _adu,
    "thunderstorm, Picasso's export": _picasso_export,
    "nano-org": lambda: _thunderstorm(
        _text({name: _thunderstorm_2d()[name] for name in ("frame", "x [nm]", "y [nm]")}, quoted=False),
        ("x_nm", "y_nm", "frame"),
    ),
    "nanometres, x,y": lambda: _nanometres(("x", "y"), ("x_nm", "y_nm")),
    "nanometres, X,Y,Z": lambda: _nanometres(("X", "Y", "Z"), ("x_nm", "y_nm", "z_nm")),
    "nanometres, SMAP": lambda: _nanometres(
        ("xnm", "ynm", "znm", "frame", "locprecnm", "phot", "bg"),
        ("x_nm", "y_nm", "z_nm", "frame", "precision_nm", "photons", "background_photons"),
    ),
    "nanometres, frames from 0": lambda: _nanometres(
        ("frame", "x", "y", "precision"), ("frame", "x_nm", "y_nm", "precision_nm"), first_frame=0
    ),
    "nanometres, the lake's own": lambda: _nanometres(tuple(TRUTH), tuple(TRUTH), first_frame=0),
    "nanometres, European Excel": lambda: _nanometres(
        ("x_nm", "y_nm", "photons"), ("x_nm", "y_nm", "photons"), delimiter=";", decimal=","
    ),
    "nanometres, tabs, quotes, CRLF, BOM": lambda: _nanometres(
        ("\ufeffx_nm", "y_nm"), ("x_nm", "y_nm"), delimiter="\t", line_end="\r\n"
    ),
    "picasso": lambda: _picasso(_hdf5(_picasso_table())),
    "picasso, compressed": lambda: _picasso(_hdf5(_picasso_table(), compression="gzip", chunks=(16,))),
    "picasso, newest HDF5": lambda: _picasso(_hdf5(_picasso_table(), file={"libver": "latest"})),
    "picasso, user block": lambda: _picasso(_hdf5(_picasso_table(), file={"userblock_size": 1024})),
    "picasso, big-endian, float frames": lambda: _picasso(
        _hdf5(_picasso_table(dtype=">f4", frame_dtype=">f4"))
    ),
    "picasso, metadata inside": lambda: _picasso(
        _hdf5(_picasso_table(), json.dumps([{"Frames": 900}, {"Pixelsize": PIXEL_NM}, {"Box Size": 7}])),
        documents=(),
    ),
    "picasso, last document counts": lambda: _picasso(
        _hdf5(_picasso_table()),
        documents=({"Camera.Pixelsize": 160, "Pixelsize": 100}, {"Pixelsize": PIXEL_NM}, {"Box Size": 7}),
    ),
    "picasso, SMAP": lambda: _picasso(
        _hdf5(_picasso_table(dtype="f8", frame_dtype="f8", photons=False)),
        SMAP_COLUMNS,
        documents=({"Byte Order": "<", "Frames": 900},),
        name="cell_sml.mat.hdf5",
        pixel_size_nm=PIXEL_NM,
    ),
}


@pytest.fixture(params=VARIANTS)
def written(request):
    return VARIANTS[request.param]()


def _source(data, name="cell.csv", siblings=None):
    return Source(name, pa.py_buffer(data), siblings or {})


def test_contract__columns_units_and_frames_are_those_of_the_lake(written):
    found = written.read()
    assert found.format == written.format
    assert list(found.columns) == [name for name in COLUMNS if name in written.columns]
    relative = 3e-7 if written.format == "picasso-hdf5" else 1e-12  # Picasso stores float32
    for name, values in found.columns.items():
        assert values.dtype == COLUMNS[name].dtype
        assert values.shape == (ROWS,)
        assert values.flags.writeable
        assert values.flags.c_contiguous
        tolerance = 3e-7 if COLUMNS[name].dtype == "float32" else relative
        np.testing.assert_allclose(values, written.truth[name], rtol=tolerance, err_msg=name)


def test_contract__exactly_one_format_claims_the_file(written):
    assert [module.NAME for module in FORMATS if module.matches(written.source())] == [written.format]


def test_contract__the_file_name_does_not_matter(written):
    name = written.name.removesuffix(".hdf5").removesuffix(".csv") + ".dat"
    same = read_localizations(
        Source(name, pa.py_buffer(written.data), written.siblings), written.pixel_size_nm
    )
    assert same.format == written.format


def test_contract__provenance_is_complete_json(written):
    found = written.read()
    record = json.loads(json.dumps(found.provenance, allow_nan=False))
    assert record == found.provenance
    assert record["used"].keys() == found.columns.keys()
    used = {part for names in record["used"].values() for part in names.split(", ")}
    assert used | record["ignored"].keys() == set(record["header"])
    assert set(record["units"]) == set(record["used"].values())
    assert record["frame_base"] in ((0, 1) if "frame" in found.columns else (None,))
    assert (record["pixel_size_nm"] is None) == (record["pixel_size_from"] is None)


def test_contract__reading_twice_gives_the_same_and_leaves_the_source_alone(written):
    source = written.source()
    first = read_localizations(source, written.pixel_size_nm)
    for values in first.columns.values():
        values[:] = 0
    second = read_localizations(source, written.pixel_size_nm)
    assert bytes(source.data) == written.data
    assert second.provenance == first.provenance
    np.testing.assert_array_equal(second.columns["x_nm"], written.read().columns["x_nm"])


def test_contract__a_file_on_disk_is_read_through_its_memory_map(written, tmp_path):
    path = tmp_path / written.name
    path.write_bytes(written.data)
    with pa.memory_map(str(path)) as file:
        found = read_localizations(
            Source(path.name, file.read_buffer(), written.siblings), written.pixel_size_nm
        )
    np.testing.assert_array_equal(found.columns["x_nm"], written.read().columns["x_nm"])


def test_contract__an_empty_file_is_refused(written):
    with pytest.raises(UnreadableFile, match=r"^cell[a-z_.]*: the file is empty; export it again"):
        written.read(b"")


def test_contract__a_file_without_localizations_is_refused(written):
    if written.format == "picasso-hdf5":
        data = _hdf5(_picasso_table()[:0])
    else:
        header = written.data.lstrip(b"\n\r")
        data = header[: min(header.find(end) for end in (b"\r", b"\n") if end in header)]
    with pytest.raises(UnreadableFile, match=r"^cell.*: it holds no localizations .*; export it again"):
        written.read(data)


def test_contract__a_truncated_file_is_refused(written):
    if written.format == "picasso-hdf5":
        cut, reason = written.data[: len(written.data) // 2], "a damaged or truncated HDF5 file"
    else:
        body = written.data.rstrip(b"\r\n")
        # Without its last field, and with the separator before it.
        cut = body[: max(body.rfind(mark) for mark in (b",", b";", b"\t"))]
        cut = cut[: max(cut.rfind(mark) for mark in (b"\n", b"\r")) + 1] + b"1.5"
        reason = r"line \d+ has 1 fields, the header \d+, the last line: the file may have been cut off"
    with pytest.raises(UnreadableFile, match=rf"^cell.*: {reason}.*; .*again"):
        written.read(cut)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_contract__a_coordinate_that_is_not_finite_is_refused(written, value):
    if written.format == "picasso-hdf5":
        table = _picasso_table()
        table["y"][4] = float(value)
        data = _hdf5(table)
    else:
        data = _with_y(written, 4, value.encode())
    with pytest.raises(
        UnreadableFile,
        match=rf"^cell.*: y_nm is not finite in 1 of {ROWS} rows, first in row 5 \({value}.*; remove",
    ):
        written.read(data) if written.siblings else read_localizations(written.source(data), PIXEL_NM)


def _with_y(written, row, value):
    """Return a text table with another y in one row."""
    header = written.read().provenance["header"]
    y = header.index(written.read().provenance["used"]["y_nm"])
    delimiter = max(b"\t;,".decode(), key=written.data.partition(b"\n")[0].decode("latin-1").count).encode()
    end = b"\r" if b"\n" not in written.data else b"\n"
    lines = written.data.split(end)
    rows = [number for number, line in enumerate(lines) if line.strip()][1:]
    cells = lines[rows[row]].split(delimiter)
    cells[y] = value + (b"\r" if cells[y].endswith(b"\r") else b"")
    lines[rows[row]] = delimiter.join(cells)
    return end.join(lines)


# --- Traps, one by one ---


def test_thunderstorm__a_smallest_frame_of_zero_means_counting_from_zero():
    table = b"frame,x [nm],y [nm]\n%d,1,2\n7,3,4\n"
    from_zero, from_one = (read_localizations(_source(table % first)) for first in (0, 1))
    assert (from_zero.columns["frame"].tolist(), from_zero.provenance["frame_base"]) == ([0, 7], 0)
    assert (from_one.columns["frame"].tolist(), from_one.provenance["frame_base"]) == ([0, 6], 1)


def test_thunderstorm__pixels_without_a_pixel_size_ask_for_it():
    with pytest.raises(
        UnreadableFile,
        match=r"^cell\.csv: 'x \[px\]' is in camera pixels .*; write pixel_size_nm: <nm> into dataset\.yaml$",
    ):
        read_localizations(_source(b"x [px],y [px]\n1,2\n"))


def test_thunderstorm__the_pixel_size_used_is_recorded_only_where_it_was_needed():
    in_pixels = read_localizations(_source(b"x [px],y [px]\n1,2\n"), 117)
    in_nm = read_localizations(_source(b"x [nm],y [nm]\n1,2\n"), 117)
    assert in_pixels.columns["y_nm"].tolist() == [234.0]
    assert (in_pixels.provenance["pixel_size_nm"], in_pixels.provenance["pixel_size_from"]) == (
        117,
        "given as pixel_size_nm",
    )
    assert in_nm.provenance["pixel_size_nm"] is None


def test_thunderstorm__units_are_taken_column_by_column():
    found = read_localizations(_source(b"x [um],y [nm],z [px],uncertainty [um]\n1,2,3,0.02\n"), 100)
    assert {name: values.tolist() for name, values in found.columns.items()} == {
        "x_nm": [1000.0],
        "y_nm": [2.0],
        "z_nm": [300.0],
        "precision_nm": [20.0],
    }
    assert found.provenance["units"] == {
        "x [um]": "um",
        "y [nm]": "nm",
        "z [px]": "px",
        "uncertainty [um]": "um",
    }


def test_thunderstorm__adu_is_ignored_with_its_reason():
    found = read_localizations(_source(b"id,x [nm],y [nm],intensity [ADU],sigma [deg]\n1,1,2,900,3\n"))
    assert list(found.columns) == ["x_nm", "y_nm"]
    assert found.provenance["ignored"] == {
        "id": "not a column of the lake",
        "intensity [ADU]": "in 'ADU', not in photons",
        "sigma [deg]": "in 'deg', not in nm, um or px",
    }


@pytest.mark.parametrize("unit", ["furlong", ""])
def test_thunderstorm__an_unknown_unit_of_a_coordinate_is_refused(unit):
    with pytest.raises(
        UnreadableFile, match=rf"'x \[{unit}\]' is in '{unit}', not in nm, um or px; write its unit"
    ):
        read_localizations(_source(f"x [{unit}],y [nm]\n1,2\n".encode()))


def test_thunderstorm__text_in_a_column_that_is_not_read_does_no_harm():
    found = read_localizations(_source(b"comment,x [nm],y [nm]\nmitosis?,1,2\n\xff\xfe,3,4\n"))
    assert found.columns["x_nm"].tolist() == [1.0, 3.0]


def test_thunderstorm__quoted_numbers_are_numbers():
    assert read_localizations(_source(b'"x [nm]","y [nm]"\n"1.5","2"\n')).columns["x_nm"].tolist() == [1.5]


def test_thunderstorm__trailing_separators_of_a_spreadsheet_are_allowed():
    found = read_localizations(_source(b"x [nm],y [nm],,\n1,2,,\n"))
    assert found.columns["y_nm"].tolist() == [2.0]


def test_nanometres__the_assumed_unit_is_recorded():
    assumed, named = (
        read_localizations(_source(head + b"\n100,200,3\n9000,8000,4\n")).provenance
        for head in (b"X,Y,photons", b"x_nm,ynm,photons")
    )
    assert assumed["units"] == {"X": "nm (assumed)", "Y": "nm (assumed)", "photons": "photon"}
    assert assumed["notes"] == ["no unit in the header for ['X', 'Y']: nm is assumed"]
    assert (named["units"], named["notes"]) == ({"x_nm": "nm", "ynm": "nm", "photons": "photon"}, [])


def test_nanometres__a_field_too_small_for_nm_is_noted():
    (_, note) = read_localizations(_source(b"x,y\n0.5,81\n30,2\n")).provenance["notes"]
    assert note == (
        "x and y span 29.5 x 79, small for nm: if they are in um or pixels, write x [um],y [um] or x [px],y [px] "
        "into the header"
    )


def test_nanometres__the_lakes_own_frames_count_from_zero_though_none_is_zero():
    own, other = (
        read_localizations(_source(head + b",frame\n1,2,5\n")) for head in (b"x_nm,y_nm", b"xnm,ynm")
    )
    assert (own.columns["frame"].tolist(), other.columns["frame"].tolist()) == ([5], [4])


def test_nanometres__intensity_is_not_taken_for_photons():
    found = read_localizations(_source(b"x,y,intensity\n1,2,3\n"))
    assert list(found.columns) == ["x_nm", "y_nm"]
    assert found.provenance["ignored"] == {"intensity": "not a column of the lake"}


def test_nanometres__a_bracket_in_another_column_does_no_harm():
    assert read_localizations(_source(b"x,y,intensity [photon]\n1,2,3\n")).format == "nanometre-csv"


def test_picasso__precision_is_the_mean_of_both_axes_in_nm():
    table = np.array([(1, 2, 0.1, 0.3)], [(name, "f8") for name in ("x", "y", "lpx", "lpy")])
    found = read_localizations(_source(_hdf5(table), "cell.hdf5"), 100)
    assert found.columns["precision_nm"].tolist() == [pytest.approx(20.0)]
    assert found.provenance["used"]["precision_nm"] == "lpx, lpy"


def test_picasso__an_unknown_pixel_size_is_asked_for():
    with pytest.raises(
        UnreadableFile,
        match=r"^a\.mat\.hdf5: .*neither a\.mat\.yaml nor the file has a Pixelsize; put a\.mat\.yaml beside it",
    ):
        read_localizations(_source(_hdf5(_picasso_table()), "a.mat.hdf5", {"a.yaml": b"Pixelsize: 130"}))


def test_picasso__the_pixel_size_of_the_camera_driver_is_not_taken():
    with pytest.raises(UnreadableFile, match="has a Pixelsize"):
        read_localizations(_source(_hdf5(_picasso_table()), "a.hdf5", {"a.yaml": b"Camera.Pixelsize: 160"}))


def test_picasso__the_file_goes_before_the_given_pixel_size_and_says_so():
    given = (
        (_hdf5(_picasso_table()), {"a.yaml": b"Pixelsize: 130"}),
        (_hdf5(_picasso_table(), '{"Pixelsize": 130}'), {}),
    )
    for (data, siblings), origin in zip(given, ("a.yaml", "metadata in the file"), strict=True):
        record = read_localizations(_source(data, "a.hdf5", siblings), 100).provenance
        assert (record["pixel_size_nm"], record["pixel_size_from"]) == (130.0, origin)
        assert record["notes"] == [f"a pixel size of 130 nm from {origin} was used, not the 100 nm given"]
        assert read_localizations(_source(data, "a.hdf5", siblings), 130.5).provenance["notes"] == []


def test_picasso__a_yaml_without_pixel_size_leaves_it_to_the_metadata_inside():
    source = _source(_hdf5(_picasso_table(), '[{"Pixelsize": 130}]'), "a.hdf5", {"a.yaml": b"Frames: 3"})
    assert read_localizations(source).provenance["pixel_size_from"] == "metadata in the file"


@pytest.mark.parametrize(
    "size", ["none", "-130", "0", ".inf", "'a\n b'", "!!python/object/apply:os.abort []"]
)
def test_picasso__a_pixel_size_that_is_no_length_is_refused(size):
    source = _source(_hdf5(_picasso_table()), "a.hdf5", {"a.yaml": f"Pixelsize: {size}".encode()})
    with pytest.raises(UnreadableFile, match="Pixelsize"):
        read_localizations(source)


def test_picasso__tags_of_python_in_the_yaml_are_never_obeyed(tmp_path):
    trap = tmp_path / "trap"
    text = f"""
Generated by: !!python/object/apply:os.mkdir [{trap}]
Shape: !!python/tuple [1, 2]
Pixelsize: !!python/object/apply:numpy.float64 130
--- &anchor
Date: 2023-99-99
Pixelsize: 130
*anchor : 3
"""
    source = _source(_hdf5(_picasso_table()), "a.hdf5", {"a.yaml": text.encode()})
    assert read_localizations(source).provenance["pixel_size_nm"] == 130.0
    assert not trap.exists()


@pytest.mark.parametrize("text", [b"a: [1", b"\xff\xfe\xfa", b"[" * 200_000, b"a: \x00", b"- " * 200_000])
def test_picasso__a_damaged_yaml_is_refused_by_name(text):
    with pytest.raises(UnreadableFile, match=r"^a\.hdf5: a\.yaml beside it is not YAML: .*; repair a\.yaml$"):
        read_localizations(_source(_hdf5(_picasso_table()), "a.hdf5", {"a.yaml": text}))


@pytest.mark.parametrize(
    "text", [b"- Pixelsize\n- 130", b"a: {Pixelsize: 130}", b"? [Pixelsize]\n: 130", b"", b"130"]
)
def test_picasso__a_pixelsize_elsewhere_in_the_yaml_does_not_count(text):
    with pytest.raises(UnreadableFile, match="has a Pixelsize"):
        read_localizations(_source(_hdf5(_picasso_table()), "a.hdf5", {"a.yaml": text}))


@pytest.mark.parametrize("metadata", ["{", "[" * 100_000, "NaN,"])
def test_picasso__damaged_metadata_is_refused(metadata):
    with pytest.raises(UnreadableFile, match=r"its metadata is not JSON: .*; save it again with Picasso"):
        read_localizations(_source(_hdf5(_picasso_table(), metadata), "a.hdf5"), 130)


@pytest.mark.parametrize("metadata", [np.arange(3), "[]", "3", '[{"Box Size": 7}]', np.float64(130)])
def test_picasso__metadata_without_a_pixel_size_leaves_it_to_the_caller(metadata):
    found = read_localizations(_source(_hdf5(_picasso_table(), metadata), "a.hdf5"), 130)
    assert found.provenance["pixel_size_from"] == "given as pixel_size_nm"


def test_picasso__a_damaged_heap_of_strings_is_refused_before_libhdf5_hangs_on_it():
    data = bytearray(_hdf5(_picasso_table(), '[{"Pixelsize": 130}]'))
    heap = data.index(b"GCOL")
    data[heap + 64] ^= 0x59  # the size of the free space
    with pytest.raises(
        UnreadableFile, match=rf"damaged or truncated HDF5 file \(the heap at byte {heap} is damaged\)"
    ):
        read_localizations(_source(bytes(data), "a.hdf5"))


def test_picasso__the_mean_frame_of_a_molecule_map_is_left_out():
    table = np.array(
        [(8.25, 1.5, 2, 3, 24)], [(name, "f4") for name in ("frame", "std_frame", "x", "y", "n")]
    )
    found = read_localizations(_source(_hdf5(table), "cell.hdf5"), 100)
    assert list(found.columns) == ["x_nm", "y_nm", "detections"]
    assert found.provenance["ignored"]["frame"] == "a mean over frames, not the number of one"
    assert found.provenance["frame_base"] is None


@pytest.mark.parametrize(
    ("locs", "reason"),
    [
        (np.ones(3), "its 'locs' is not a table"),
        (_picasso_table().reshape(3, -1), "its 'locs' is not a table"),
        (_picasso_table()[["frame", "y"]], r"no column x among \['frame', 'y'\]"),
        (np.array([(1.0, b"left")], [("x", "f8"), ("y", "S4")]), r"its column 'y' holds \|S4, not numbers"),
        (np.array([(1.0, (1, 2))], [("x", "f8"), ("y", "f8", 2)]), r"its column 'y' holds .*, not numbers"),
    ],
)
def test_picasso__a_table_that_is_none_of_localizations_is_refused(locs, reason):
    with pytest.raises(UnreadableFile, match=rf"^cell\.hdf5: {reason}"):
        read_localizations(_source(_hdf5(locs), "cell.hdf5"), 100)


def test_picasso__a_group_called_locs_is_refused():
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        h5["locs/table"] = _picasso_table()
    with pytest.raises(UnreadableFile, match="its 'locs' is not a table"):
        read_localizations(_source(file.getvalue(), "cell.hdf5"), 100)


def test_picasso__a_table_that_claims_more_than_the_file_can_hold_is_refused():
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        h5.create_dataset("locs", (2**50,), _picasso_table().dtype, chunks=(1000,))
    with pytest.raises(UnreadableFile, match=r"damaged HDF5 file: 1125899906842624 rows in \d+ bytes"):
        read_localizations(_source(file.getvalue(), "cell.hdf5"), 100)


# --- Bad input ---


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b" \n\r\n\t", "the file is empty but for white space; export it again or remove it"),
        (b"\xef\xbb\xbf", "the file is empty but for white space; export it again or remove it"),
        (b"x [nm],y [nm]", r"it holds no localizations \(a header without rows\); export it again"),
        (b"x,y\n\n\n", r"it holds no localizations \(a header without rows\); export it again"),
        (
            b"1,2.5,-3e4\n2,3,4\n",
            r"it has no header, its first line is numbers: '1,2.5,-3e4'; put a header line above",
        ),
        (b"1;2,5\n", r"it has no header, its first line is numbers: '1;2,5'; put a header line above"),
        (b"frame,x [nm]\n1,2\n", r"no column y among \['frame', 'x \[nm\]'\]; export the file with y \[nm\]"),
        (b"Y,frame\n1,2\n", r"no column x among \['Y', 'frame'\]; export the file with x_nm"),
        (
            b"x [nm],y\n1,2\n",
            r"'y' is in '', not in nm, um or px; write its unit into the header, such as y \[nm\]",
        ),
        (
            b"left,right\n1,2\n",
            r"no known format: no columns x and y, its first line is 'left,right'; export it as one of: Thunder",
        ),
        (
            b"x [nm],x [nm],y [nm]\n1,2,3\n",
            r"its header has duplicated names: \['x \[nm\]'\]; rename or remove",
        ),
        (b"x [nm],x[um],y [nm]\n1,2,3\n", r"'x \[nm\]' and 'x\[um\]' both give x_nm; rename or remove one"),
        (b"x,xnm,y\n1,2,3\n", "'x' and 'xnm' both give x_nm; rename or remove one"),
        (b"sigma [nm],sigma1 [nm],x [nm],y [nm]\n1,2,3,4\n", "both give sigma_x_nm"),
        (b"x,y\n1,2\n\n3,four\n5,6\n", "line 4, column 'y': 'four' is not a number; repair that line"),
        (b"\nx,y\r\n1,2\r\nNone,2\r\n", "line 4, column 'x': 'None' is not a number"),
        (b"x;y\n1,5;2,5\n1.5;2\n", r"line 3, column 'x': '1\.5' is not a number"),
        (b"x,y\n" + b"1,2\n" * 200_000 + b"1,two\n", "line 200002, column 'y': 'two' is not a number"),
        (b"x,y\n1,2\n3\n4,5\n", r"line 3 has 1 fields, the header 2; repair that line"),
        (
            b"x,y\n1,2\n\n3,4,5\n",
            r"line 4 has 3 fields, the header 2, the last line: the file may have been cut off",
        ),
        (b"x,y\n1,2\n3,4\n5", r"line 4 has 1 fields, the header 2, the last line"),
        (b"x,y\n1,5,2,5\n", r"line 2 has 4 fields, the header 2"),
        (b'x,y\n1,"2\n3,4\n5,6\n', r"line 2"),
        (b"x,y\n1,2\n,3\n4,\n", r"x_nm is not finite in 1 of 3 rows, first in row 2 \(nan"),
        (b"x,y\n1e999,2\n", r"x_nm is not finite in 1 of 1 rows, first in row 1 \(inf"),
        (b"x [um],y [um]\n1e307,2\n", r"x_nm is not finite in 1 of 1 rows, first in row 1 \(inf"),
        (
            b"x,y,frame\n1,2,0\n1,2,1.5\n",
            r"frame \(counted from 0\) is not a whole number in 1 of 2 rows, first in row 2 \(1\.5",
        ),
        (b"x,y,frame\n1,2,\n", r"frame \(counted from 0\) is not finite in 1 of 1 rows"),
        (b"x,y,frame\n1,2,-4\n", r"frame \(counted from 0\) is outside 0 \.\.\. 2147483647 in 1 of 1 rows"),
        (b"x,y,group\n1,2,3e9\n", r"group is outside -2147483648 \.\.\. 2147483647 in 1 of 1 rows"),
        (b"x,y,detections\n1,2,NaN\n", "detections is not finite in 1 of 1 rows"),
        (
            b"x" * 70_000,
            "neither text nor a known binary format; it begins b'xxxxxxxxxxxxxxxx'; export it as",
        ),
        (bytes(range(256)), r"neither text nor a known binary format; it begins b'\\x00"),
        (b"PAR1" + bytes(50), "it is a Parquet table, which is not read yet; export it as one of: Thunder"),
        (b"PK\x03\x04" + bytes(50), "it is a zip archive"),
        (b"\x1f\x8b\x08" + bytes(50), "it is a gzip archive"),
        ("x [nm]\ty [nm]\n1\t2\n".encode("utf-16"), "it is UTF-16 text"),
        (
            b"Channel Name\tX\tY\tXc\tYc\n647\t1\t2\t1\t2\n",
            "it is a Nikon N-STORM table, which is not read yet",
        ),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "a damaged or truncated HDF5 file .*; copy or export it again"),
    ],
)
def test_read_localizations__says_what_is_wrong_and_the_way_out(data, message):
    with pytest.raises(UnreadableFile, match=rf"^cell\.csv: {message}") as error:
        read_localizations(_source(data))
    assert "\n" not in str(error.value)
    assert ";" in str(error.value)


def test_read_localizations__an_hdf5_file_without_locs_lists_its_members():
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        h5["molecules"] = np.arange(3)
    with pytest.raises(
        UnreadableFile, match=r"without Picasso's dataset 'locs'; it holds \['molecules'\]; export it as"
    ):
        read_localizations(_source(file.getvalue(), "cell.h5"))


def test_read_localizations__optional_columns_keep_their_nan():
    found = read_localizations(_source(b"x,y,z,precision\n1,2,,NaN\n3,4,nan,\n"))
    assert np.isnan(found.columns["z_nm"]).all()
    assert np.isnan(found.columns["precision_nm"]).all()


def test_read_localizations__numbers_beyond_float32_become_infinite():
    assert np.isinf(read_localizations(_source(b"x,y,photons\n1,2,1e300\n")).columns["photons"]).all()
    table = np.array([(1, 2, 1e300)], [(name, "f8") for name in ("x", "y", "photons")])
    assert np.isinf(read_localizations(_source(_hdf5(table)), 100).columns["photons"]).all()


def test_read_localizations__a_last_line_without_line_end_is_noted():
    cut, whole = (
        read_localizations(_source(data)).provenance["notes"]
        for data in (b"xnm,ynm\n1,25", b"xnm,ynm\n1,25\n")
    )
    assert cut == ["the last line has no line end: if the file was cut off, its last number is incomplete"]
    assert whole == []


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf")])
def test_read_localizations__a_pixel_size_that_is_no_length_is_refused(size):
    with pytest.raises(
        ValueError, match=f"pixel_size_nm is {size}: a camera pixel has a positive size in nm"
    ):
        read_localizations(_source(b"x,y\n1,2\n"), size)


def test_unreadable_file__survives_pickling():
    with pytest.raises(UnreadableFile) as error:
        read_localizations(_source(b""))
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


# --- Real files ---


def _real(path, siblings=()):
    return Source(
        path.name, pa.py_buffer(path.read_bytes()), {name.name: name.read_bytes() for name in siblings}
    )


def test_real__thunderstorm_damaged_by_excel(shared_data):
    found = read_localizations(_real(shared_data / "locan" / "Thunderstorm_dstorm_data.csv"))
    assert found.format == "thunderstorm-csv"
    assert {len(values) for values in found.columns.values()} == {19}
    assert found.columns["x_nm"][0] == 1320.109670647555
    assert found.columns["frame"][0] == 2000  # 2001 in the file, counted from 1
    assert found.columns["precision_nm"][0] == np.float32(22.93255128689051)
    assert found.provenance["ignored"] == {"id": "not a column of the lake"}


def test_real__collection_reads_as_the_csv_module_reads_it(shared_data):
    files = [
        path for path in sorted((shared_data / "collection").glob("*/*.csv")) if "_ROI_" not in path.name
    ]
    assert len(files) > 5
    total = 0
    for path in files:
        found = read_localizations(_real(path))
        assert (found.format, found.provenance["frame_base"]) == ("thunderstorm-csv", 1)
        total += len(found.columns["x_nm"])
    assert total == 513_704
    with files[0].open(newline="") as file:
        rows = np.array(list(csv.reader(file))[1:], dtype=np.float64)
    found = read_localizations(_real(files[0]))
    np.testing.assert_array_equal(
        rows, np.column_stack([found.columns["frame"] + 1, found.columns["x_nm"], found.columns["y_nm"]])
    )


def test_real__picasso_localizations(shared_data):
    path = shared_data / "picasso" / "raw_movie_locs.hdf5"
    found = read_localizations(_real(path, [path.with_suffix(".yaml")]))
    with h5py.File(path) as file:
        table = file["locs"][()]
    np.testing.assert_array_equal(found.columns["x_nm"], table["x"].astype(np.float64) * 130)
    np.testing.assert_array_equal(found.columns["frame"], table["frame"])
    np.testing.assert_allclose(
        found.columns["precision_nm"], (table["lpx"] + table["lpy"]) / 2 * 130, rtol=1e-6
    )
    assert found.provenance["pixel_size_from"] == "raw_movie_locs.yaml"


def test_real__picasso_molecule_map(shared_data):
    path = shared_data / "picasso" / "egfr_mols.hdf5"
    found = read_localizations(_real(path, [path.with_suffix(".yaml")]))
    assert len(found.columns["x_nm"]) == 4230
    assert "frame" not in found.columns
    assert found.columns["detections"][0] == 24


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("egfr-ereg/C15_EGFR568_EREG647_FOV1.parquet", "a Parquet table"),
        ("locan/Elyra_dstorm_data.txt", "a Zeiss Elyra table"),
        ("locan/Nanoimager_dstorm_data.csv", "an ONI NimOS table"),
        ("locan/SMLM_dstorm_data.smlm", "a zip archive"),
        ("locan/decode_dstorm_data.h5", "a DECODE file"),
        ("locan/rapidSTORM_dstorm_data.txt", "a rapidSTORM table"),
        ("locan/smap_dstorm_data.mat", "a SMAP file"),
        ("minflux/Fig1a_Tom70-Dreiklang_Minflux.mat", "a MATLAB 5 file"),
    ],
)
def test_real__formats_that_are_not_read_are_named(shared_data, path, what):
    with pytest.raises(UnreadableFile, match=rf"^[\w.-]+: it is {what}.*which is not read yet; export it as"):
        read_localizations(_real(shared_data / path))


# --- Fuzz: nothing but UnreadableFile, whatever the bytes ---


def _survives(source, pixel_size_nm=PIXEL_NM):
    try:
        found = read_localizations(source, pixel_size_nm)
    except UnreadableFile as error:
        assert str(error).startswith(source.name + ": ")
        return
    json.dumps(found.provenance)
    assert np.isfinite(found.columns["x_nm"]).all()
    assert found.columns.keys() <= COLUMNS.keys()


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"x [nm],y [nm]\n", b"x,y,frame\r\n", b"\x89HDF\r\n\x1a\n"]),
)
@example(b"a" + b" " * 60_000 + b"[", b"")
@example(b'"' * 60_000, b"")
def test_fuzz__arbitrary_bytes_raise_nothing_but_unreadable_file(data, head):
    _survives(_source(head + data))


@given(st.text(alphabet="xyznm_[]\"',;\t\n\r .0123456789e-\u00b5\ufeff", max_size=300))
def test_fuzz__text_raises_nothing_but_unreadable_file(text):
    _survives(_source(text.encode()))


MUTABLE = {name: VARIANTS[name]() for name in VARIANTS if name != "picasso, metadata inside"}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.sampled_from(sorted(MUTABLE)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=9)), min_size=1, max_size=4),
    st.floats(0, 1),
)
def test_fuzz__mutated_files_raise_nothing_but_unreadable_file(name, edits, kept):
    written = MUTABLE[name]
    data = bytearray(written.data)
    for place, replacement in edits:
        start = int(place * len(data))
        data[start : start + len(replacement)] = replacement
    data = bytes(data[: max(1, int(kept * len(data)))]) if kept < 0.3 else bytes(data)
    _survives(written.source(data))


@given(st.binary(max_size=60) | st.text(alphabet="Pixelsize: 130\n-[]{}&*!'\"?", max_size=60).map(str.encode))
def test_fuzz__any_yaml_raises_nothing_but_unreadable_file(text):
    _survives(_source(_hdf5(_picasso_table()[:3]), "a.hdf5", {"a.yaml": text}))
