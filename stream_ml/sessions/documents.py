"""Named arrays as documents, whole or as changes of earlier ones, and documents as records under a limit.

A document is one line of JSON, which says what follows, and raw little-endian bytes. A record is one line of JSON, the
:class:`Head`, and a piece of a document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import xxhash
import zstandard
from numpy.typing import NDArray

from stream_ml.sessions.changes import Changed, apply, changes

Arrays = Mapping[str, NDArray[Any]]
#: Compressed where it saves at least this share of the bytes.
PAYS: Final = 0.1
#: Most bytes of a record's first line.
_LINE: Final = 1024


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the first line of a record tells.

    Parameters
    ----------
    plan
        Beginning of the digest of the plan that the model belongs to.
    piece, pieces
        Which piece of the document this is, from 0, and how many there are.
    size, check
        Bytes of the piece and their xxh64 as 16 hexadecimal digits.
    all_size, all_check
        The same of the whole document, as it was cut.
    base, base_check
        The count whose changes the version holds, None where it is whole; and the xxh64 of that version's arrays.
    packed
        "zstd" where the document is compressed.
    """

    format: int
    pipeline: str
    plan: str
    lineage: str
    count: int
    piece: int = 0
    pieces: int = 1
    size: int = 0
    check: str = ""
    all_size: int = 0
    all_check: str = ""
    base: int | None = None
    base_check: str = ""
    packed: str = ""

    @property
    def full(self) -> bool:
        """Whether the version is whole: reading may begin with its first piece."""
        return self.base is None


class _Array(msgspec.Struct, frozen=True, omit_defaults=True):
    """An array of a document: whole, or gaps, changed items and appended items."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    gaps: str = ""
    changed: int = 0
    tail: int = 0


_HEADS = msgspec.json.Decoder(Head)
_DIRECTORY = msgspec.json.Decoder(tuple[_Array, ...])


# --- documents --------------------------------------------------------------------------------------------------------


def whole(arrays: Arrays) -> bytes:
    """Return arrays as a document."""
    directory = [_Array(name, _dtype(one), one.shape) for name, one in arrays.items()]
    return b"".join([msgspec.json.encode(directory), b"\n", *map(_raw, arrays.values())])


def changed(old: Arrays, new: Arrays) -> bytes | None:
    """Return what makes `new` of `old` as a document; None where it cannot be told so, or takes no fewer bytes."""
    found = changes(old, new)
    if found is None:
        return None
    directory = [
        _Array(name, _dtype(new[name]), new[name].shape, _dtype(one.gaps), one.items.size, one.tail.size)
        for name, one in found.items()
    ]
    parts = [_raw(part) for one in found.values() for part in (one.gaps, one.items, one.tail)]
    if sum(map(len, parts)) >= sum(one.nbytes for one in new.values()):
        return None
    return b"".join([msgspec.json.encode(directory), b"\n", *parts])


def read(document: bytes, base: Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays of a document; those of the base that did not change are the base's own."""
    end = document.index(b"\n")
    at = end + 1
    found = dict(base)

    def take(dtype: str, n: int) -> NDArray[Any]:
        nonlocal at
        array = np.frombuffer(document, dtype, n, at) if n else np.zeros(0, dtype)
        at += array.nbytes
        return array

    for one in _DIRECTORY.decode(document[:end]):
        if one.gaps:
            fresh = Changed(take(one.gaps, one.changed), take(one.dtype, one.changed), take(one.dtype, one.tail))
            found[one.name] = apply(base[one.name], fresh, one.shape)
        else:
            found[one.name] = take(one.dtype, int(np.prod(one.shape, dtype=np.int64))).reshape(one.shape)
    return found


def check_of(arrays: Arrays) -> str:
    """Return the xxh64 of arrays and their names as 16 hexadecimal digits."""
    seen = xxhash.xxh64()
    for name, one in arrays.items():
        seen.update(f"{name} {_dtype(one)} {one.shape} ".encode())
        seen.update(_raw(one))
    return seen.hexdigest()


def _dtype(array: NDArray[Any]) -> str:
    return array.dtype.newbyteorder("<").str


def _raw(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array).astype(_dtype(array), copy=False).tobytes()


# --- records ----------------------------------------------------------------------------------------------------------


def cut(head: Head, document: bytes, limit: int) -> list[bytes]:
    """Return a document as records of at most `limit` bytes; compressed where it pays."""
    small = zstandard.ZstdCompressor(level=1).compress(document)
    pays = len(small) <= (1 - PAYS) * len(document)
    body = small if pays else document
    room = limit - _LINE
    pieces = [body[at : at + room] for at in range(0, len(body), room)]
    records = []
    for i, piece in enumerate(pieces):
        mine = msgspec.structs.replace(
            head, piece=i, pieces=len(pieces), size=len(piece), check=xxhash.xxh64_hexdigest(piece),
            all_size=len(body), all_check=xxhash.xxh64_hexdigest(body), packed="zstd" if pays else "",
        )  # fmt: skip
        records.append(msgspec.json.encode(mine) + b"\n" + piece)
    return records


def read_head(value: bytes) -> Head | None:
    """Return what a record's first line tells, None where it is not one of ours; nothing is checked."""
    end = value.find(b"\n", 0, _LINE)
    try:
        return _HEADS.decode(value[: max(end, 0)])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def piece_of(head: Head, value: bytes) -> bytes | None:
    """Return a record's piece, None where it is damaged."""
    piece = value[value.index(b"\n") + 1 :]
    good = len(piece) == head.size and xxhash.xxh64_hexdigest(piece) == head.check and head.piece < head.pieces
    return piece if good else None


def join(head: Head, pieces: Mapping[int, bytes]) -> bytes | None:
    """Return the document of all its pieces, None where it is damaged."""
    body = b"".join(pieces[i] for i in range(head.pieces))
    if len(body) != head.all_size or xxhash.xxh64_hexdigest(body) != head.all_check:
        return None
    return zstandard.ZstdDecompressor().decompress(body) if head.packed else body
