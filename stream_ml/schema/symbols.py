"""The symbol table: each text a small code while the engine runs.

Codes never leave the process: whatever is written down holds the text. Forgetting unused symbols is therefore
invisible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from stream_ml.kernels import table
from stream_ml.kernels.memory import grown, reserve
from stream_ml.schema.texts import utf8

Codes = NDArray[np.float64]
#: Sweep when this many symbols were made since the last sweep, and as many as were live then.
SWEEP = 200_000


class Symbols:
    """Texts to codes and back; unused ones are forgotten.

    Order of calls: :meth:`code` and :meth:`text` at any time; :meth:`due` between turns, then :meth:`sweep` with every
    code that is in use.
    """

    def __init__(self) -> None:
        self._table: NDArray[np.int64] = reserve(1 << 12, np.int64)
        self._slots = self._table[: 1 << 12]
        self._arena: NDArray[np.uint8] = reserve(1 << 16, np.uint8)
        self._flat: NDArray[np.int64] = reserve(3 << 12, np.int64)
        self._places: NDArray[np.int64] = self._flat[: 3 << 12].reshape(-1, 3)
        self._free = np.zeros(1 << 12, np.int64)
        self._counts = np.zeros(4, np.int64)
        self._ahead = np.zeros(64, np.int64)
        self._swept = 0
        self._hashes: dict[int, int] = {}

    def __len__(self) -> int:
        return int(self._counts[3])

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return int(self._counts[2] + 24 * self._counts[0] + 8 * self._slots.size)

    @property
    def arena(self) -> NDArray[np.uint8]:
        """The UTF-8 bytes of all texts; `places` tells which are whose."""
        return self._arena

    @property
    def places(self) -> NDArray[np.int64]:
        """(start in `arena`, bytes, …) of each code."""
        return self._places

    def code(self, texts: Sequence[str | None]) -> Codes:
        """Return the code of each text, float64[n]; NaN for None."""
        return self.code_bytes(*utf8(texts))

    def code_bytes(self, raw: NDArray[np.uint8], ends: NDArray[np.int64]) -> Codes:
        """Return the code of each text of `raw`, UTF-8 one after the other; text i ends before ends[i]."""
        if not raw.size:
            raw = np.zeros(1, np.uint8)
        codes = np.empty(ends.size, np.float64)
        done = 0
        while done < ends.size:
            done = table.intern(
                raw, ends, codes, self._slots, self._arena, self._places, self._free, self._counts, self._ahead, done
            )
            if done < ends.size:
                self._grow(raw.size)
        return codes

    def one(self, text: str) -> float:
        """Return the code of one text."""
        return float(self.code([text])[0])

    def text(self, codes: Codes) -> list[str | None]:
        """Return the text of each code; None for NaN."""
        if not codes.size:
            return []
        known = codes == codes  # noqa: PLR0124  (not missing)
        if known.all():
            return self._texts(codes.astype(np.int64))  # type: ignore[return-value]
        found = iter(self._texts(codes[known].astype(np.int64)))
        return [next(found) if there else None for there in known.tolist()]

    def hashes(self, codes: Codes) -> NDArray[np.uint64]:
        """Return the xxh64 (seed 0) of each text's UTF-8 bytes; 0 for a missing one."""
        out = np.zeros(codes.size, np.uint64)
        seen = self._hashes
        for i, code in enumerate(codes.tolist()):
            if code == code:  # noqa: PLR0124  (not missing)
                known = seen.get(int(code))
                if known is None:
                    (text,) = self._texts(np.array([int(code)]))
                    known = xxhash.xxh64_intdigest(text.encode("utf-8", "surrogatepass"))
                    seen[int(code)] = known
                out[i] = known
        return out

    def due(self) -> bool:
        """Return whether enough symbols were made to make a sweep worth while."""
        return int(self._counts[3]) - self._swept > max(SWEEP, self._swept)

    def sweep(self, used: Iterable[NDArray[np.generic]]) -> None:
        """Forget every symbol whose code is in none of the arrays `used` (NaN and negative codes are left out)."""
        live = np.zeros(self._places.shape[0], np.uint8)
        for codes in used:
            table.mark(np.ascontiguousarray(codes, np.float64).reshape(-1), live)
        free_before = self._places[: int(self._counts[0]), 1] < 0
        live[: int(self._counts[0])][free_before] = 0
        self._slots[:] = 0
        fresh = reserve(int(self._counts[2]) + (1 << 16), np.uint8)
        table.sweep(live, self._slots, self._arena, fresh, self._places, self._free, self._counts)
        self._arena = fresh
        self._hashes = {code: value for code, value in self._hashes.items() if live[code]}
        self.all_used()

    def all_used(self) -> None:
        """Take every symbol there is for one in use, as it is after a restore: the next sweep is then far."""
        self._swept = int(self._counts[3])

    def text_bytes(self, codes: Codes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the UTF-8 bytes of the texts of these codes, one after the other, and where each ends."""
        places = codes.astype(np.int64)
        size = int(self._places[places, 1].sum())
        out = np.empty(size + 1, np.uint8)
        ends = np.empty(places.size, np.int64)
        table.gather_text(places, self._arena, self._places, out, ends)
        return out[:size], ends

    def _texts(self, codes: NDArray[np.int64]) -> list[str]:
        if not codes.size:
            return []
        out, ends = self.text_bytes(codes.astype(np.float64))
        raw, stops = out.tobytes(), ends.tolist()
        starts = [0, *stops[:-1]]
        if raw.isascii():
            whole = raw.decode("ascii")
            return [whole[a:b] for a, b in zip(starts, stops, strict=True)]
        return [raw[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, stops, strict=True)]

    def _grow(self, size: int) -> None:
        if 2 * (int(self._counts[3]) + 1) > self._slots.size:
            size = self._slots.size
            self._table = grown(self._table, 2 * size)
            self._slots = self._table[: 2 * size]
            self._slots[:size] = 0
            live = self._places[: int(self._counts[0]), 1] >= 0
            table.resow(np.flatnonzero(live), self._slots, self._places)
        self._arena = grown(self._arena, int(self._counts[2]) + 2 * size + 64)
        rows = self._places.shape[0]
        if int(self._counts[0]) >= rows and int(self._counts[1]) == 0:
            self._flat = grown(self._flat, 6 * rows)
            self._places = self._flat[: 6 * rows].reshape(-1, 3)
            free = np.zeros(2 * rows, np.int64)
            free[: self._free.size] = self._free
            self._free = free
