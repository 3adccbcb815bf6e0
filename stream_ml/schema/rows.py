"""CSV as it is found: rows of cells, and the rows that are damaged, each for itself."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field

#: A quoted cell may hold newlines; a quote that is not closed within so many lines is damage.
SPAN = 100
UNCLOSED = "unexpected end of data"


@dataclass(slots=True)
class Rows:
    """Some rows of a CSV file.

    Parameters
    ----------
    cells
        The cells of each row, empty for a damaged one.
    damaged
        For each damaged row, by its place: its bytes as they stand in the file, and what is wrong.
    rest
        Lines at the end that need the lines after them.
    """

    cells: list[list[str]] = field(default_factory=list)
    damaged: dict[int, tuple[bytes, str]] = field(default_factory=dict)
    rest: list[bytes] = field(default_factory=list)


def parse(lines: list[bytes], width: int, *, final: bool) -> Rows:
    """Parse lines of a CSV file (RFC 4180, UTF-8) into rows of `width` cells.

    A quote inside a cell that does not begin with one is text. A row with another number of cells, or with a quote
    that is never closed, or that is no UTF-8, is damaged: that line alone, the next line starts a new row. Blank lines
    are no rows.

    Parameters
    ----------
    lines
        Whole lines, without newlines.
    width
        Cells that a row must have.
    final
        Whether these are the last lines of the file; if not, a quoted cell may be left open in `rest`.

    Examples
    --------
    >>> rows = parse([b'1,5" disk', b'2,"a ""b"" c"', b'3,"x', b"4,y"], 2, final=True)
    >>> rows.cells
    [['1', '5" disk'], ['2', 'a "b" c'], [], ['4', 'y']]
    >>> rows.damaged
    {2: (b'3,"x', 'a quote is not closed')}
    """
    try:
        cells = list(csv.reader(b"\n".join(lines).decode().split("\n"), strict=True))
    except (csv.Error, UnicodeDecodeError):
        return _one_by_one(lines, width, final=final)
    if len(cells) != len(lines):
        return _one_by_one(lines, width, final=final)
    if set(map(len, cells)) <= {width}:
        return Rows(cells)
    rows = Rows()
    for row, line in zip(cells, lines, strict=True):
        if row:
            _add(rows, row, line, width)
    return rows


def _add(rows: Rows, row: list[str], line: bytes, width: int) -> None:
    if len(row) == width:
        rows.cells.append(row)
    else:
        cells = "1 cell" if len(row) == 1 else f"{len(row)} cells"
        _spoil(rows, line, f"{cells} where the header has {width}")


def _spoil(rows: Rows, line: bytes, why: str) -> None:
    rows.damaged[len(rows.cells)] = (line.removesuffix(b"\r"), why)
    rows.cells.append([])


def _one_by_one(lines: list[bytes], width: int, *, final: bool) -> Rows:
    rows = Rows()
    at = 0
    while at < len(lines):
        row, why = _row(lines[at])
        if why != UNCLOSED:
            if row:
                _add(rows, row, lines[at], width)
            elif why:
                _spoil(rows, lines[at], why)
            at += 1
            continue
        used, row = _spanning(lines, at, width)
        if row:
            rows.cells.append(row)
            at += used
        elif not final and at + SPAN > len(lines) and used == 0:
            rows.rest = lines[at:]
            break
        else:
            _spoil(rows, lines[at], "a quote is not closed")
            at += 1
    return rows


def _spanning(lines: list[bytes], at: int, width: int) -> tuple[int, list[str]]:
    """Return how many lines a row with an open quote takes, and its cells.

    ``(1, [])`` if the row is damaged, ``(0, [])`` if it is still open where the lines end.
    """
    last = min(len(lines), at + SPAN)
    for end in range(at + 1, last):
        if b'"' not in lines[end]:
            continue
        row, why = _row(b"\n".join(lines[at : end + 1]))
        if why != UNCLOSED:
            return (end + 1 - at, row) if len(row) == width else (1, [])
    return (0, [])


def _row(line: bytes) -> tuple[list[str], str]:
    """Return one row's cells, or why there are none; both empty for a blank line."""
    try:
        found = list(csv.reader([line.decode()], strict=True))
    except UnicodeDecodeError as error:
        return [], f"not UTF-8 at byte {error.start}"
    except csv.Error as error:
        return [], str(error)
    if len(found) > 1:
        return [], "a carriage return stands inside a row"
    return (found[0] if found else []), ""
