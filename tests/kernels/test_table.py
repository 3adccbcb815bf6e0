"""Texts to codes: every length and every place of a difference is told apart, forgotten ones apart, jitted or not."""

from __future__ import annotations

import numpy as np

from stream_ml.kernels import table
from stream_ml.schema.symbols import Symbols


def alike() -> list[str]:
    """Return texts of 0 to 20 bytes, and of each those that differ from it in one byte."""
    found = []
    for length in range(21):
        text = "abcdefghijklmnopqrstu"[:length]
        found.append(text)
        found += [f"{text[:at]}~{text[at + 1 :]}" for at in range(length)]
    return found


def test_texts_that_differ_in_one_byte_get_codes_of_their_own() -> None:
    texts = alike()
    symbols = Symbols()
    codes = symbols.code(texts)
    assert np.unique(codes).size == len(set(texts)) == len(symbols)
    assert symbols.code(texts[::-1]).tolist() == codes[::-1].tolist()
    assert symbols.text(codes) == texts


def test_texts_keep_their_codes_while_the_table_grows_and_after_others_were_forgotten() -> None:
    symbols = Symbols()
    kept = symbols.code(["", "é", "🚲 bike", "x" * 300])
    passing = symbols.code([f"passing {i}" for i in range(20_000)])
    assert symbols.code(["", "é", "🚲 bike", "x" * 300]).tolist() == kept.tolist()
    symbols.sweep([kept])
    assert len(symbols) == kept.size
    assert symbols.text(kept) == ["", "é", "🚲 bike", "x" * 300]
    again = symbols.code([f"passing {i}" for i in range(20_000)])
    assert sorted(again.tolist()) == sorted(passing.tolist())


def test_a_hash_is_the_same_jitted_or_not() -> None:
    texts = [text.encode() for text in alike()] + [bytes(range(128, 256))]
    for text in texts:
        raw = np.frombuffer(bytearray(b"__" + text + b"_"), np.uint8)
        plain = getattr(table.hash_text, "py_func", table.hash_text)(raw, 2, len(text))
        assert int(table.hash_text(raw, 2, len(text))) == int(plain) < 1 << 46
