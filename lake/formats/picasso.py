"""Picasso HDF5: what Picasso saves, also SMAP's export to Picasso, and Picasso's molecule maps.

One table ``/locs`` with a row for each localization:

* ``x``, ``y`` and the widths ``sx``, ``sy`` are in camera pixels and are multiplied by the pixel size;
  ``z`` is in nm already.
* ``lpx``, ``lpy`` (camera pixels) become one lateral precision, ``precision_nm = (lpx + lpy) / 2 * pixel
  size``; ``lpz`` is in nm.
* ``frame`` counts from 0. In a molecule map it is the mean of many frames (``std_frame`` stands beside it);
  no camera frame has that number, so it is left out.
* ``photons``; ``bg``, the background photons of a pixel; ``group``; and ``n``, the localizations merged
  into one, as ``detections``. Everything else is left out and listed.

The pixel size is ``Pixelsize`` (nm) of the last document that has it in the ``.yaml`` beside the file, else
of the metadata that Picasso 0.11 and later keep inside the file, else ``pixel_size_nm`` in
``dataset.yaml``. SMAP writes none at all. ``Camera.Pixelsize`` is a property of the camera driver and never
used.

Reference: Schnitzbauer et al., Nature Protocols 12, 1198 (2017), doi:10.1038/nprot.2017.024.
"""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import h5py
import numpy as np
import yaml
from numpy.typing import NDArray

from lake.formats import hdf5, mapping
from lake.formats.mapping import Pixel, Use
from lake.formats.source import Localizations, Source, UnreadableFile, unreadable

NAME = "picasso-hdf5"
TITLE = "Picasso HDF5"

_IN_PIXELS = {"x": "x_nm", "y": "y_nm", "sx": "sigma_x_nm", "sy": "sigma_y_nm"}
_AS_THEY_ARE = {
    "z": ("z_nm", "nm"),
    "lpz": ("precision_z_nm", "nm"),
    "frame": ("frame", ""),
    "photons": ("photons", "photon"),
    "bg": ("background_photons", "photon"),
    "n": ("detections", ""),
    "group": ("group", ""),
}
_PRECISIONS = ("lpx", "lpy")
_DEEPEST_NESTING = 100  # of the YAML; libyaml needs minutes for thousands of levels
_MOST_COMPRESSION = 1032  # deflate cannot shrink more, so a table that claims more bytes is damaged


def matches(source: Source) -> bool:
    """Say whether the file is an HDF5 file that opens, is sound enough to be read, and has a member ``locs``.

    Examples
    --------
    >>> import pyarrow as pa
    >>> matches(Source("cell.hdf5", pa.py_buffer(b"x [nm],y [nm]")))
    False
    """
    if not hdf5.is_hdf5(source):
        return False
    try:
        hdf5.refuse_damaged_heaps(source)
        with hdf5.opened(source) as file:
            return "locs" in file
    except Exception:  # noqa: BLE001 -- h5py raises anything on damaged files; unread.refusal says what
        return False


def read(source: Source, pixel_size_nm: float | None) -> Localizations:
    """Read a Picasso file.

    Parameters
    ----------
    source : Source
        The file; its sibling ``<stem>.yaml`` holds the pixel size.
    pixel_size_nm : float or None
        Size of a camera pixel in nm, used where neither the ``.yaml`` nor the file says it.

    Returns
    -------
    Localizations
        In units of the lake; not yet in its dtypes.

    Raises
    ------
    UnreadableFile
        Where the pixel size is unknown, x or y is missing, or the file or its ``.yaml`` is damaged.

    Examples
    --------
    >>> import io, pyarrow as pa
    >>> file = io.BytesIO()
    >>> with h5py.File(file, "w") as h5:
    ...     h5["locs"] = np.array([(4, 10, 20, 0.1, 0.3)], "u4, f4, f4, f4, f4").view(
    ...         [("frame", "u4"), ("x", "f4"), ("y", "f4"), ("lpx", "f4"), ("lpy", "f4")])
    >>> source = Source("cell.hdf5", pa.py_buffer(file.getvalue()), {"cell.yaml": b"Pixelsize: 130"})
    >>> {name: column.round(3).tolist() for name, column in read(source, None).columns.items()}
    {'frame': [4], 'x_nm': [1300.0], 'y_nm': [2600.0], 'precision_nm': [26.0]}
    """
    sibling = PurePosixPath(source.name).stem + ".yaml"
    names, values, found, origin = _contents(source, sibling)
    if found is None and pixel_size_nm is None:
        raise unreadable(
            source,
            f"its lengths are in camera pixels, and neither {sibling} nor the file has a Pixelsize",
            f"put {sibling} beside it, or write pixel_size_nm: <nm> into dataset.yaml",
        )
    pixel, notes = _pixel(source, found, origin, pixel_size_nm)
    uses = {name: _use(name, pixel) for name in values}
    ignored = {name: "not a column of the lake" for name in names if name not in uses and name not in _PRECISIONS}
    if "frame" in uses and "std_frame" in names:
        del uses["frame"]
        ignored["frame"] = "a mean over frames, not the number of one"
    columns = mapping.convert(values, uses)
    base = 0 if "frame" in uses else None
    record = mapping.provenance(source, names, uses, ignored, frame_base=base, pixel=pixel, notes=notes)
    return Localizations(columns, NAME, record)


