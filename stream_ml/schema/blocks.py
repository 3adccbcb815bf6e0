"""Bytes of a file, plain or gzip, in blocks and in lines; what cannot be read is one clear error."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stream_ml.errors import InputError
from stream_ml.schema.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

#: Bytes read, and at most unpacked, at once: some 8,000 records of 125 bytes.
BLOCK = 1024 * 1024
#: A longer line is not a record; reading on would only fill the memory.
LONGEST_LINE = 256 * 1024 * 1024
STEP = 64
GZIP = b"\x1f\x8b\x08"
MARK = b"\xef\xbb\xbf"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the system's errors about `path` into an InputError of one line."""
    try:
        yield
    except FileNotFoundError:
        cause = f"{path} does not exist"
        raise InputError(cause, "Check the name and the folder") from None
    except IsADirectoryError:
        cause = f"{path} is a folder"
        raise InputError(cause, "Name a file in it") from None
    except PermissionError:
        cause = f"{path} may not be read"
        raise InputError(cause, "Give this user the permission to read it") from None
    except OSError as error:
        cause = f"{path} cannot be read: {error.strerror or error}"
        raise InputError(cause, "Check the disk and the file") from error


def blocks(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes in blocks; a gzip file (told by its first bytes) is unpacked.

    Raises
    ------
    InputError
        When the file cannot be read, or when its gzip data are damaged, after everything before the damage was yielded.
    """
    with reading(path), path.open("rb") as file:
        if file.peek(len(GZIP))[: len(GZIP)] == GZIP:
            yield from _unpacked(file, path)
            return
        while block := file.read(BLOCK):
            yield block


def _unpacked(file: BinaryIO, path: Path) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    packed = file.read(BLOCK)
    while packed:
        before = member.copy()
        try:
            block = member.decompress(packed, BLOCK)
        except zlib.error as error:
            yield from _up_to_the_damage(before, packed)
            cause = f"{path} is damaged: {error}"
            raise InputError(cause, "Copy it again; the rows before the damage were read") from None
        if block:
            yield block
        packed = member.unconsumed_tail
        if member.eof:
            packed = member.unused_data or file.read(BLOCK)
            packed = packed.lstrip(b"\0")  # padding after the last member is allowed
            if packed:
                member = zlib.decompressobj(wbits=31)
        elif not packed:
            packed = file.read(BLOCK)
    if not member.eof:
        cause = f"{path} ends in the middle of its gzip data"
        raise InputError(cause, "Copy it again; the rows before the end were read")


def _up_to_the_damage(member: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    """Unpack in small steps what can be unpacked."""
    for at in range(0, len(packed), STEP):
        try:
            yield member.decompress(packed[at : at + STEP])
        except zlib.error:
            return


def lines(path: Path) -> Iterator[list[bytes]]:
    """Yield what :func:`blocks_of_lines` does as lists of lines."""
    return (block.split(b"\n") for block in _whole_lines(path))


def blocks_of_lines(path: Path) -> Iterator[Lines]:
    """Yield a file's lines, without their newlines, as many at once as a block holds.

    A byte order mark at the start is dropped. Where the file is damaged, the whole lines before the damage are yielded
    and then the error is raised.

    Raises
    ------
    InputError
        As :func:`blocks`, and when a line has no end.
    """
    return map(Lines.split, _whole_lines(path))


def _whole_lines(path: Path) -> Iterator[bytes]:
    open_parts: list[bytes] = []
    open_size = 0
    first = True
    for read in blocks(path):
        block = read.removeprefix(MARK) if first else read
        first = False
        cut = block.rfind(b"\n")
        if cut < 0:
            open_parts.append(block)
            open_size += len(block)
            if open_size > LONGEST_LINE:
                cause = f"{path} has a line of more than {LONGEST_LINE:,} bytes"
                raise InputError(cause, "One record a line is expected")
            continue
        open_parts.append(block[:cut])
        yield b"".join(open_parts)
        open_parts = [block[cut + 1 :]]
        open_size = len(open_parts[0])
    last = b"".join(open_parts)
    if last:
        yield last
