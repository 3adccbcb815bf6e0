"""`stream-ml bench latency | throughput | cost`: a pipeline measured on an engine."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from stream_ml.bench.cost import cost as cost_of
from stream_ml.bench.figures import LATE_MS, SHARES
from stream_ml.bench.latency import Asked
from stream_ml.bench.latency import latency as measure_latency
from stream_ml.bench.load import Arrivals
from stream_ml.bench.picture import draw
from stream_ml.bench.throughput import Backlog
from stream_ml.bench.throughput import throughput as measure_throughput
from stream_ml.cli.address import settings_and_url
from stream_ml.cli.console import say, tell, write_json, write_table
from stream_ml.errors import UsageError
from stream_ml.language.spans import parse_ms

_COLUMNS = (*SHARES, "max")


def files_of(given: Sequence[str]) -> dict[str, str]:
    """Read `TOPIC=FILE` words.

    Raises
    ------
    UsageError
        One has no `=`.

    Examples
    --------
    >>> files_of(["payments=payments.ndjson"])
    {'payments': 'payments.ndjson'}
    """
    found = {}
    for one in given:
        topic, equals, file = one.partition("=")
        if not equals or not topic or not file:
            cause = f"--data {one} names no file of a topic"
            raise UsageError(cause, "Write --data TOPIC=FILE")
        found[topic] = file
    return found


def latency_of(  # noqa: PLR0913, PLR0917 - a command's options
    pipeline: Path, on: str | None, rate: float, duration: str, labels: float, label_after: str, arrivals: str,
    keys: int, data: Sequence[str], *, sweep: bool,
) -> Asked:  # fmt: skip
    """Read what was typed.

    Raises
    ------
    UsageError
        A word of it is not known.
    """
    if arrivals not in set(Arrivals):
        cause = f"--arrivals {arrivals} is not known"
        raise UsageError(cause, f"Write one of {', '.join(Arrivals)}")
    _, url = settings_and_url(on)
    return Asked(
        source=pipeline, url=url, rate=rate, seconds=parse_ms(duration, "--duration") / 1e3, sweep=sweep, keys=keys,
        labels=labels, label_after_s=parse_ms(label_after, "--label-after") / 1e3, arrivals=Arrivals(arrivals),
        data=files_of(data),
    )  # fmt: skip


def backlog_of(pipeline: Path, on: str | None, records: int, keys: int, data: Sequence[str]) -> Backlog:
    """Read what was typed."""
    _, url = settings_and_url(on)
    return Backlog(pipeline, url, records, keys, files_of(data))


def latency(asked: Asked, out: Path, *, as_json: bool) -> None:
    """Measure latency, show it, and write figures and picture into a folder.

    Raises
    ------
    StreamMLError
        As `stream_ml.bench.latency.latency`.
    """
    found = _ended_by_signals(lambda: measure_latency(asked, tell))
    kind = "sweep" if asked.sweep else "latency"
    written = [_write(out / f"{found['pipeline']}-{found['engine']}-{kind}.json", found)]
    try:
        written.append(draw(written[0].with_suffix(".png"), found))
    except UsageError as error:
        tell(str(error))
    if as_json:
        write_json(found)
    else:
        _show_latency(found)
    tell(f"Written: {', '.join(str(path) for path in written)}")


def throughput(asked: Backlog, *, as_json: bool) -> None:
    """Measure throughput and show it.

    Raises
    ------
    StreamMLError
        As `stream_ml.bench.throughput.throughput`.
    """
    found = _ended_by_signals(lambda: measure_throughput(asked, tell))
    if as_json:
        write_json(found)
        return
    shown = (
        "events", "labels", "answered", "examples", "events_per_second", "seconds", "cpu_us_per_event", "worker_cpu_s",
        "turns", "input_bytes",
    )  # fmt: skip
    rows = [(name.replace("_", " "), _spelled(found[name])) for name in shown]
    write_table(("what", "value"), rows, title=f"{found['pipeline']} on {found['engine']}, draining a backlog")


def cost(asked: Backlog, price: float, load: float, *, as_json: bool) -> None:
    """Measure throughput and show what a million predictions cost.

    Raises
    ------
    StreamMLError
        As `stream_ml.bench.throughput.throughput` and `stream_ml.bench.cost.cost`.
    """
    cost_of({"cpu_us_per_event": 1.0}, price, load)  # refused before anything is measured
    found = _ended_by_signals(lambda: measure_throughput(asked, tell))
    spent = cost_of(found, price, load)
    if as_json:
        write_json({**found, "cost": spent})
        return
    rows = [(name.replace("_", " "), f"{value:,.6g}") for name, value in spent.items()]
    write_table(("what", "value"), rows, title=f"{found['pipeline']} on {found['engine']}: what predictions cost")


def _show_latency(found: dict[str, Any]) -> None:
    place = f"{found['pipeline']} on {found['engine']}, {found['partitions']} partitions"
    rows = []
    for step in found["steps"]:
        for name in ("latency", "update_visible", "generator_delay"):
            of = step[f"{name}_ms"]
            cells = [_spelled(of.get(column)) for column in _COLUMNS]
            rows.append((f"{step['rate']:,.0f}", name.replace("_", " "), f"{of['n']:,}", *cells))
    head = ("events/s", "what", "n", *(one.replace("_", ".") for one in _COLUMNS))
    write_table(head, rows, title=f"{place}, {found['learning']} learning, ms")
    for step in found["steps"]:
        if step["answered"] < step["events"]:
            say(f"{step['rate']:,.0f} events/s: {step['answered']:,} of {step['events']:,} events were answered")
        if not step["sustained"]:
            say(f"{step['rate']:,.0f} events/s are not sustained: the lag grew by {step['lag_growth']:.1%} of the load")
        if step["void"]:
            say(
                f"{step['rate']:,.0f} events/s: void. The generator itself was more than {LATE_MS:g} ms late at p99.9:"
                " the machine is too busy to measure on"
            )
    if "knee" in found:
        knee = found["knee"]
        say("No rate was sustained" if knee is None else f"Knee: {knee:,.0f} events/s, the highest rate sustained")


def _spelled(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _write(path: Path, found: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return path


def _ended_by_signals(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do the work; SIGTERM ends it as Ctrl-C does, so that every process of it is stopped."""

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        return work()
    finally:
        signal.signal(signal.SIGTERM, before)
