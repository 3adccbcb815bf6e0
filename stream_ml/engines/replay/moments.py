"""The time that records of history carry themselves, where nothing says when they were received."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from stream_ml.kernels.scan import TIME
from stream_ml.kernels.stamps import LAST_MS
from stream_ml.schema import arrow, fields
from stream_ml.schema.decoder import LIMIT, Decoder
from stream_ml.schema.fast import REFUSALS, parse_times
from stream_ml.schema.lines import taken
from stream_ml.schema.scan import LEAST, Plain, Scan

F8 = NDArray[np.float64]
#: Records that show whether time went on from a jump or not.
FOLLOWERS = 8


class OwnTime:
    """Reads one time field of records and nothing else of them.

    Parameters
    ----------
    model
        The class of the records.
    field
        Its time field.

    Examples
    --------
    >>> from stream_ml.language.example import Payment
    >>> OwnTime(Payment, "at").read([b'{"at": "1970-01-01T00:00:01Z"}', b'{"at": "soon"}', b"{"]).tolist()
    [1000.0, nan, nan]
    """

    def __init__(self, model: type[BaseModel], field: str) -> None:
        alias = fields.read(model).fields[field].alias
        self._field = field
        self._whole = Decoder(model, (field,))
        self._decode = None if alias is None else _decoder(alias).decode
        times = Plain(field, alias or "", TIME, null=True, needed=False, low=-LAST_MS // 8, high=LAST_MS)
        self._scan = None if alias is None else Scan([times])

    def read(self, values: Sequence[bytes]) -> F8:
        """Return epoch ms [n]; NaN where the decoder, too, would find no time."""
        scanned = arrow.read(self._scan, values, LIMIT) if self._scan is not None and len(values) >= LEAST else None
        if scanned is None:
            moments = parse_times(self._raw(values))
        else:
            moments, rest = scanned.numbers[self._field], np.flatnonzero(~scanned.sure)
            moments[rest] = parse_times(self._raw(taken(values, rest)))
        unsure = np.flatnonzero(np.isnan(moments))
        if unsure.size:
            columns = self._whole.decode([values[i] for i in unsure.tolist()])
            moments[unsure[columns.rows]] = columns.numbers[self._field]
        return moments

    def _raw(self, values: Sequence[bytes]) -> list[Any]:
        decode = self._decode
        if decode is None:
            return [None] * len(values)
        try:
            return [decode(value).at for value in values]
        except REFUSALS:
            return [self._one(value) for value in values]

    def _one(self, value: bytes) -> Any:
        try:
            return None if self._decode is None else self._decode(value).at
        except REFUSALS:
            return None


def _decoder(alias: str) -> msgspec.json.Decoder[Any]:
    columns = [("at", int | float | str | None, None)]
    return msgspec.json.Decoder(msgspec.defstruct("OwnTime", columns, gc=False, rename={"at": alias}))


def misdated(moments: F8, last: float, ahead_ms: int, *, ended: bool) -> tuple[NDArray[np.int64], int]:
    """Find records dated far ahead of everything around them, which must not carry the clock away.

    Such a record is more than `ahead_ms` later than every record before it and than each of the next eight. (A gap in
    the history is none: the records after it are as late.)

    Parameters
    ----------
    moments
        Epoch ms [n], NaN for none.
    last
        The latest moment before them, NaN for none.
    ended
        Whether these are the last records that there are.

    Returns
    -------
    NDArray of int64
        Which ones they are.
    int
        How many records, from the first, this is known of; the rest needs more records.

    Examples
    --------
    >>> moments = np.array([1.0, 2.0, 9e9, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 8e6, 8e6])
    >>> misdated(moments, 0.0, 3_600_000, ended=True)
    (array([2]), 14)
    >>> misdated(moments, 0.0, 3_600_000, ended=False)
    (array([2]), 12)
    """
    found: list[int] = []
    clean = moments.copy()
    at = 0
    while True:
        jumps = _jumps(clean, last, ahead_ms)
        jumps = jumps[jumps >= at]
        for place in jumps.tolist():
            at = place + 1
            after = clean[at : at + FOLLOWERS]
            if after.size < FOLLOWERS and not ended:
                return np.array(found, np.int64), place
            after = after[~np.isnan(after)]
            if after.size and bool((after < clean[place] - ahead_ms).all()):
                found.append(place)
                clean[place] = np.nan
                break
        else:
            return np.array(found, np.int64), len(moments)


def _jumps(moments: F8, last: float, ahead_ms: int) -> NDArray[np.int64]:
    known = np.where(np.isnan(moments), -np.inf, moments)
    before = np.maximum.accumulate(np.concatenate([[-np.inf if np.isnan(last) else last], known[:-1]]))
    return np.flatnonzero(known > before + ahead_ms)
