"""`stream-ml consume`: a topic of the log as NDJSON, CSV, Parquet or a table."""

from __future__ import annotations

import sys
from typing import Literal

from stream_ml.cli.address import settings_and_url
from stream_ml.cli.console import reader_may_leave
from stream_ml.cli.export import FORMATS, Exported, outputs_of
from stream_ml.client import connect
from stream_ml.errors import UsageError


def place(text: str) -> Literal["start", "end"] | int:
    """Read `--from`.

    Examples
    --------
    >>> place("start"), place("120")
    ('start', 120)
    """
    if text == "start":
        return "start"
    if text == "end":
        return "end"
    if text.isdigit():
        return int(text)
    cause = f"--from {text} is not known"
    raise UsageError(cause, "Write start, end or a number: a row of a file, an offset of Kafka")


def consume(topic: str, on: str | None, start: str, *, follow: bool, form: str) -> None:
    """Write a topic's records to stdout.

    Raises
    ------
    UsageError
        For a format that is not known, or cannot follow.
    """
    if form not in FORMATS:
        cause = f"--format {form} is not known"
        raise UsageError(cause, f"Write one of {', '.join(FORMATS)}")
    if follow and form in {"csv", "parquet"}:
        cause = f"--follow never ends, and {form} needs every record for its columns"
        raise UsageError(cause, "Follow with --format ndjson or table")
    if form == "parquet" and sys.stdout.isatty():
        cause = "Parquet is not for a terminal"
        raise UsageError(cause, f"Send it to a file: stream-ml consume {topic} ... --format parquet > {topic}.parquet")
    first = place(start)
    _, url = settings_and_url(on)
    with reader_may_leave(), connect(url) as client:
        exported = Exported(client, topic, first, follow=follow, stamped=topic not in outputs_of(client))
        FORMATS[form](exported)
