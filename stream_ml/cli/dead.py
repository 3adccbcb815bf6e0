"""`stream-ml dead-letters`: records that were refused, and why; and producing them again."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from stream_ml.cli.address import settings_and_url
from stream_ml.cli.console import say, write_json, write_table
from stream_ml.cli.letters import Letter, Letters, letters_of
from stream_ml.errors import InputError, Reason, UsageError


@dataclass(frozen=True, slots=True)
class Retry:
    """What was typed.

    Parameters
    ----------
    ids
        Rows, or partition/offset.
    everything
        All of them, without ids.
    key
        Field that keys are made of where the log no longer tells them.
    """

    ids: list[str]
    everything: bool
    pipeline: str | None
    reason: str | None
    key: str | None


def list_letters(on: str | None, pipeline: str | None, reason: str | None, limit: int, *, as_json: bool) -> None:
    """List dead letters, the newest last.

    Raises
    ------
    UsageError
        For a reason that there is not.
    """
    _known(reason)
    with _letters(on) as letters:
        found = letters.newest(pipeline, reason, limit)
        rows = [_listed(letter, letters.label) for letter in found]
    if as_json:
        write_json(rows)
    elif rows:
        write_table(list(rows[0]), (list(row.values()) for row in rows))
    else:
        say("No dead letters")


def show_letter(on: str | None, id_: str, pipeline: str | None, *, as_json: bool) -> None:
    """Show one dead letter whole.

    Raises
    ------
    UsageError
        If the id is none.
    """
    with _letters(on) as letters:
        letter = letters.one(id_, pipeline)
        told = _shown(letter, letters.label)
    if as_json:
        write_json(told)
        return
    del told["raw"]
    for name, value in told.items():
        say(f"{name:<10} {'' if value is None else value}")
    cut = "" if letter.whole else f" (the first {len(letter.raw):,} bytes)"
    say(f"raw{cut}:")
    say(letter.raw.decode("utf-8", "backslashreplace"))


def retry_letters(on: str | None, typed: Retry, *, as_json: bool) -> None:
    """Produce records again that were refused; says of each what became of it.

    Raises
    ------
    UsageError
        If nothing, or two things at once, say which.
    InputError
        If some could not be produced again; the others were.
    """
    _known(typed.reason)
    if bool(typed.ids) == (typed.everything or typed.reason is not None):
        cause = "Nothing says which dead letters" if not typed.ids else "Ids and --all or --reason say different things"
        raise UsageError(cause, "Name ids, or a reason with --reason, or write --all")
    done: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    with _letters(on) as letters:
        for letter in _chosen(letters, typed):
            try:
                place = _again(letters, letter, typed.key)
            except InputError as error:
                refused.append({letters.label: letter.id, "pipeline": letter.pipeline, "error": str(error)})
            else:
                done.append(
                    {letters.label: letter.id, "pipeline": letter.pipeline, "topic": letter.topic, "place": place}
                )
                if not as_json:
                    say(f"{letters.label} {letter.id} ({letter.reason}): again in {letter.topic}, {place}")
        label = letters.label
    if as_json:
        write_json({"retried": done, "refused": refused})
    elif not done and not refused:
        say("No dead letters")
    if refused:
        first = refused[0]
        rest = f" (and {len(refused) - 1:,} more of {len(done) + len(refused):,})" if len(refused) > 1 else ""
        cause = f"Not produced again: {label} {first[label]}{rest}, {first['error']}"
        raise InputError(cause)


def _chosen(letters: Letters, typed: Retry) -> Iterable[Letter]:
    if typed.ids:
        return [letters.one(id_, typed.pipeline) for id_ in typed.ids]
    return letters.every(typed.pipeline, typed.reason)


def _again(letters: Letters, letter: Letter, key: str | None) -> str:
    """Produce a letter's record: as its log holds it, or as the letter does where that is whole."""
    kept = letters.kept(letter)
    if kept is None and not letter.whole:
        cause = (
            f"{letter.topic} no longer holds offset {letter.partition}/{letter.offset}, and the dead letter has only "
            f"the first {len(letter.raw):,} of its {letter.size:,} bytes"
        )
        raise InputError(cause, "Produce it from where it came from")
    return letters.produce(letter, kept, key)


def _letters(on: str | None) -> Letters:
    _, url = settings_and_url(on)
    return letters_of(url)


def _known(reason: str | None) -> None:
    reasons = [known.value for known in Reason]
    if reason is not None and reason not in reasons:
        cause = f"--reason {reason} is not known"
        raise UsageError(cause, f"Reasons: {', '.join(reasons)}")


def _listed(letter: Letter, label: str) -> dict[str, Any]:
    return {
        label: letter.id, "pipeline": letter.pipeline, "reason": letter.reason, "source": letter.topic,
        "offset": letter.offset, "path": letter.path, "message": letter.message, "size": letter.size,
    }  # fmt: skip


def _shown(letter: Letter, label: str) -> dict[str, Any]:
    return {
        label: letter.id, "pipeline": letter.pipeline, "reason": letter.reason, "topic": letter.topic,
        "partition": letter.partition, "offset": letter.offset, "received": letter.received, "path": letter.path,
        "message": letter.message, "size": letter.size, "raw": base64.b64encode(letter.raw).decode(),
    }  # fmt: skip
