"""ThunderSTORM tables: the csv that ThunderSTORM, Picasso and nano-org exchange.

One localization a row, below a header line of names with their unit in square brackets, such as
``"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","chi2","uncertainty [nm]"``.

What is read, and what becomes of it:

* ``x``, ``y`` and, in three dimensions, ``z`` in nm, um or px. ThunderSTORM may write any of the three; px
  needs the size of a camera pixel, ``pixel_size_nm`` in ``dataset.yaml``.
* ``frame``. ThunderSTORM counts from 1, Picasso's export of the same format from 0: where the smallest
  frame is 0 the table counts from 0, otherwise from 1.
* ``intensity``, ``offset`` (background) and ``bkgstd`` in photons. In ADU they are left out, because the
  gain of the camera is not in the file.
* ``uncertainty`` or ``uncertainty_xy``: the lateral localization precision; ``uncertainty_z``: the axial
  one.
* ``sigma``: the width of the fitted spot, both in x and y; an elliptical fit has ``sigma1`` for x and
  ``sigma2`` for y.
* ``chi2``, and ``detections`` after merging. Everything else is left out and listed with its reason.

Commas, tabs (ThunderSTORM's ``.xls`` is such a text) and semicolons with decimal commas, as a European
Excel writes them, are all read; so is a header that Excel has put as a whole into one quoted cell, and one
with no space or several before the bracket. Only ``x`` and ``y`` are required, so ``frame,x [nm],y [nm]``
will do.

Reference: Ovesny et al., Bioinformatics 30, 2389 (2014), doi:10.1093/bioinformatics/btu202.
"""

from lake.formats import delimited, mapping
from lake.formats.delimited import Header
from lake.formats.mapping import Pixel, Use
from lake.formats.source import Localizations, Source, unreadable

NAME = "thunderstorm-csv"
TITLE = "ThunderSTORM csv (x [nm],y [nm])"

_PIXEL_UNITS = ("px", "pixel", "pixels")
_UM = ("um", "\N{MICRO SIGN}m", "\N{GREEK SMALL LETTER MU}m")  # one looks like the other
_NM_PER_UNIT = {"nm": 1.0, **dict.fromkeys(_UM, 1000.0)}

_LENGTHS = {
    "x": ("x_nm",),
    "y": ("y_nm",),
    "z": ("z_nm",),
    "sigma": ("sigma_x_nm", "sigma_y_nm"),
    "sigma1": ("sigma_x_nm",),
    "sigma2": ("sigma_y_nm",),
    "uncertainty": ("precision_nm",),
    "uncertainty_xy": ("precision_nm",),
    "uncertainty_z": ("precision_z_nm",),
}
_LIGHT = {
    "intensity": ("photons",),
    "offset": ("background_photons",),
    "bkgstd": ("background_sd_photons",),
}
_NUMBERS = {"frame": ("frame",), "chi2": ("chi2",), "detections": ("detections",)}


def matches(source: Source) -> bool:
    """Say whether the header has ``x`` or ``y`` with a unit in square brackets.

    Examples
    --------
    >>> import pyarrow as pa
    >>> heads = (b"x [nm],y [nm]", b"x_nm,y_nm", b"PAR1")
    >>> [matches(Source("cell.csv", pa.py_buffer(head))) for head in heads]
    [True, False, False]
    """
    header = delimited.read_header(source)
    names = () if header is None else header.names
    return any(name.endswith("]") and _name_and_unit(name)[0] in ("x", "y") for name in names)


def read(source: Source, pixel_size_nm: float | None) -> Localizations:
    r"""Read a ThunderSTORM table.

    Parameters
    ----------
    source : Source
        The file.
    pixel_size_nm : float or None
        Size of a camera pixel in nm, for tables with lengths in px.

    Returns
    -------
    Localizations
        In units of the lake, frames from 0; not yet in its dtypes.

    Raises
    ------
    UnreadableFile
        Where ``x`` or ``y`` is missing, lengths are in px and no pixel size is given, or rows are damaged.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = b"frame,x [px],y [px],intensity [ADU]\n1,2,3,900\n"
    >>> found = read(Source("cell.csv", pa.py_buffer(table)), 100.0)
    >>> {name: column.tolist() for name, column in found.columns.items()}
    {'frame': [0.0], 'x_nm': [200.0], 'y_nm': [300.0]}
    >>> found.provenance["ignored"]
    {'intensity [ADU]': "in 'ADU', not in photons"}
    """
    header = delimited.read_header(source)
    assert header is not None, "matches() has found the header"
    uses: dict[str, Use] = {}
    ignored: dict[str, str] = {}
    for name in header.names:
        use = _use(source, name, pixel_size_nm)
        if isinstance(use, Use):
            uses[name] = use
        elif name:
            ignored[name] = use
    _refuse_missing(source, header, uses, ignored)
    values = delimited.read_columns(source, header, {name: use.dtype for name, use in uses.items()})
    columns = mapping.convert(values, uses)
    base = mapping.first_frame(columns)
    in_pixels = any(use.unit.lower() in _PIXEL_UNITS for use in uses.values())
    record = mapping.provenance(
        source,
        header.names,
        uses,
        ignored,
        frame_base=base,
        pixel=Pixel(pixel_size_nm, mapping.GIVEN) if in_pixels else Pixel(),
        notes=delimited.notes(source),
    )
    return Localizations(mapping.count_from_zero(columns, base), NAME, record)


def _name_and_unit(header_name: str) -> tuple[str, str]:
    """Split ``X  [nm]`` into ``x`` and ``nm``; the unit is empty where there is none."""
    name, bracket, unit = header_name.removesuffix("]").partition("[")
    return name.strip().lower(), unit.strip() if bracket else ""


def _use(source: Source, header_name: str, pixel_size_nm: float | None) -> Use | str:
    """Return what a column is used for, or why it is ignored."""
    name, unit = _name_and_unit(header_name)
    if name in _NUMBERS:
        return Use(_NUMBERS[name])
    if name in _LIGHT:
        return Use(_LIGHT[name], unit) if unit.lower() in ("photon", "photons") else f"in {unit!r}, not in photons"
    if name not in _LENGTHS:
        return "not a column of the lake"
    if unit.lower() in _NM_PER_UNIT:
        return Use(_LENGTHS[name], unit, _NM_PER_UNIT[unit.lower()])
    if unit.lower() not in _PIXEL_UNITS:
        return f"in {unit!r}, not in nm, um or px"
    if pixel_size_nm is None:
        raise unreadable(
            source,
            f"{header_name!r} is in camera pixels and the size of a pixel is not known",
            "write pixel_size_nm: <nm> into dataset.yaml",
        )
    return Use(_LENGTHS[name], unit, pixel_size_nm)


def _refuse_missing(source: Source, header: Header, uses: dict[str, Use], ignored: dict[str, str]) -> None:
    """Raise where x or y is missing or in a unit that is not known."""
    for axis in ("x", "y"):
        if any(f"{axis}_nm" in use.columns for use in uses.values()):
            continue
        for name, reason in ignored.items():
            if _name_and_unit(name)[0] == axis:
                raise unreadable(
                    source, f"{name!r} is {reason}", f"write its unit into the header, such as {axis} [nm]"
                )
        raise unreadable(
            source,
            f"no column {axis} among {list(header.names)}",
            f"export the file with {axis} [nm], or rename its column so",
        )
