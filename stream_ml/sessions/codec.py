"""State as bytes: msgpack with a version, arrays as raw little-endian bytes, zstd, xxh64 over the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import xxhash
import zstandard
from numpy.typing import NDArray

from stream_ml.errors import CorruptError, FormatError
from stream_ml.schema.symbols import Symbols

FORMAT = 1
_CHECK = 8
_ARRAY = 1
_LEVEL = 1
#: Gives a blob as it is stored, now or later and on any thread: nothing that it reads changes.
Seal = Callable[[], bytes]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        head = msgspec.msgpack.encode([array.dtype.newbyteorder("<").str, list(array.shape)])
        return msgspec.msgpack.Ext(_ARRAY, len(head).to_bytes(2, "little") + head + array.tobytes())
    if isinstance(value, np.generic):
        return value.item()
    message = f"{type(value).__name__} cannot be kept in a snapshot"
    raise TypeError(message)


def _array(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        message = f"extension {code} is not known"
        raise ValueError(message)
    size = int.from_bytes(data[:2], "little")
    dtype, shape = msgspec.msgpack.decode(data[2 : 2 + size])
    return np.frombuffer(data[2 + size :], np.dtype(dtype)).reshape(shape).copy()


def encode(state: Mapping[str, Any]) -> bytes:
    """Return a state of plain values and arrays as bytes; what happens to them later does not show."""
    return msgspec.msgpack.encode([FORMAT, dict(state)], enc_hook=_plain)


def seal(raw: bytes) -> bytes:
    """Return encoded state compressed and with its checksum, as :func:`restore` reads it."""
    packed = zstandard.ZstdCompressor(level=_LEVEL).compress(raw)
    return packed + xxhash.xxh64_digest(packed)


def restore(blob: bytes, what: str) -> dict[str, Any]:
    """Return a state from its bytes.

    Raises
    ------
    CorruptError
        When the checksum does not hold.
    FormatError
        When a newer version wrote it.
    """
    packed, check = blob[:-_CHECK], blob[-_CHECK:]
    if len(blob) <= _CHECK or xxhash.xxh64_digest(packed) != check:
        cause = f"{what} does not pass its checksum"
        raise CorruptError(cause, "An older snapshot is tried; if none passes, restore the file from a backup")
    raw = zstandard.ZstdDecompressor().decompress(packed)
    version, state = msgspec.msgpack.decode(raw, ext_hook=_array)
    if version > FORMAT:
        cause = f"{what} was written by a newer version of stream_ml"
        raise FormatError(cause, "Upgrade stream_ml on this machine")
    found: dict[str, Any] = state
    return found


class Dictionary:
    """Texts of one part: codes are replaced by places among them, and back.

    Written down, the texts are their UTF-8 bytes one after the other and where each ends.
    """

    def __init__(self, symbols: Symbols, texts: Mapping[str, Any] | None = None) -> None:
        self._symbols = symbols
        self._raw: list[NDArray[np.uint8]] = []
        self._ends: list[NDArray[np.int64]] = []
        self._count = 0
        self.nbytes = 0
        self._codes = symbols.code_bytes(texts["bytes"], texts["ends"]) if texts else np.zeros(0, np.float64)

    def places(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the place of each code's text; NaN stays."""
        there = ~np.isnan(codes)
        distinct, back = _distinct(codes[there])
        out = np.full(codes.shape, np.nan)
        out[there] = self._count + back
        raw, ends = self._symbols.text_bytes(distinct)
        self._raw.append(raw)
        self._ends.append(self.nbytes + ends)
        self._count += distinct.size
        self.nbytes += raw.size
        return out

    @property
    def texts(self) -> dict[str, Any]:
        """The texts that were given places so far, as they are written down."""
        raw = np.concatenate([np.zeros(0, np.uint8), *self._raw])
        return {"bytes": raw, "ends": np.concatenate([np.zeros(0, np.int64), *self._ends])}

    def codes(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the code of the text at each place; NaN stays."""
        out = np.full(places.shape, np.nan)
        there = ~np.isnan(places)
        out[there] = self._codes[places[there].astype(np.int64)]
        return out

    def pack(self, columns: NDArray[np.float64], texts: tuple[int, ...]) -> NDArray[np.float64]:
        """Return a copy of a matrix whose text columns hold places instead of codes."""
        out = np.array(columns, np.float64)
        for column in texts:
            out[:, column] = self.places(out[:, column])
        return out

    def unpack(self, columns: NDArray[np.float64], texts: tuple[int, ...]) -> NDArray[np.float64]:
        """Return a copy of a matrix whose text columns hold codes again."""
        out = np.array(columns, np.float64)
        for column in texts:
            out[:, column] = self.codes(out[:, column])
        return out


def _distinct(codes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distinct codes and the place of each code among them."""
    if (codes[1:] > codes[:-1]).all():
        return codes, np.arange(codes.size, dtype=np.int64)
    distinct, back = np.unique(codes, return_inverse=True)
    return distinct, back.astype(np.int64)


def listed(texts: Mapping[str, Any]) -> list[str]:
    """Return written down texts one by one."""
    raw, stops = texts["bytes"].tobytes(), texts["ends"].tolist()
    return [raw[a:b].decode("utf-8", "surrogatepass") for a, b in zip([0, *stops], stops, strict=False)]
