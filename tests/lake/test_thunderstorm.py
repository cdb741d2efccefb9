"""The traps of ThunderSTORM tables."""

import numpy as np
import pytest
from localization_files import source_of

from lake.formats import UnreadableFile, read_localizations


def test_thunderstorm__a_smallest_frame_of_zero_means_counting_from_zero():
    table = b"frame,x [nm],y [nm]\n%d,1,2\n7,3,4\n"
    from_zero, from_one = (read_localizations(source_of(table % first)) for first in (0, 1))
    assert (from_zero.columns["frame"].tolist(), from_zero.provenance["frame_base"]) == ([0, 7], 0)
    assert (from_one.columns["frame"].tolist(), from_one.provenance["frame_base"]) == ([0, 6], 1)


def test_thunderstorm__pixels_without_a_pixel_size_ask_for_it():
    with pytest.raises(
        UnreadableFile,
        match=r"^cell\.csv: 'x \[px\]' is in camera pixels .*; write pixel_size_nm: <nm> into dataset\.yaml$",
    ):
        read_localizations(source_of(b"x [px],y [px]\n1,2\n"))


def test_thunderstorm__the_pixel_size_used_is_recorded_only_where_it_was_needed():
    in_pixels = read_localizations(source_of(b"x [px],y [px]\n1,2\n"), 117)
    in_nm = read_localizations(source_of(b"x [nm],y [nm]\n1,2\n"), 117)
    assert in_pixels.columns["y_nm"].tolist() == [234.0]
    assert (in_pixels.provenance["pixel_size_nm"], in_pixels.provenance["pixel_size_from"]) == (
        117,
        "given as pixel_size_nm",
    )
    assert in_nm.provenance["pixel_size_nm"] is None


def test_thunderstorm__units_are_taken_column_by_column():
    found = read_localizations(source_of(b"x [um],y [nm],z [px],uncertainty [um]\n1,2,3,0.02\n"), 100)
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


def test_thunderstorm__one_sigma_fills_two_columns_of_their_own():
    columns = read_localizations(source_of(b"x [nm],y [nm],sigma [nm]\n1,2,150\n")).columns
    assert columns["sigma_x_nm"] == columns["sigma_y_nm"] == 150
    assert not np.shares_memory(columns["sigma_x_nm"], columns["sigma_y_nm"])


def test_thunderstorm__adu_is_ignored_with_its_reason():
    found = read_localizations(source_of(b"id,x [nm],y [nm],intensity [ADU],sigma [deg]\n1,1,2,900,3\n"))
    assert list(found.columns) == ["x_nm", "y_nm"]
    assert found.provenance["ignored"] == {
        "id": "not a column of the lake",
        "intensity [ADU]": "in 'ADU', not in photons",
        "sigma [deg]": "in 'deg', not in nm, um or px",
    }


@pytest.mark.parametrize("unit", ["furlong", ""])
def test_thunderstorm__an_unknown_unit_of_a_coordinate_is_refused(unit):
    with pytest.raises(UnreadableFile, match=rf"'x \[{unit}\]' is in '{unit}', not in nm, um or px; write its unit"):
        read_localizations(source_of(f"x [{unit}],y [nm]\n1,2\n".encode()))


def test_thunderstorm__text_in_a_column_that_is_not_read_does_no_harm():
    found = read_localizations(source_of(b"comment,x [nm],y [nm]\nmitosis?,1,2\n\xff\xfe,3,4\n"))
    assert found.columns["x_nm"].tolist() == [1.0, 3.0]


def test_thunderstorm__quoted_numbers_are_numbers():
    assert read_localizations(source_of(b'"x [nm]","y [nm]"\n"1.5","2"\n')).columns["x_nm"].tolist() == [1.5]


def test_thunderstorm__trailing_separators_of_a_spreadsheet_are_allowed():
    found = read_localizations(source_of(b"x [nm],y [nm],,\n1,2,,\n"))
    assert found.columns["y_nm"].tolist() == [2.0]
