"""Lines of JSON: constant pieces with a number, a word or a fragment between each two; texts as JSON strings."""

from __future__ import annotations

import numpy as np

from stream_ml.kernels.arrays import Bytes, Floats, Ints
from stream_ml.kernels.jit import kernel

#: What stands in a hole: a fragment; of `numbers` a whole number, one in quotes, true or false, a text by its code; of
#: `words` a number, or which part.
FRAGMENT, WHOLE, QUOTED, TRUTH, TEXT, WORD, CHOICE = range(7)
#: Parts behind the pieces.
NULL, FALSE, TRUE, WORDS = range(1, 5)
#: Copies are made in whole chunks: arrays that are read or written are longer by this than what they hold.
CHUNK = 16
LONGEST = 22  # bytes of a whole number, its sign and quotes
QUOTE = ord('"')
LONGEST_SIGN = 6  # bytes of a text's byte, escaped
_PAIRS = np.frombuffer(b"".join(b"%02d" % i for i in range(100)), np.uint8).copy()
_POWERS = np.array([10**i for i in range(19)], np.int64)
_LIMIT = 2.0**63
_SHORT = {8: rb"\b", 9: rb"\t", 10: rb"\n", 12: rb"\f", 13: rb"\r", 34: rb"\"", 92: rb"\\"}
_SIGNS = [_SHORT.get(i, rb"\u%04x" % i if i < 32 else bytes([i])) for i in range(256)]
#: Each byte of a text as JSON has it, and how many bytes that takes.
_ESCAPED = np.frombuffer(b"".join(sign.ljust(LONGEST_SIGN) for sign in _SIGNS), np.uint8).copy().reshape(256, -1)
_SIZES = np.array([len(sign) for sign in _SIGNS], np.int64)


@kernel
def _copy(source: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    while start < end:
        read, written = source[start : start + CHUNK], out[at : at + CHUNK]
        for b in range(CHUNK):
            written[b] = read[b]
        start += CHUNK
        at += CHUNK
    return at - (start - end)


@kernel
def _digits(x: int, out: Bytes, at: int) -> int:
    """Write a whole number, which is not the least of all."""
    if x < 0:
        out[at] = 45
        at += 1
        x = -x
    size = 1
    while size < _POWERS.shape[0] and x >= _POWERS[size]:
        size += 1
    written = out[at : at + size]
    b = size
    while x >= 100:
        pair = 2 * (x % 100)
        x //= 100
        b -= 2
        written[b] = _PAIRS[pair]
        written[b + 1] = _PAIRS[pair + 1]
    if b == 2:
        written[0] = _PAIRS[2 * x]
    written[b - 1] = _PAIRS[2 * x + 1]
    return at + size


@kernel
def _string(arena: Bytes, start: int, size: int, out: Bytes, at: int) -> int:
    """Write a text as JSON has it."""
    out[at] = QUOTE
    at += 1
    for i in range(start, start + size):
        c = arena[i]
        if _SIZES[c] == 1:
            out[at] = c
            at += 1
        else:
            for b in range(_SIZES[c]):
                out[at + b] = _ESCAPED[c, b]
            at += _SIZES[c]
    out[at] = QUOTE
    return at + 1


@kernel(
    signature="void(u1[::1], i8[:,::1], i8[:,::1], f8[:,::1], i8[:,::1], i8[:,::1], i8[::1], u1[::1], i8[:,::1], "
    "u1[::1], i8[::1])"
)
def weave(
    source: Bytes,
    parts: Ints,
    holes: Ints,
    numbers: Floats,
    words: Ints,
    groups: Ints,
    ends: Ints,
    arena: Bytes,
    places: Ints,
    out: Bytes,
    done: Ints,
) -> None:
    """Write a line for each row of `numbers`, as long as there is room for its texts.

    Parameters
    ----------
    source
        Bytes that are copied from, and a chunk more.
    parts
        (start, end) in `source`: a piece before each hole, the piece behind the last one, then null, false, true and
        further words.
    holes
        (what stands there, its column, its group of fragments or its first word) of each.
    numbers, words
        Numbers by row and column, NaN where missing, and the same memory seen as int64.
    groups
        (start in `source`, start in `ends`, fragments a row) of each group of fragments.
    ends
        Of each group: 0, then where its fragments end; there is one byte before each.
    arena, places
        Texts, and (start, bytes) of each code.
    out
        Where to write; a chunk longer than what is written.
    done
        (rows written, place in `out` behind them, bytes there for texts alone).
    """
    at = done[1]
    last = holes.shape[0]
    spare = done[2]
    for i in range(done[0], numbers.shape[0]):
        for j in range(last):
            at = _copy(source, parts[j, 0], parts[j, 1], out, at)
            what = holes[j, 0]
            column = holes[j, 1]
            if what == FRAGMENT:
                group = holes[j, 2]
                one = groups[group, 1] + i * groups[group, 2] + column
                base = groups[group, 0]
                at = _copy(source, base + ends[one] + 1, base + ends[one + 1], out, at)
            elif what == WORD:
                at = _digits(words[i, column], out, at)
            elif what == CHOICE:
                part = last + holes[j, 2] + words[i, column]
                at = _copy(source, parts[part, 0], parts[part, 1], out, at)
            else:
                x = numbers[i, column]
                if not -_LIMIT < x < _LIMIT:
                    at = _copy(source, parts[last + NULL, 0], parts[last + NULL, 1], out, at)
                elif what == TRUTH:
                    part = last + (TRUE if x != 0.0 else FALSE)
                    at = _copy(source, parts[part, 0], parts[part, 1], out, at)
                elif what == TEXT:
                    code = int(x)
                    spare -= LONGEST_SIGN * places[code, 1]
                    if spare < 0:
                        return
                    at = _string(arena, places[code, 0], places[code, 1], out, at)
                elif what == QUOTED:
                    out[at] = QUOTE
                    at = _digits(int(x), out, at + 1)
                    out[at] = QUOTE
                    at += 1
                else:
                    at = _digits(int(x), out, at)
        at = _copy(source, parts[last, 0], parts[last, 1], out, at)
        done[0] = i + 1
        done[1] = at
