"""Steps on categories that are worked out once for each distinct text: cross, lower, length, and fixed hashes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_ml.features.spec import HashStep, TextStep
from stream_ml.schema.symbols import Symbols

F8 = NDArray[np.float64]
U8 = NDArray[np.uint64]
JOINER = "|"


def run_text(step: TextStep, registers: F8, rows: int, symbols: Symbols) -> None:
    """Carry out cross, lower or length over the first `rows` columns of the registers."""
    parts = [registers[register, :rows] for register, _ in step.parts]
    out = registers[step.register, :rows]
    known = ~np.isnan(parts[0])
    for part in parts[1:]:
        known &= ~np.isnan(part)
    out[:] = np.nan
    if not known.any():
        return
    distinct, back = _distinct([part[known] for part in parts])
    texts = [_text(column, kind, symbols) for column, (_, kind) in zip(distinct, step.parts, strict=True)]
    if step.op == "length":
        found = np.array([float(len(text)) for text in texts[0]], np.float64)
    elif step.op == "lower":
        found = symbols.code([text.lower() for text in texts[0]])
    else:
        found = symbols.code([JOINER.join(pair) for pair in zip(*texts, strict=True)])
    out[known] = found[back]


def _distinct(columns: list[F8]) -> tuple[list[F8], NDArray[np.intp]]:
    """Return the distinct rows of some columns, and for each row the place of its distinct one."""
    if len(columns[0]) == 1:
        return columns, np.zeros(1, np.intp)
    if len(columns) == 1:
        values, back = np.unique(columns[0], return_inverse=True)
        return [values], back
    stacked, back = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    return [np.ascontiguousarray(stacked[:, j]) for j in range(len(columns))], back.reshape(-1)


def _text(column: F8, kind: str, symbols: Symbols) -> list[str]:
    if kind == "text":
        return [text or "" for text in symbols.text(column)]
    if kind == "bool":
        return [str(value != 0.0) for value in column.tolist()]
    return [str(int(value)) if value == int(value) else repr(value) for value in column.tolist()]


def splitmix(x: U8) -> U8:
    """Return the splitmix64 finaliser of each value (Steele, Lea & Flood, OOPSLA 2014), modulo 2**64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def run_hash(step: HashStep, registers: F8, rows: int, symbols: Symbols) -> None:
    """Carry out a fixed hash: of a text xxh64, of a number splitmix64; a cross folds h = splitmix64(h ^ part)."""
    known = np.ones(rows, np.bool_)
    for register, _ in step.parts:
        known &= ~np.isnan(registers[register, :rows])
    out = registers[step.register, :rows]
    out[:] = np.nan
    if not known.any():
        return
    hashed = np.zeros(int(known.sum()), np.uint64)
    for register, kind in step.parts:
        column = registers[register, :rows][known]
        part = symbols.hashes(column) if kind == "text" else splitmix(column.astype(np.int64).view(np.uint64))
        hashed = splitmix(hashed ^ part) if step.crossed else part
    out[known] = (hashed % np.uint64(step.buckets)).astype(np.float64)
