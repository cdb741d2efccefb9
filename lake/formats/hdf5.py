"""HDF5 files from a buffer: telling them by their signature, opening them, refusing what hangs libhdf5."""

import re
import struct
from typing import Any

import h5py
import pyarrow as pa

from lake.formats.source import Source

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAP_SIGNATURE = re.compile(rb"GCOL\x01\0\0\0")
_HEAP_HEADER = struct.Struct("<8xQ")  # size of the collection with this header
_OBJECT_HEADER = struct.Struct("<HH4xQ")  # index (0 for the free space at the end), references, size


def is_hdf5(source: Source) -> bool:
    """Say whether the file has the signature of HDF5 at one of the offsets where it may stand.

    Examples
    --------
    >>> is_hdf5(Source("cell.hdf5", pa.py_buffer(bytes(512) + _SIGNATURE)))
    True
    """
    offset = 0
    while offset + len(_SIGNATURE) <= source.data.size:
        if bytes(source.data[offset : offset + len(_SIGNATURE)]) == _SIGNATURE:
            return True
        offset = max(512, offset * 2)  # HDF5 allows a user block of 512, 1024, 2048 ... bytes before it
    return False


def opened(source: Source) -> Any:
    """Open the file from its buffer, without a copy; a context manager of :class:`h5py.File`.

    Raises
    ------
    OSError
        And almost anything else, here and when the file is used, where the file is damaged.
    """
    return h5py.File(pa.BufferReader(source.data), "r")


def refuse_damaged_heaps(source: Source) -> None:
    """Raise where a global heap, which holds the strings of a file, is not filled exactly by its objects.

    libhdf5 (2.0.0) reads such a heap for ever, so the heaps are walked before a string is read. The walk can
    go when libhdf5 refuses a heap whose free space does not reach its end.

    Raises
    ------
    ValueError
        With the offset of the heap.

    Examples
    --------
    >>> heap = _HEAP_HEADER.pack(32).replace(bytes(8), b"GCOL" + bytes([1, 0, 0, 0]), 1)
    >>> refuse_damaged_heaps(Source("cell.hdf5", pa.py_buffer(heap + _OBJECT_HEADER.pack(0, 0, 16))))
    >>> refuse_damaged_heaps(Source("cell.hdf5", pa.py_buffer(heap + _OBJECT_HEADER.pack(0, 0, 15))))
    Traceback (most recent call last):
    ValueError: the heap at byte 0 is damaged
    """
    data = memoryview(source.data)
    for found in _HEAP_SIGNATURE.finditer(data):
        start = found.start()
        if not _is_filled(data[start:]):
            raise ValueError(f"the heap at byte {start} is damaged")


def _is_filled(heap: memoryview) -> bool:
    """Say whether the objects of a global heap and its free space end where the heap ends."""
    if len(heap) < _HEAP_HEADER.size:
        return False
    (size,) = _HEAP_HEADER.unpack_from(heap)
    offset = _HEAP_HEADER.size
    while offset + _OBJECT_HEADER.size <= min(size, len(heap)):
        index, _, length = _OBJECT_HEADER.unpack_from(heap, offset)
        # Objects are padded to 8 bytes; the size of the free space counts its own header.
        offset += length if index == 0 else _OBJECT_HEADER.size + -(-length // 8) * 8
        if index == 0:
            return bool(offset == size <= len(heap))
    # Free space too small for a header has none.
    return bool(0 <= size - offset < _OBJECT_HEADER.size and size <= len(heap))
