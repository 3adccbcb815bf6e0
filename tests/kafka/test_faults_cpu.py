"""A worker on one kind of CPU carries on what another kind began, and the other way round: the same bits."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.topics import names
from tests.kafka.commands import running
from tests.kafka.failpoints import Failpoint
from tests.kafka.named import named
from tests.kafka.never_stopped import Seen, judge, reader, send, topics_of
from tests.kafka.payments import inputs, payments
from tests.kafka.test_engine import make_topics
from tests.kafka.test_faults_slow import line
from tests.kafka.test_faults_topics import OFTEN, SELDOM
from tests.kafka.workers import SHORT, Nursery, until
from tests.local.processes import ROOT

pytestmark = pytest.mark.faults
#: The C library without its variants for newer CPUs, by the names of older and newer versions of it.
PLAIN_LIBM = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2_Usable,-FMA_Usable,-AVX2,-FMA,-AVX512F"}
PLAIN_CODE = {"NUMBA_CPU_NAME": "generic"}
_BITS = """
import ctypes, ctypes.util
from stream_ml.kernels.cache import digest
lib = ctypes.CDLL(ctypes.util.find_library("m"))
lib.exp.restype, lib.exp.argtypes = ctypes.c_double, [ctypes.c_double]
print(hash(tuple(lib.exp(n / 997) for n in range(40_000))), digest())
"""


def bits(env: dict[str, str]) -> list[str]:
    """Return what the C library computes there, and what names the compiled kernels."""
    own = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", **env}
    done = subprocess.run([sys.executable, "-c", _BITS], env=own, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("other", [PLAIN_LIBM, PLAIN_CODE], ids=["libm", "code"])
def test_46_recovery_on_another_cpu(
    broker: Broker, prefix: str, tmp_path: Path, nursery: Nursery, other: dict[str, str]
) -> None:
    pipeline, file = named("cards", prefix, tmp_path)
    predictions = names(pipeline.name)["predictions"]
    on = ("--on", f"kafka://{broker.address}")

    async def scenario() -> tuple[Seen, list[str]]:
        await make_topics(broker, pipeline)
        async with reader(broker.address, topics_of(pipeline, 1, inputs(prefix))) as seen:
            await send(broker.address, payments(prefix, 46, 600))
            killed = (Failpoint.END, f"{pipeline.name}.0", 5, signal.SIGKILL)
            first = nursery.start(file, broker.address, env=SELDOM, failpoint=killed)
            assert await first.ended() == -signal.SIGKILL, first.told
            with running(tmp_path, "run", str(file), *on, settings={**SHORT, **OFTEN, **other}) as second:
                await until(lambda: seen.count(predictions) == 600, f"predictions there; {second.said}", 900)
                said = [second.said]
            await send(broker.address, payments(prefix, 47, 200, 600))
            last = nursery.start(file, broker.address, "--until-end")
            assert await last.ended() == 0, last.told
        return seen, [*said, last.told]

    seen, said = asyncio.run(scenario())
    assert "recovered from the journal and " in said[0]
    assert "recovered from the snapshot of entry " in said[1]
    (session,) = judge(pipeline, 1, seen)
    assert seen.count(predictions) == session.stats["predicted"] == 800
    here, there = bits({}), bits(other)
    assert here[0 if other is PLAIN_LIBM else 1] != there[0 if other is PLAIN_LIBM else 1], "it was the same CPU"
    line(46, f"{' '.join(f'{name}={value}' for name, value in other.items())}, there and back", pipeline, 1, seen)
