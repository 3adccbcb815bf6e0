"""A proxy between a worker and its broker that loses and delays what a test says."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import IntEnum

from stream_ml.demos.broker_place import HOST


class Api(IntEnum):
    """Keys of Kafka's requests."""

    PRODUCE = 0
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26


class Deed(IntEnum):
    """What is done to a request.

    LOSE_ANSWER: the broker carries it out; its answer is lost with the connection. HOLD: it reaches the broker late,
    its answer nobody.
    """

    PASS = 0
    LOSE_ANSWER = 1
    HOLD = 2


#: Told the key of a request and which one of its kind it is, from 1.
Rule = Callable[[int, int], Deed]


class Proxy:
    """What passed and what was done."""

    def __init__(self, behind: int, hold_s: float) -> None:
        self._behind, self._hold_s = behind, hold_s
        self._held: set[asyncio.Task[None]] = set()
        self.rule: Rule = lambda *_: Deed.PASS
        self.passed: Counter[int] = Counter()
        self.done: Counter[tuple[Api, Deed]] = Counter()
        #: Requests that were held and have now been delivered.
        self.delivered = 0

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        broker, out = await asyncio.open_connection(HOST, self._behind)
        lost: dict[int, Api] = {}

        async def answers() -> None:
            while True:
                frame = await read(broker)
                api = lost.get(struct.unpack(">i", frame[:4])[0])
                if api is not None:
                    self.done[api, Deed.LOSE_ANSWER] += 1
                    return
                back.write(struct.pack(">i", len(frame)) + frame)
                await back.drain()

        async def requests() -> None:
            while True:
                frame = await read(client)
                key, _, correlation = struct.unpack(">hhi", frame[:8])
                self.passed[key] += 1
                deed = self.rule(key, self.passed[key])
                if deed is Deed.HOLD:
                    self.done[Api(key), deed] += 1
                    held = asyncio.create_task(self._deliver_late(frame))
                    self._held.add(held)
                    held.add_done_callback(self._held.discard)
                    continue
                if deed is Deed.LOSE_ANSWER:
                    lost[correlation] = Api(key)
                out.write(struct.pack(">i", len(frame)) + frame)
                await out.drain()

        both = [asyncio.create_task(answers()), asyncio.create_task(requests())]
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for one in both:
            one.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        for writer in (out, back):
            writer.close()

    async def _deliver_late(self, frame: bytes) -> None:
        await asyncio.sleep(self._hold_s)
        broker, out = await asyncio.open_connection(HOST, self._behind)
        out.write(struct.pack(">i", len(frame)) + frame)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await read(broker)
            self.delivered += 1
        out.close()


async def read(stream: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await stream.readexactly(4))
    return await stream.readexactly(size)


@asynccontextmanager
async def proxy(front: int, behind: int, hold_s: float = 4.0) -> AsyncIterator[Proxy]:
    """Listen on one port and pass on to another."""
    made = Proxy(behind, hold_s)
    server = await asyncio.start_server(made.serve, HOST, front)
    try:
        yield made
    finally:
        server.close()
