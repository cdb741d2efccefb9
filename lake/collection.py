"""Collections in nano-org's upload form: a folder of dataset folders, on disk or at any fsspec URL.

A dataset folder holds localization files, outlines named ``<file stem>_ROI*.csv`` and ``dataset.yaml``.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import fsspec
import pyarrow as pa

from lake.formats.source import Source

METADATA = "dataset.yaml"
_OUTLINE_MARK = "_ROI"
_SIDE_SUFFIXES = (".yaml", ".yml", "-protocol.txt")
_IGNORED_SUFFIXES = (".md", ".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".svg", ".docx", ".xlsx")
_MAX_SIDE_BYTES = 16 * 2**20  # larger neighbours are no sidecar


@dataclass(frozen=True)
class LocalizationFile:
    """A localization file of a dataset folder.

    Attributes
    ----------
    url : str
        Its full URL.
    name : str
        Its name.
    nbytes : int
        Its size.
    outlines : tuple of str
        URLs of its outlines, in natural order (``_ROI_2`` before ``_ROI_10``).
    siblings : tuple of str
        URLs of small neighbours that a reader may need, such as Picasso's YAML.
    """

    url: str
    name: str
    nbytes: int
    outlines: tuple[str, ...]
    siblings: tuple[str, ...]


@dataclass(frozen=True)
class DatasetFolder:
    """A dataset folder, as it was found.

    Attributes
    ----------
    url : str
        Its URL.
    name : str
        Its last part; with the title it identifies the dataset's origin.
    metadata : str or None
        URL of its ``dataset.yaml``.
    files : tuple of LocalizationFile
        Sorted by name.
    stray_outlines : tuple of str
        Names of outlines without a localization file.
    ignored : tuple of str
        Names of entries that are neither: images, documents, folders.
    """

    url: str
    name: str
    metadata: str | None
    files: tuple[LocalizationFile, ...]
    stray_outlines: tuple[str, ...]
    ignored: tuple[str, ...]


def find_datasets(url: str | os.PathLike[str]) -> list[DatasetFolder]:
    """Return the dataset folders of a collection, sorted by name.

    A folder that holds files itself, beside or without dataset folders, is a dataset folder too.

    Raises
    ------
    ValueError
        If the collection is not there or holds nothing.
    """
    text = os.fspath(url)
    filesystem, root = fsspec.core.url_to_fs(text)
    if not filesystem.isdir(root):
        reason = "is a file" if filesystem.exists(root) else "is not there"
        raise ValueError(f"{text}: {reason}; name a collection, the folder that holds the dataset folders")
    entries = _entries(filesystem, root)
    folders = sorted(e["name"] for e in entries if e["type"] == "directory")
    own = _classify(filesystem, root, entries)
    found = [_classify(filesystem, folder, _entries(filesystem, folder)) for folder in folders]
    found = [folder for folder in found if folder.files or folder.metadata or folder.stray_outlines]
    if own.files or own.metadata or own.stray_outlines:
        found.insert(0, own)
    if not found:
        raise ValueError(f"{text}: no dataset folder here; each needs localization files and {METADATA}")
    return found


def _entries(filesystem: Any, folder: str) -> list[dict[str, Any]]:
    entries = filesystem.ls(folder, detail=True, refresh=True)
    return [
        _followed(filesystem, e)
        for e in entries
        if _name(e["name"]) and not _name(e["name"]).startswith((".", "~$", "__MACOSX"))
    ]


def _followed(filesystem: Any, entry: dict[str, Any]) -> dict[str, Any]:
    """Return what a link leads to; a broken one is a file, so that reading it says what is wrong."""
    if not entry.get("islink"):
        return entry
    try:
        return dict(filesystem.info(entry["name"]))
    except OSError:
        return entry | {"type": "file"}


def _name(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name


def _classify(filesystem: Any, folder: str, entries: Sequence[dict[str, Any]]) -> DatasetFolder:
    files = {_name(e["name"]): e for e in entries if e["type"] == "file" and e["name"].rstrip("/") != folder}
    ignored = [_name(e["name"]) + "/" for e in entries if e["type"] == "directory"]
    sides, outlines, tables = [], [], []
    for name in sorted(files, key=natural_order):
        lower = name.lower()
        if lower.endswith(_SIDE_SUFFIXES):
            sides.append(name)
        elif lower.endswith(_IGNORED_SUFFIXES) or lower.split(".")[0] in ("readme", "license", "thumbs"):
            ignored.append(name)
        elif lower.endswith(".csv") and _OUTLINE_MARK in name:
            outlines.append(name)
        else:
            tables.append(name)
    owner = {outline: _owner(outline, tables) for outline in outlines}
    return DatasetFolder(
        url=filesystem.unstrip_protocol(folder),
        name=_name(folder),
        metadata=_url(filesystem, files[METADATA]) if METADATA in files else None,
        files=tuple(
            LocalizationFile(
                url=_url(filesystem, files[name]),
                name=name,
                nbytes=int(files[name]["size"] or 0),
                outlines=tuple(_url(filesystem, files[o]) for o in outlines if owner[o] == name),
                siblings=tuple(
                    _url(filesystem, files[s])
                    for s in sides
                    if s != METADATA and s.startswith(_stem(name)) and files[s]["size"] <= _MAX_SIDE_BYTES
                ),
            )
            for name in tables
        ),
        stray_outlines=tuple(outline for outline in outlines if owner[outline] is None),
        ignored=tuple(ignored),
    )


def _url(filesystem: Any, entry: dict[str, Any]) -> str:
    return str(filesystem.unstrip_protocol(entry["name"]))


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0]


def _owner(outline: str, tables: Sequence[str]) -> str | None:
    """Return the file whose stem is the longest that the outline's name begins with."""
    owners = [name for name in tables if outline.startswith(_stem(name) + _OUTLINE_MARK)]
    return max(owners, key=lambda name: len(_stem(name)), default=None)


