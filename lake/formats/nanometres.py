"""Plain csv in nanometres: the tables people write with a few lines of their own, or export from SMAP.

One localization a row below one header of names without brackets, such as ``x,y``, ``X,Y``, ``x_nm,y_nm``
or SMAP's ``xnm,ynm,znm,frame,locprecnm,phot,bg``. The names of the lake itself are read too, so what was
taken out of a lake can go back in. Upper and lower case are the same. Commas, tabs, and semicolons with
decimal commas all separate columns.

* Lengths are taken to be in nm. Where the header does not say so (``x,y``) this is noted beside the data;
  give other units in brackets, ``x [um],y [um]`` or ``x [px],y [px]``, and the table is read as a
  ThunderSTORM one.
* ``frame`` counts from 0 where the coordinates are called ``x_nm`` and ``y_nm``, as the lake writes them.
  In any other table it counts from 0 where a frame 0 exists, and otherwise from 1.
* ``photons`` or ``phot``, ``bg``, ``precision`` or ``uncertainty``, ``channel``, ``group`` and a few more
  are read by name. ``intensity`` is not, because nothing says that it counts photons. Columns left out are
  listed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lake.columns import COLUMNS
from lake.formats import delimited, mapping, thunderstorm, unread
from lake.formats.mapping import Pixel, Use
from lake.formats.source import Localizations, Source, unreadable

NAME = "nanometre-csv"
TITLE = "plain csv in nanometres (x_nm,y_nm)"

_ALIASES = {
    "x_nm": ("x", "xnm", "xnano"),
    "y_nm": ("y", "ynm", "ynano"),
    "z_nm": ("z", "znm", "znano"),
    "photons": ("phot",),
    "background_photons": ("bg",),
    "precision_nm": ("precision", "locprecnm", "uncertainty", "uncertainty_nm", "uncertainty_xy"),
    "precision_z_nm": ("precision_z", "locprecznm", "uncertainty_z"),
    "sigma_x_nm": ("sigma_x", "psfxnm"),
    "sigma_y_nm": ("sigma_y", "psfynm"),
}
_COLUMN_BY_NAME = {name: name for name in COLUMNS} | {
    alias: column for column, aliases in _ALIASES.items() for alias in aliases
}
_SMALL_FIELD_NM = 1000.0  # no camera images so little: numbers below it are rather um or pixels


def matches(source: Source) -> bool:
    """Say whether the header has x or y without a unit, or with nm in the name.

    Examples
    --------
    >>> import pyarrow as pa
    >>> heads = (b"X,Y", b"xnm;ynm", b"x [nm],y [nm]", b"1.5,2.5", b"Channel Name,X,Y,Xc,Yc")
    >>> [matches(Source("cell.csv", pa.py_buffer(head))) for head in heads]
    [True, True, False, False, False]
    """
    header = delimited.read_header(source)
    # A mixed header, `x [nm],y`, is ThunderSTORM's to refuse: there it is known what is missing.
    if header is None or unread.known_text(header) is not None or thunderstorm.matches(source):
        return False
    return any(_COLUMN_BY_NAME.get(name.lower()) in ("x_nm", "y_nm") for name in header.names)


def read(source: Source, pixel_size_nm: float | None) -> Localizations:  # noqa: ARG001 -- Format's signature
    r"""Read a plain table in nanometres.

    Parameters
    ----------
    source : Source
        The file.
    pixel_size_nm : float or None
        Not needed.

    Returns
    -------
    Localizations
        In units of the lake, frames from 0; not yet in its dtypes.

    Raises
    ------
    UnreadableFile
        Where x or y is missing, two columns claim one meaning, or rows are damaged.

    Examples
    --------
    >>> import pyarrow as pa
    >>> found = read(Source("cell.csv", pa.py_buffer(b"xnm,ynm,frame,colour\n1500,2500,7,1\n")), None)
    >>> {name: column.tolist() for name, column in found.columns.items()}
    {'x_nm': [1500.0], 'y_nm': [2500.0], 'frame': [6.0]}
    >>> found.provenance["frame_base"], found.provenance["ignored"]
    (1, {'colour': 'not a column of the lake'})
    """
    header = delimited.read_header(source)
    assert header is not None, "matches() has found the header"
    uses = {name: _use(name) for name in header.names if name.lower() in _COLUMN_BY_NAME}
    given = {column for use in uses.values() for column in use.columns}
    for axis in ("x", "y"):
        if f"{axis}_nm" not in given:
            raise unreadable(
                source,
                f"no column {axis} among {list(header.names)}",
                f"export the file with {axis}_nm, or rename its column so",
            )
    values = delimited.read_columns(source, header, {name: use.dtype for name, use in uses.items()})
    columns = mapping.convert(values, uses)
    base = 0 if {"x_nm", "y_nm"} <= uses.keys() and "frame" in columns else mapping.first_frame(columns)
    record = mapping.provenance(
        source,
        header.names,
        uses,
        {name: "not a column of the lake" for name in header.names if name and name not in uses},
        frame_base=base,
        pixel=Pixel(),
        notes=_notes(uses, columns) + delimited.notes(source),
    )
    return Localizations(mapping.count_from_zero(columns, base), NAME, record)


def _use(name: str) -> Use:
    """Return what a known column is used for; its unit says whether the name or we know it."""
    column = COLUMNS[_COLUMN_BY_NAME[name.lower()]]
    assumed = column.unit == "nm" and "nm" not in name.lower()
    return Use((column.name,), "nm (assumed)" if assumed else column.unit)


def _notes(uses: dict[str, Use], columns: dict[str, NDArray[Any]]) -> list[str]:
    """Return what was assumed, and where the numbers speak against it."""
    assumed = [name for name, use in uses.items() if use.unit == "nm (assumed)"]
    if not assumed:
        return []
    notes = [f"no unit in the header for {assumed}: nm is assumed"]
    with np.errstate(invalid="ignore"):  # infinite coordinates are refused later
        spans = [np.ptp(columns[name]) if len(columns[name]) else np.nan for name in ("x_nm", "y_nm")]
    if max(spans) < _SMALL_FIELD_NM and not {"x_nm", "y_nm"} <= uses.keys():
        notes.append(
            f"x and y span {spans[0]:g} x {spans[1]:g}, small for nm: if they are in um or pixels, "
            "write x [um],y [um] or x [px],y [px] into the header"
        )
    return notes
