"""What features compile to: registers and steps, all of it data, nothing of it an array."""

from __future__ import annotations

from dataclasses import dataclass

#: Stream numbers: the pipeline's own events, known outcomes, and from OTHERS on other event streams and tables.
OWN, OUTCOMES, OTHERS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Constant:
    """A register that never changes: a number, a text, or missing."""

    register: int
    value: float | str | None


@dataclass(frozen=True, slots=True)
class Source:
    """A column of a stream's records and the register it is laid into."""

    stream: int
    field: str
    register: int
    text: bool


@dataclass(frozen=True, slots=True)
class Program:
    """Instructions of the column machine: (instruction, destination, a, b, c)."""

    code: tuple[tuple[int, int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TextStep:
    """A function of texts that is worked out once for each text: cross, lower, length."""

    op: str
    register: int
    parts: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class HashStep:
    """A fixed hash of one or several parts, taken modulo `buckets`; parts are (register, "text" or "number")."""

    register: int
    parts: tuple[tuple[int, str], ...]
    buckets: int
    crossed: bool


@dataclass(frozen=True, slots=True)
class TableStep:
    """All look-ups in one table: (registers of the key, column of the table, register to write)."""

    table: int
    reads: tuple[tuple[tuple[int, ...], int, int], ...]


@dataclass(frozen=True, slots=True)
class KeepStep:
    """Registers of an event that its outcome needs again: saved with the event, loaded where it is known."""

    registers: tuple[int, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read out of a window's record, into which register."""

    register: int
    what: int


@dataclass(frozen=True, slots=True)
class Window:
    """One window over one key space.

    Parameters
    ----------
    family
        "tiles", "exact", "newest", or a point: "forever", "last", "first", "lag", "since".
    kind
        Kind of record (kernels.algebra); 0 for points without one.
    length, tile, shift
        Milliseconds; milliseconds; whole tiles (tiles) or milliseconds (exact). `length` is n for "newest" and k for
        "lag".
    """

    family: str
    kind: int
    before: bool
    length: int
    tile: int
    shift: int
    readings: tuple[Reading, ...]
    text: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Windows of one key space with one source and one value; a step's groups of one source share a kernel call."""

    space: int
    stream: int
    value: int
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """A key space: registers of the key where a record writes and where an event reads, and which parts are texts."""

    by: tuple[int, ...]
    at: tuple[int, ...]
    texts: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class GroupStep:
    """The groups whose inputs are ready now."""

    groups: tuple[int, ...]


Step = Program | TextStep | HashStep | TableStep | KeepStep | GroupStep


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A look-up table: its stream number, registers of key and columns, which of each are texts."""

    stream: int
    keys: tuple[int, ...]
    columns: tuple[int, ...]
    key_texts: tuple[bool, ...]
    column_texts: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Clock:
    """An event stream's allowed lateness and how far ahead of the clock it may be dated, in milliseconds."""

    lateness: int
    ahead: int


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """Everything the feature machine needs; `silent` is the register that says if silence gave an outcome, or -1."""

    registers: int
    constants: tuple[Constant, ...]
    sources: tuple[Source, ...]
    zones: tuple[str, ...]
    steps: tuple[Step, ...]
    spaces: tuple[Space, ...]
    groups: tuple[Group, ...]
    tables: tuple[TableSpec, ...]
    silent: int = -1
