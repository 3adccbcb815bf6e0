"""Where a worker can be made to kill itself: installed in the process of a test's worker, never in the engine."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterable
from enum import StrEnum
from itertools import chain
from typing import Any

from aiokafka import TopicPartition
from aiokafka.protocol.transaction import EndTxnRequest

from stream_ml.engines.kafka.writer import Part, Writer
from stream_ml.sessions.session import Session

STANDS_STILL = "the user's code takes its time"


class Failpoint(StrEnum):
    """A moment within a turn's transaction.

    BEGIN: nothing is sent. PRODUCE: the first part is acknowledged. ENTRY: every output is, the journal's entry is not
    sent. END: the entry is acknowledged, EndTxn not sent. ENDED: the brokers have committed, the worker does not know.
    """

    BEGIN = "begin"
    PRODUCE = "produce"
    ENTRY = "entry"
    END = "end"
    ENDED = "ended"


def install(failpoint: Failpoint, transactional_id: str, turn: int, deed: int | float) -> None:
    """Do something there, once: in the first turn from a number on that has outputs.

    Parameters
    ----------
    transactional_id
        Of the task.
    turn
        Counted from the acquire, from 1.
    deed
        A signal that this process sends itself; with a point, seconds for which its loop stands still, as it does
        where the next turn is computed meanwhile and the user's model takes its time.
    """
    commit, announce, send, watch = Writer.commit, Writer._announce, Writer._send, Writer._watch_transaction_requests
    turns = 0
    armed = done = False
    sent: list[Any] = []

    def die() -> None:
        nonlocal armed, done
        armed, done = False, True
        if isinstance(deed, float):
            stand_still(deed)
        else:
            os.kill(os.getpid(), deed)

    async def counted(self: Writer, parts: list[Part]) -> Any:
        nonlocal turns, armed
        if self.transactional_id == transactional_id:
            turns += 1
            armed = turns >= turn and len(parts) > 1 and not done
            sent.clear()
        return await commit(self, parts)

    def announced(self: Writer, partitions: Iterable[TopicPartition]) -> None:
        if armed and failpoint is Failpoint.BEGIN:
            die()
        announce(self, partitions)

    async def handed(self: Writer, part: Part) -> list[Any]:
        if armed and failpoint is Failpoint.ENTRY and part.to.topic.endswith(".journal"):
            await asyncio.gather(*chain.from_iterable(sent))
            die()
        sent.append(await send(self, part))
        if armed and failpoint is Failpoint.PRODUCE:
            await asyncio.gather(*sent[-1])
            die()
        return sent[-1]  # type: ignore[no-any-return]

    def watched(self: Writer) -> None:
        ask = self._producer.client.send

        async def asked(node: int, request: Any, **options: Any) -> Any:
            ends = armed and isinstance(request, EndTxnRequest)
            if ends and failpoint is Failpoint.END:
                die()
            told = await ask(node, request, **options)
            if ends and failpoint is Failpoint.ENDED and told.error_code == 0:
                die()
            return told

        self._producer.client.send = asked
        watch(self)

    Writer.commit = counted  # type: ignore[assignment, method-assign]
    Writer._announce = announced  # type: ignore[method-assign]
    Writer._send = handed  # type: ignore[method-assign]
    Writer._watch_transaction_requests = watched  # type: ignore[method-assign]


def stand_still(seconds: float) -> None:
    sys.stderr.write(f"{STANDS_STILL}\n")
    sys.stderr.flush()
    threading.Event().wait(seconds)


def install_slow(method: str, first: int, last: int, seconds: float) -> None:
    """Make the calls `first` to `last` (from 1) of a scorer's `feed` or `again` take so long, as a slow model does."""
    works = getattr(Session, method)
    calls = 0

    def slowly(self: Session, *given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if first <= calls <= last:
            stand_still(seconds)
        return works(self, *given, **named)

    setattr(Session, method, slowly)