def _contents(source: Source, sibling: str) -> tuple[list[str], dict[str, NDArray[Any]], str | None, str]:
    """Return the names and values of the table, the pixel size as written and where it stands."""
    found, origin = _yaml_pixel_size(source, sibling), sibling
    try:
        with hdf5.opened(source) as file:
            names, values = _table(source, file["locs"])
            if found is None:
                found, origin = _embedded_pixel_size(source, file), "metadata in the file"
    except UnreadableFile:
        raise
    except Exception as error:  # noqa: BLE001 -- h5py raises anything on damaged files; all mean the same
        raise unreadable(source, f"a damaged or truncated HDF5 file ({error})", "copy or export it again") from None
    return names, values, found, origin


def _table(source: Source, locs: Any) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Return all names of the table, and the values of those that are used."""
    if not isinstance(locs, h5py.Dataset) or locs.dtype.names is None or locs.ndim != 1:
        raise unreadable(source, "its 'locs' is not a table with one row a localization", "save it again with Picasso")
    names = list(locs.dtype.names)
    for name in ("x", "y"):
        if name not in names:
            raise unreadable(source, f"no column {name} among {names}", "save it again with Picasso")
    if locs.size * locs.dtype.itemsize > _MOST_COMPRESSION * source.data.size:
        raise unreadable(source, f"a damaged HDF5 file: {locs.size} rows in {source.data.size} bytes", "copy it again")
    used = [name for name in names if name in _AS_THEY_ARE or name in _IN_PIXELS or name in _PRECISIONS]
    for name in used:
        if locs.dtype[name].kind not in "fiu":
            raise unreadable(
                source,
                f"its column {name!r} holds {locs.dtype[name]}, not numbers",
                "save it again with Picasso",
            )
    rows = locs.fields(used)[()]
    values = {name: rows[name] for name in used if name not in _PRECISIONS}
    precisions = [rows[name] for name in _PRECISIONS if name in used]
    if precisions:
        values[", ".join(name for name in _PRECISIONS if name in used)] = np.mean(precisions, 0, np.float64)
    return names, values


def _use(name: str, pixel: Pixel) -> Use:
    """Return what a column, or the pair of lateral precisions, is used for."""
    if name in _AS_THEY_ARE:
        column, unit = _AS_THEY_ARE[name]
        return Use((column,), unit)
    assert pixel.size_nm is not None, "_pixel() returns a size or raises"
    return Use((_IN_PIXELS.get(name, "precision_nm"),), "px", pixel.size_nm)


def _pixel(source: Source, found: str | None, origin: str, given_nm: float | None) -> tuple[Pixel, list[str]]:
    """Return the pixel size that was found, else the given one, and a note where they differ by over 1 %."""
    if found is None:
        return Pixel(given_nm, mapping.GIVEN), []
    try:
        size_nm = float(found)
    except ValueError:
        size_nm = float("nan")
    if not 0 < size_nm < float("inf"):
        raise unreadable(
            source, f"Pixelsize in {origin} is {found[:40]!r}", "give the size of a camera pixel there in nm"
        )
    if given_nm is None or abs(given_nm - size_nm) <= 0.01 * size_nm:
        return Pixel(size_nm, origin), []
    note = f"a pixel size of {size_nm:g} nm from {origin} was used, not the {given_nm:g} nm given"
    return Pixel(size_nm, origin), [note]


def _yaml_pixel_size(source: Source, sibling: str) -> str | None:
    """Return the last ``Pixelsize`` of the documents in the sibling; None where there is none."""
    found = None
    try:
        for key, value in _top_level(source.siblings.get(sibling, b"")):
            found = value if key == "Pixelsize" else found
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise unreadable(source, f"{sibling} beside it is not YAML: {error}", f"repair {sibling}") from None
    return found


def _top_level(document: bytes) -> Iterator[tuple[str, str]]:
    """Yield key and value of the scalars at the top of each YAML document.

    The parser's events are enough, and safe: no object is built, whatever tags the file has, and no depth of
    nesting can overflow the stack, as it does in libyaml's composer.
    """
    depth, in_mapping, key = 0, False, None
    for event in yaml.parse(document, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            in_mapping = isinstance(event, yaml.MappingStartEvent) if depth == 0 else in_mapping
            depth, key = depth + 1, None
            if depth > _DEEPEST_NESTING:
                raise yaml.YAMLError(f"nested more than {_DEEPEST_NESTING} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth, key = depth - 1, None
        elif isinstance(event, yaml.NodeEvent) and depth == 1 and in_mapping:
            value = getattr(event, "value", "")  # an alias has none
            if key is None:
                key = value
            else:
                yield key, value
                key = None


def _embedded_pixel_size(source: Source, file: Any) -> str | None:
    """Return the last ``Pixelsize`` of the metadata inside the file; None where there is none."""
    metadata = file.get("metadata")
    if (
        not isinstance(metadata, h5py.Dataset)
        or metadata.shape != ()
        or h5py.check_string_dtype(metadata.dtype) is None
    ):
        return None
    try:
        documents = json.loads(metadata[()])
    except (ValueError, RecursionError) as error:
        raise unreadable(source, f"its metadata is not JSON: {error}", "save it again with Picasso") from None
    found = None
    for document in documents if isinstance(documents, list) else [documents]:
        if isinstance(document, dict) and "Pixelsize" in document:
            found = str(document["Pixelsize"])
    return found
