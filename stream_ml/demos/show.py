"""What a demonstration shows while it runs: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from stream_ml.engines.local.worker import Carried
from stream_ml.sessions.session import Session

TERMINAL_S, PLAIN_S = 0.25, 2.0


def metric(session: Session, name: str, window: str) -> float | None:
    """Return a metric over all slices as it stands, None where nothing was measured."""
    for one in session.quality():
        if (one["name"], one["window"], one["slice"]) == (name, window, None):
            value: float | None = one["value"]
            return value
    return None


class Rows:
    """A row of numbers that changes: a live table on a terminal, a line now and then elsewhere; used as a context."""

    def __init__(self, console: Console, title: str, columns: Sequence[str]) -> None:
        self._console, self._title, self._columns = console, title, columns
        self._live: Live | None = None
        self._shown = time.perf_counter()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(self._table([]), console=self._console, refresh_per_second=8)
            self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def due(self) -> bool:
        """Whether the row before was shown long enough ago."""
        return time.perf_counter() - self._shown >= (TERMINAL_S if self._live is not None else PLAIN_S)

    def show(self, row: Sequence[str]) -> None:
        """Show a row."""
        self._shown = time.perf_counter()
        if self._live is not None:
            self._live.update(self._table(row))
        else:
            line = "  ".join(f"{name} {value}" for name, value in zip(self._columns, row, strict=True))
            self._console.print(line, highlight=False, soft_wrap=True)

    def note(self, line: str) -> None:
        """Write a line above the table."""
        self._console.print(line, highlight=False, soft_wrap=True)

    def _table(self, row: Sequence[str]) -> Table:
        table = Table(title=self._title, title_justify="left")
        for name in self._columns:
            table.add_column(name, justify="right")
        if row:
            table.add_row(*row)
        return table


class Board:
    """The state of a run, shown at intervals; used as a context, and called after each turn."""

    COLUMNS = ("day", "records", "records/s", "AUC", "AUC, last 10,000", "log loss", "alarms", "lag (rows)")

    def __init__(self, console: Console, title: str, records: int) -> None:
        self._rows = Rows(console, title, self.COLUMNS)
        self._all = records
        self._begun = time.perf_counter()
        self._done = 0

    def __enter__(self) -> Board:
        self._rows.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._rows.__exit__(*error)

    @property
    def rate(self) -> float:
        """Records a second since the beginning."""
        return self._done / max(time.perf_counter() - self._begun, 1e-9)

    def __call__(self, session: Session, carried: Carried) -> None:
        """Take note of a turn; one without records only lets deadlines pass."""
        if not carried.records:
            return
        self._done += carried.records
        if carried.behind and not self._rows.due:
            return
        day = datetime.fromtimestamp(session.scorer.now / 1000, UTC).date().isoformat()
        row = [
            day,
            f"{self._done:,}",
            f"{self.rate:,.0f}",
            _number(metric(session, "roc_auc", "all")),
            _number(metric(session, "roc_auc", "last10000")),
            _number(metric(session, "log_loss", "all")),
            str(session.outputs.alarms),
            f"{carried.behind:,}",
        ]
        self._rows.show(row)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


class Bar:
    """A progress bar that is called with (done, all)."""

    def __init__(self, progress: Progress, task: object) -> None:
        self._progress, self._task = progress, task

    def __call__(self, done: int, total: int | None) -> None:
        """Show how much is done."""
        self._progress.update(self._task, completed=done, total=total)  # type: ignore[arg-type]  # rich's own number


@contextmanager
def bar(console: Console, title: str) -> Iterator[Bar]:
    """Show a progress bar where there is a terminal, else one line."""
    if not console.is_terminal:
        console.print(title, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, progress.add_task(title, total=None))
