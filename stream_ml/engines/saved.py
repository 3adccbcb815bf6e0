"""A session's state in a folder: what `replay --save` writes and `run --start-from` reads."""

from __future__ import annotations

from pathlib import Path

from stream_ml.errors import StorageError, UsageError
from stream_ml.language.pipeline import Pipeline
from stream_ml.sessions.cut import UNDISTURBED
from stream_ml.sessions.session import Session

MANIFEST = "manifest.bin"
_SEGMENTS = "segment-*.bin"


def save_state(session: Session, folder: Path) -> None:
    """Write a session's state into a folder, which is made; an older state in it is replaced.

    Parameters
    ----------
    session
        It must not have kept a snapshot before: all of it is written.
    folder
        Holds `segment-000001.bin` and so on, and last `manifest.bin`, which names them.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        for old in folder.glob(_SEGMENTS):
            old.unlink()
        *segments, manifest = session.segment(UNDISTURBED)
        for number, blob in enumerate(segments, 1):
            (folder / f"segment-{number:06d}.bin").write_bytes(blob)
        (folder / MANIFEST).write_bytes(manifest)
    except OSError as error:
        cause = f"The state cannot be kept in {folder} ({error.strerror})"
        raise StorageError(cause, "Name a folder that can be written, with room") from error


def load_state(pipeline: Pipeline, folder: Path) -> tuple[Session, list[bytes], bytes]:
    """Read a state: the session, and the segments and manifest that it came from.

    Raises
    ------
    UsageError
        If the folder holds no state, or one of other declarations.
    CorruptError
        If it does not pass its checks.
    """
    if not (folder / MANIFEST).is_file():
        cause = f"{folder} holds no saved state"
        raise UsageError(cause, "Make one: stream-ml replay PIPELINE.py TOPIC=FILE ... --save DIR")
    try:
        segments = [path.read_bytes() for path in sorted(folder.glob(_SEGMENTS))]
        manifest = (folder / MANIFEST).read_bytes()
    except OSError as error:
        cause = f"The state in {folder} cannot be read ({error.strerror})"
        raise StorageError(cause, "Check its permissions") from error
    return Session.restore(pipeline, manifest, segments), segments, manifest
