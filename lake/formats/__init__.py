"""Readers of localization files, one module a format, and the door to them: :func:`read_localizations`."""

from dataclasses import replace

from lake.formats import nanometres, picasso, thunderstorm, unread
from lake.formats.checks import lake_columns
from lake.formats.source import Format, Localizations, Source, UnreadableFile, unreadable

__all__ = ["FORMATS", "Format", "Localizations", "Source", "UnreadableFile", "read_localizations"]

FORMATS: tuple[Format, ...] = (thunderstorm, nanometres, picasso)
"""The formats that are read. Their ``matches`` exclude each other, so the order does not matter."""


def read_localizations(source: Source, pixel_size_nm: float | None = None) -> Localizations:
    r"""Read a localization file in any of the known formats, told apart by content.

    Parameters
    ----------
    source : Source
        The file.
    pixel_size_nm : float, optional
        Size of a camera pixel in the sample in nm, for files with lengths in pixels that do not say it
        themselves.

    Returns
    -------
    Localizations
        In the columns, units and dtypes of :mod:`lake.columns`; frames count from 0.

    Raises
    ------
    UnreadableFile
        Where the file is empty, damaged, of an unknown format, or not a table of finite coordinates.
    ValueError
        Where `pixel_size_nm` is not a positive number.

    Examples
    --------
    >>> import pyarrow as pa
    >>> found = read_localizations(Source("cell.csv", pa.py_buffer(b"frame,x [um],y [um]\n1,0.5,2\n")))
    >>> found.format, {name: column.tolist() for name, column in found.columns.items()}
    ('thunderstorm-csv', {'x_nm': [500.0], 'y_nm': [2000.0], 'frame': [0]})
    """
    if pixel_size_nm is not None and not 0 < pixel_size_nm < float("inf"):
        raise ValueError(f"pixel_size_nm is {pixel_size_nm}: a camera pixel has a positive size in nm")
    if source.data.size == 0:
        raise unreadable(source, "the file is empty", "export it again or remove it")
    for module in FORMATS:
        if module.matches(source):
            found = module.read(source, pixel_size_nm)
            return replace(found, columns=lake_columns(source, found.columns))
    raise unread.refusal(source, [module.TITLE for module in FORMATS])
