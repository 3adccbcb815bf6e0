"""Output for people: tables on stdout, progress on stderr, only where a terminal shows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table


class Bar(Protocol):
    """A progress bar, or nothing that looks like one."""

    def update(self, done: float, total: float | None = None) -> None:
        """Show how much is done of how much."""


class _NoBar:
    def update(self, done: float, total: float | None = None) -> None:
        pass


class _RichBar:
    def __init__(self, progress: Progress, title: str, total: float | None) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total)

    def update(self, done: float, total: float | None = None) -> None:
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def progress_bar(title: str, total: float | None = None) -> Iterator[Bar]:
    """Show progress on stderr if it is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _NoBar()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _RichBar(progress, title, total)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End quietly where the reader of our output has gone, as `head` does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line: str) -> None:
    """Write one line to stdout."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def tell(line: str) -> None:
    """Write one line to stderr: what happens, beside the output itself."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def write_json(value: Any) -> None:
    """Write one JSON document to stdout, with a newline."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Write a table to stdout, as wide as the terminal."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table, markup=False)
