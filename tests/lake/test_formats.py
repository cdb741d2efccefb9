"""One contract for all readers: the same localizations written in every variant read as the same columns."""

import csv
import io
import json
import pickle

import h5py
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from localization_files import PIXEL_NM, ROWS, VARIANTS, hdf5_file, picasso_table, source_of

from lake.columns import COLUMNS
from lake.formats import FORMATS, Source, UnreadableFile, read_localizations


@pytest.fixture(params=VARIANTS)
def written(request):
    return VARIANTS[request.param]()


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
    same = read_localizations(Source(name, pa.py_buffer(written.data), written.siblings), written.pixel_size_nm)
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
        found = read_localizations(Source(path.name, file.read_buffer(), written.siblings), written.pixel_size_nm)
    np.testing.assert_array_equal(found.columns["x_nm"], written.read().columns["x_nm"])


def test_contract__an_empty_file_is_refused(written):
    with pytest.raises(UnreadableFile, match=r"^cell[a-z0-9_.]*: the file is empty; export it again"):
        written.read(b"")


def test_contract__a_file_without_localizations_is_refused(written):
    if written.format == "picasso-hdf5":
        data = hdf5_file(picasso_table()[:0], json.dumps({"Pixelsize": PIXEL_NM}))
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
        table = picasso_table()
        table["y"][4] = float(value)
        data = hdf5_file(table)
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
    delimiter = max(b"\t;,".decode(), key=written.data.lstrip().partition(b"\n")[0].decode("latin-1").count).encode()
    end = b"\r" if b"\n" not in written.data else b"\n"
    lines = written.data.split(end)
    rows = [number for number, line in enumerate(lines) if line.strip()][1:]
    cells = lines[rows[row]].split(delimiter)
    cells[y] = value + (b"\r" if cells[y].endswith(b"\r") else b"")
    lines[rows[row]] = delimiter.join(cells)
    return end.join(lines)


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
        (
            b"sigma [nm],sigma1 [nm],x [nm],y [nm]\n1,2,3,4\n",
            "'sigma \\[nm\\]' and 'sigma1 \\[nm\\]' both give sigma_x_nm",
        ),
        (b"x,y\n1,2\n\n3,four\n5,6\n", "line 4, column 'y': 'four' is not a number; repair that line"),
        (b"\nx,y\r\n1,2\r\nNone,2\r\n", "line 4, column 'x': 'None' is not a number"),
        (b"x;y\n1,5;2,5\n1.5;2\n", r"line 3, column 'x': '1\.5' is not a number"),
        (b"x,y\n" + b"1,2\n" * 200_000 + b"1,two\n", "line 200002, column 'y': 'two' is not a number"),
        (b"x,y\n1,2\n3\n4,5\n", r"line 3 has 1 fields, the header 2; repair that line"),
        (
            b"x,y\n1,2\n\n3,4,5\n",
            r"line 4 has 3 fields, the header 2; repair that line",
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
        read_localizations(source_of(data))
    assert "\n" not in str(error.value)
    assert ";" in str(error.value)


def test_read_localizations__an_hdf5_file_without_locs_lists_its_members():
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        h5["molecules"] = np.arange(3)
    with pytest.raises(
        UnreadableFile, match=r"without Picasso's dataset 'locs'; it holds \['molecules'\]; export it as"
    ):
        read_localizations(source_of(file.getvalue(), "cell.h5"))


def test_read_localizations__optional_columns_keep_their_nan():
    found = read_localizations(source_of(b"x,y,z,precision\n1,2,,NaN\n3,4,nan,\n"))
    assert np.isnan(found.columns["z_nm"]).all()
    assert np.isnan(found.columns["precision_nm"]).all()


def test_read_localizations__numbers_beyond_float32_become_infinite():
    assert np.isinf(read_localizations(source_of(b"x,y,photons\n1,2,1e300\n")).columns["photons"]).all()
    table = np.array([(1, 2, 1e300)], [(name, "f8") for name in ("x", "y", "photons")])
    assert np.isinf(read_localizations(source_of(hdf5_file(table)), 100).columns["photons"]).all()


def test_read_localizations__a_last_line_without_line_end_is_noted():
    cut, whole = (
        read_localizations(source_of(data)).provenance["notes"] for data in (b"xnm,ynm\n1,25", b"xnm,ynm\n1,25\n")
    )
    assert cut == ["the last line has no line end: if the file was cut off, its last number is incomplete"]
    assert whole == []


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf")])
def test_read_localizations__a_pixel_size_that_is_no_length_is_refused(size):
    with pytest.raises(ValueError, match=f"pixel_size_nm is {size}: a camera pixel has a positive size in nm"):
        read_localizations(source_of(b"x,y\n1,2\n"), size)


def test_unreadable_file__survives_pickling():
    with pytest.raises(UnreadableFile) as error:
        read_localizations(source_of(b""))
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


# --- Real files ---


def _real(path, siblings=()):
    return Source(path.name, pa.py_buffer(path.read_bytes()), {name.name: name.read_bytes() for name in siblings})


def test_real__thunderstorm_damaged_by_excel(shared_data):
    found = read_localizations(_real(shared_data / "locan" / "Thunderstorm_dstorm_data.csv"))
    assert found.format == "thunderstorm-csv"
    assert {len(values) for values in found.columns.values()} == {19}
    assert found.columns["x_nm"][0] == 1320.109670647555
    assert found.columns["frame"][0] == 2000  # 2001 in the file, counted from 1
    assert found.columns["precision_nm"][0] == np.float32(22.93255128689051)
    assert found.provenance["ignored"] == {"id": "not a column of the lake"}


def test_real__collection_reads_as_the_csv_module_reads_it(shared_data):
    files = [path for path in sorted((shared_data / "collection").glob("*/*.csv")) if "_ROI_" not in path.name]
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
    np.testing.assert_allclose(found.columns["precision_nm"], (table["lpx"] + table["lpy"]) / 2 * 130, rtol=1e-6)
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
    except UnreadableFile:
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
    _survives(source_of(head + data))


@given(st.text(alphabet="xyznm_[]\"',;\t\n\r .0123456789e-\u00b5\ufeff", max_size=300))
def test_fuzz__text_raises_nothing_but_unreadable_file(text):
    _survives(source_of(text.encode()))


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
    _survives(source_of(hdf5_file(picasso_table()[:3]), "a.hdf5", {"a.yaml": text}))
