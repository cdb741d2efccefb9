"""What a file is that no reader takes: the formats that are known by sight but not read, and what to do."""

from lake.formats import delimited, hdf5
from lake.formats.delimited import Header
from lake.formats.source import Source, UnreadableFile, unreadable

_MAGIC = (
    (b"PAR1", "a Parquet table"),
    (b"ARROW1", "an Arrow table"),
    (b"PK\x03\x04", "a zip archive (also ShareLoc .smlm, Excel .xlsx, NumPy .npz)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB 5 file (SMAP, MINFLUX)"),
    (b"\x93NUMPY", "a NumPy array (MINFLUX)"),
    (b"#ASDF", "an ASDF file (locan)"),
    (b"M425", "an Insight3 molecule list"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\x89PNG", "a PNG image"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xfe", "UTF-16 text (Excel's Unicode Text)"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"# <localizations", "a rapidSTORM table"),
    (b"# DECODE EmitterSet", "a DECODE table"),
    (b"# x[nm]", "an ONI CODI table"),
    (b"Index\tFirst Frame", "a Zeiss Elyra table"),  # by its first bytes: its end is binary
)
# Names that stand together in the header of one program only.
_TEXT = (
    ({"xc", "yc"}, "a Nikon N-STORM table"),
    ({"x", "y", "channel", "width", "bg", "length", "area", "frame"}, "a Picasso NIS table"),
    ({"x (nm)", "y (nm)"}, "an ONI NimOS table"),
    ({"x_(px)", "y_(px)"}, "a DoM Utrecht table"),
)
_HDF5_MEMBERS = (
    ({"saveloc"}, "a SMAP file (MATLAB 7.3)"),
    ({"data", "decode", "meta"}, "a DECODE file"),
    ({"fr_0"}, "a storm-analysis file"),
    ({"groups"}, "a Picasso pick property file"),
)


def known_text(header: Header) -> str | None:
    r"""Name the program whose text table this is, where it is one that is known but not read.

    Examples
    --------
    >>> known_text(Header(("Channel Name", "X", "Y", "Xc", "Yc"), "\t", 1, 20))
    'a Nikon N-STORM table'
    """
    names = {name.lower() for name in header.names}
    return next((title for wanted, title in _TEXT if wanted <= names), None)


def refusal(source: Source, known: list[str]) -> UnreadableFile:
    """Return the error for a file that no reader takes.

    Parameters
    ----------
    source : Source
        The file.
    known : list of str
        The formats that are read, for the message.

    Returns
    -------
    UnreadableFile
        Saying what the file is or how it begins.

    Examples
    --------
    >>> import pyarrow as pa
    >>> print(refusal(Source("cell.csv", pa.py_buffer(b"PAR1....")), ["plain csv"]))
    cell.csv: it is a Parquet table, which is not read yet; export it as one of: plain csv
    """
    formats = "export it as one of: " + ", ".join(known)
    if hdf5.is_hdf5(source):
        return _hdf5_refusal(source, formats)
    head = source.head(64)
    title = next((title for magic, title in _MAGIC if head.startswith(magic)), None)
    header = delimited.read_header(source)
    if title is None and header is not None:
        title = known_text(header)
    if title is not None:
        return unreadable(source, f"it is {title}, which is not read yet", formats)
    if header is None:
        return unreadable(source, f"neither text nor a known binary format; it begins {head[:16]!r}", formats)
    return _text_refusal(source, header, formats)


def _text_refusal(source: Source, header: Header, formats: str) -> UnreadableFile:
    """Say what is wrong with a text that is no localization table."""
    if not any(header.names):
        return unreadable(source, "the file is empty but for white space", "export it again or remove it")
    if all(_is_number(name) for name in header.names if name):
        return unreadable(
            source,
            f"it has no header, its first line is numbers: {_shortened(header)}",
            "put a header line above them, such as frame,x [nm],y [nm]",
        )
    return unreadable(source, f"no known format: no columns x and y, its first line is {_shortened(header)}", formats)


def _hdf5_refusal(source: Source, formats: str) -> UnreadableFile:
    """Say what is wrong with an HDF5 file that is not Picasso's."""
    try:
        hdf5.refuse_damaged_heaps(source)
        with hdf5.opened(source) as file:
            members = {str(name) for name in file}
    except Exception as error:  # noqa: BLE001 -- h5py raises anything on damaged files; all mean the same
        return unreadable(source, f"a damaged or truncated HDF5 file ({error})", "copy or export it again")
    for wanted, title in _HDF5_MEMBERS:
        if wanted <= members:
            return unreadable(source, f"it is {title}, which is not read yet", formats)
    listed = sorted(members)[:10]
    return unreadable(source, f"an HDF5 file without Picasso's dataset 'locs'; it holds {listed}", formats)


def _is_number(cell: str) -> bool:
    """Say whether a cell is a number, with a decimal point or a decimal comma."""
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _shortened(header: Header) -> str:
    """Return the header line for a message."""
    line = header.delimiter.join(header.names)
    return repr(line if len(line) <= 100 else line[:100] + "...")
