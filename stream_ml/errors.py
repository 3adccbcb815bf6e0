"""What can go wrong, each with its cure.

StreamMLError
├── DeclarationError     the user's file: place, cause, cure
├── UsageError           a command or a call: what was wrong and what to type
├── InputError           a file of records that cannot be read at all
├── BusyError            another worker holds the pipeline
├── StorageError         the disk or the file failed; nothing was acknowledged
├── CorruptError         what is stored does not pass its checksums, or a log no longer holds what was fed
└── FormatError          written by a newer version
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Exit(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    FAILURE = 1
    USER = 2
    BUSY = 3
    CORRUPT = 4
    IO = 5


class Reason(StrEnum):
    """Why a record became a dead letter."""

    JSON = "json"
    TYPE = "type"
    MISSING = "missing"
    NULL_KEY = "null_key"
    NUMBER = "number"
    TIME = "time"
    AHEAD = "ahead"
    CONSTRAINT = "constraint"
    EMPTY = "empty"
    SIZE = "size"
    ROW = "row"
    UNMATCHED = "unmatched"
    MODEL = "model"
    POISON = "poison"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the user's file something was written."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class StreamMLError(Exception):
    """Base of everything this package raises on purpose.

    Parameters
    ----------
    cause
        What is wrong, in one clause.
    cure
        What to do about it.
    """

    exit = Exit.FAILURE

    def __init__(self, cause: str, cure: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.cause}. {self.cure}" if self.cure else self.cause


class DeclarationError(StreamMLError):
    """A mistake in the user's file: where it is, what it is, what to write instead."""

    exit = Exit.USER

    def __init__(self, cause: str, cure: str = "", place: Place | None = None) -> None:
        super().__init__(cause, cure)
        self.place = place

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.place}: {text}" if self.place is not None else text


class UsageError(StreamMLError):
    """A command or call that cannot be carried out as it was given."""

    exit = Exit.USER


class InputError(StreamMLError):
    """A file of records that is missing or cannot be read at all."""

    exit = Exit.USER


class BusyError(StreamMLError):
    """Another worker already runs this pipeline on this file."""

    exit = Exit.BUSY


class StorageError(StreamMLError):
    """The disk or the database failed; nothing of the turn was acknowledged."""

    exit = Exit.IO


class CorruptError(StreamMLError):
    """What is stored does not pass its checksums, or a log no longer holds what was fed."""

    exit = Exit.CORRUPT


class FormatError(StreamMLError):
    """The file was written by a newer version of this package."""

    exit = Exit.CORRUPT
