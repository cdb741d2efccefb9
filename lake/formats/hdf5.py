"""HDF5 files from a buffer: telling them by their signature, opening them, refusing what hangs libhdf5."""

import re
import struct
from typing import Any

import h5py
import pyarrow as pa

from lake.formats.source import Source

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# HDF5 file format specification 3.0, III.D and III.E, with the usual addresses of 8 bytes.
_GLOBAL_HEAP = re.compile(rb"GCOL\x01\0\0\0")
_GLOBAL_HEADER = struct.Struct("<8xQ")  # size of the heap with this header
_OBJECT_HEADER = struct.Struct("<HH4xQ")  # index (0 for the free space at the end), references, size
_LOCAL_HEAP = re.compile(rb"HEAP\0\0\0\0")
_LOCAL_HEADER = struct.Struct("<8xQQQ")  # size of the data, first free block in them, address of the data
_FREE_BLOCK = struct.Struct("<QQ")  # next free block, size of this one
_NO_BLOCK = 1


def is_hdf5(source: Source) -> bool:
    """Say whether the file has the signature of HDF5 at one of the offsets where it may stand.

    Examples
    --------
    >>> is_hdf5(Source("cell.hdf5", pa.py_buffer(bytes(512) + _SIGNATURE)))
    True
    """
    return _base(source) is not None


def _base(source: Source) -> int | None:
    """Return the offset of the signature, from which a file counts its addresses."""
    offset = 0
    while offset + len(_SIGNATURE) <= source.data.size:
        if bytes(source.data[offset : offset + len(_SIGNATURE)]) == _SIGNATURE:
            return offset
        offset = max(512, offset * 2)  # HDF5 allows a user block of 512, 1024, 2048 ... bytes before it
    return None


def opened(source: Source) -> Any:
    """Open the file from its buffer, without a copy; a context manager of :class:`h5py.File`.

    Raises
    ------
    OSError
        And almost anything else, here and when the file is used, where the file is damaged.
    """
    return h5py.File(pa.BufferReader(source.data), "r")


def refuse_damaged_heaps(source: Source) -> None:
    """Raise where a heap of the file is damaged so that libhdf5 (2.0.0) would read it for ever.

    Global heaps hold the strings of a file; their objects and free space have to end where the heap ends. Local
    heaps hold the names in a group; their chain of free blocks has to end. This can go when libhdf5 sees both.

    Raises
    ------
    ValueError
        With the offset of the heap.

    Examples
    --------
    >>> heap = b"GCOL" + bytes([1, 0, 0, 0]) + struct.pack("<Q", 32)
    >>> refuse_damaged_heaps(Source("cell.hdf5", pa.py_buffer(heap + _OBJECT_HEADER.pack(0, 0, 16))))
    >>> refuse_damaged_heaps(Source("cell.hdf5", pa.py_buffer(heap + _OBJECT_HEADER.pack(0, 0, 15))))
    Traceback (most recent call last):
    ValueError: the heap at byte 0 is damaged
    """
    data, base = memoryview(source.data), _base(source) or 0
    sound = [(found.start(), _is_filled(data[found.start() :])) for found in _GLOBAL_HEAP.finditer(data)]
    sound += [(found.start(), _is_ended(data, found.start(), base)) for found in _LOCAL_HEAP.finditer(data)]
    for start, is_sound in sound:
        if not is_sound:
            raise ValueError(f"the heap at byte {start} is damaged")


def _is_filled(heap: memoryview) -> bool:
    """Say whether the objects of a global heap and its free space end where the heap ends."""
    if len(heap) < _GLOBAL_HEADER.size:
        return False
    (size,) = _GLOBAL_HEADER.unpack_from(heap)
    offset = _GLOBAL_HEADER.size
    while offset + _OBJECT_HEADER.size <= min(size, len(heap)):
        index, _, length = _OBJECT_HEADER.unpack_from(heap, offset)
        # Objects are padded to 8 bytes; the size of the free space counts its own header.
        offset += length if index == 0 else _OBJECT_HEADER.size + -(-length // 8) * 8
        if index == 0:
            return bool(offset == size <= len(heap))
    # Free space too small for a header has none.
    return bool(0 <= size - offset < _OBJECT_HEADER.size and size <= len(heap))


def _is_ended(data: memoryview, start: int, base: int) -> bool:
    """Say whether the chain of free blocks of a local heap ends, within the file."""
    if start + _LOCAL_HEADER.size > len(data):
        return False
    _, block, address = _LOCAL_HEADER.unpack_from(data, start)
    seen: set[int] = set()
    while block != _NO_BLOCK:
        offset = base + address + block
        if block in seen or offset + _FREE_BLOCK.size > len(data):
            return False
        seen.add(block)
        block, _ = _FREE_BLOCK.unpack_from(data, offset)
    return True
