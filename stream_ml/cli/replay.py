"""`stream-ml replay`: a pipeline over files of history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stream_ml.errors import UsageError


@dataclass(frozen=True, slots=True)
class Replay:
    """What was typed."""

    pipeline: Path
    files: list[str]
    out: Path | None
    features: bool
    received: list[str]
    save: Path | None


def pairs(words: Iterable[str], form: str) -> dict[str, str]:
    """Read words of the form NAME=VALUE.

    Raises
    ------
    UsageError
        If one is of another form, or a name comes twice.

    Examples
    --------
    >>> pairs(["payments=p.ndjson", "chargebacks=c.csv"], "TOPIC=FILE")
    {'payments': 'p.ndjson', 'chargebacks': 'c.csv'}
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            cause = f"{word!r} is not {form}"
            raise UsageError(cause, f"Write {form}, as payments={form.partition('=')[2].lower()}")
        if name in found:
            cause = f"{name} is given twice"
            raise UsageError(cause, f"Write one {form} a topic")
        found[name] = value
    return found


def replay(typed: Replay, *, as_json: bool) -> None:
    """Replay, and say what came of it.

    Raises
    ------
    UsageError, InputError
        If the arguments or the files are not what they should be.
    """
