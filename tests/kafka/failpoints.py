"""Where a worker can be made to kill itself: installed in the process of a test's worker, never in the engine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from enum import StrEnum
from itertools import chain
from typing import Any

from aiokafka import TopicPartition
from aiokafka.protocol.transaction import EndTxnRequest

from stream_ml.engines.kafka.writer import Part, Writer


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


def install(failpoint: Failpoint, transactional_id: str, turn: int, number: signal.Signals) -> None:
    """Send this process a signal there, once: in the first turn from a number on that has outputs.

    Parameters
    ----------
    transactional_id
        Of the task.
    turn
        Counted from the acquire, from 1.
    number
        SIGKILL or SIGSTOP.
    """
    commit, announce, send, watch = Writer.commit, Writer._announce, Writer._send, Writer._watch_transaction_requests
    turns = 0
    armed = done = False
    sent: list[Any] = []

    def die() -> None:
        nonlocal armed, done
        armed, done = False, True
        os.kill(os.getpid(), number)

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
