"""The localization columns that a lake stores: one table of name, dtype, unit and meaning.

Every reader of :mod:`lake.formats` returns these names in these units, whatever its file called them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column of a localization table.

    Attributes
    ----------
    name : str
        Name in the lake; the unit, where there is one, is its last part.
    dtype : str
        NumPy dtype of the stored array.
    unit : str
        Unit, empty for counts and numbers without one.
    meaning : str
        One line for readers of the data.
    """

    name: str
    dtype: str
    unit: str
    meaning: str


COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        # Positions are float64: a field of 100 um at 0.01 nm needs more than float32's 24 bits.
        Column("x_nm", "float64", "nm", "position along x"),
        Column("y_nm", "float64", "nm", "position along y"),
        Column("z_nm", "float64", "nm", "position along the optical axis"),
        Column("frame", "int32", "", "camera frame of the (first) detection, counted from 0"),
        Column("photons", "float32", "photon", "photons of the localization"),
        Column("background_photons", "float32", "photon", "background below the localization, per pixel"),
        Column("background_sd_photons", "float32", "photon", "standard deviation of the background"),
        Column("precision_nm", "float32", "nm", "lateral localization precision"),
        Column("precision_z_nm", "float32", "nm", "axial localization precision"),
        Column("sigma_x_nm", "float32", "nm", "width of the fitted point spread function along x"),
        Column("sigma_y_nm", "float32", "nm", "width of the fitted point spread function along y"),
        Column("chi2", "float32", "", "misfit of the point spread function"),
        Column("detections", "int32", "", "detections merged into the localization"),
        Column("channel", "int32", "", "colour channel, counted from 0"),
        Column("group", "int32", "", "group, trace or cluster given by the localization software"),
    )
}

REQUIRED = ("x_nm", "y_nm")
"""Columns without which a table is not a localization table."""