def natural_order(name: str) -> list[tuple[int, int | str]]:
    """Return a key that sorts numbers by value.

    Examples
    --------
    >>> sorted(["a_ROI_10.csv", "a_ROI_2.csv"], key=natural_order)
    ['a_ROI_2.csv', 'a_ROI_10.csv']
    """
    parts: list[tuple[int, int | str]] = []
    digits = ""
    for character in name + "\0":
        if character.isascii() and character.isdigit():
            digits += character
            continue
        if digits:
            parts.append((0, int(digits)))
            digits = ""
        parts.append((1, character))
    return parts


def read_bytes(url: str) -> bytes:
    """Return the content of a file at any fsspec URL."""
    filesystem, path = fsspec.core.url_to_fs(url)
    return bytes(filesystem.cat_file(path))


def open_source(file: LocalizationFile) -> Source:
    """Open a localization file for its reader: memory-mapped where it is local, else downloaded."""
    filesystem, path = fsspec.core.url_to_fs(file.url)
    local = "file" in (filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,))
    if local and file.nbytes:
        with pa.memory_map(path) as mapped:
            data = mapped.read_buffer()
    else:
        data = pa.py_buffer(filesystem.cat_file(path))
    return Source(file.name, data, {_name(s): read_bytes(s) for s in file.siblings})


def digest(file: LocalizationFile) -> tuple[str, str]:
    """Return the SHA-256 of a localization file, and that of its outlines and siblings together."""
    own = hashlib.sha256(open_source(file).data).hexdigest()
    others = hashlib.sha256()
    for url in (*file.outlines, *file.siblings):
        others.update(f"{_name(url)}\0".encode() + hashlib.sha256(read_bytes(url)).digest())
    return own, others.hexdigest()


def file_at(url: str | os.PathLike[str], outlines: Sequence[str | os.PathLike[str]] = ()) -> LocalizationFile:
    """Describe a single localization file, with the outlines that somebody names for it, or those beside it.

    Raises
    ------
    ValueError
        If the file is not there.
    """
    text = os.fspath(url)
    filesystem, path = fsspec.core.url_to_fs(text)
    if not filesystem.isfile(path):
        raise ValueError(f"{text}: no such file")
    folder = path.rsplit("/", 1)[0]
    found = _classify(filesystem, folder, _entries(filesystem, folder))
    beside = {file.name: file for file in found.files}.get(_name(path))
    named = tuple(os.fspath(o) for o in outlines)
    if beside is not None:
        return replace(beside, outlines=named or beside.outlines)
    # A name that no dataset folder would take for a localization file, but somebody asked for it.
    return LocalizationFile(str(filesystem.unstrip_protocol(path)), _name(path), filesystem.size(path), named, ())
