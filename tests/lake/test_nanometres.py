"""The traps of plain tables in nanometres."""

from localization_files import source_of

from lake.formats import read_localizations


def test_nanometres__the_assumed_unit_is_recorded():
    assumed, named = (
        read_localizations(source_of(head + b"\n100,200,3\n9000,8000,4\n")).provenance
        for head in (b"X,Y,photons", b"x_nm,ynm,photons")
    )
    assert assumed["units"] == {"X": "nm (assumed)", "Y": "nm (assumed)", "photons": "photon"}
    assert assumed["notes"] == ["no unit in the header for ['X', 'Y']: nm is assumed"]
    assert (named["units"], named["notes"]) == ({"x_nm": "nm", "ynm": "nm", "photons": "photon"}, [])


def test_nanometres__a_field_too_small_for_nm_is_noted():
    (_, note) = read_localizations(source_of(b"x,y\n0.5,81\n30,2\n")).provenance["notes"]
    assert note == (
        "x and y span 29.5 x 79, small for nm: if they are in um or pixels, write x [um],y [um] or x [px],y [px] "
        "into the header"
    )


def test_nanometres__the_lakes_own_frames_count_from_zero_though_none_is_zero():
    own, other = (read_localizations(source_of(head + b",frame\n1,2,5\n")) for head in (b"x_nm,y_nm", b"xnm,ynm"))
    assert (own.columns["frame"].tolist(), other.columns["frame"].tolist()) == ([5], [4])


def test_nanometres__intensity_is_not_taken_for_photons():
    found = read_localizations(source_of(b"x,y,intensity\n1,2,3\n"))
    assert list(found.columns) == ["x_nm", "y_nm"]
    assert found.provenance["ignored"] == {"intensity": "not a column of the lake"}


def test_nanometres__a_bracket_in_another_column_does_no_harm():
    assert read_localizations(source_of(b"x,y,intensity [photon]\n1,2,3\n")).format == "nanometre-csv"
