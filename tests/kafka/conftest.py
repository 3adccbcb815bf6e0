"""A real broker for the tests that ask for one, started once a session; each test names its topics afresh."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from stream_ml.demos.broker import QUICK, Broker
from stream_ml.demos.broker_place import HOST, free_members
from stream_ml.demos.kafka_jars import jars
from stream_ml.errors import StreamMLError
from tests.kafka.secured import Secured, certificates, listeners
from tests.kafka.workers import Nursery

HERE = Path(__file__).parent
LONGEST_NAME = 60
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker."""
    for item in items:
        if HERE in item.path.parents and "kafka_jars" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


class Ports(NamedTuple):
    """A port that is told to clients, and the one behind it on which the broker listens."""

    front: int
    behind: int


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """The jars; a test that cannot have them is skipped, under CI it fails."""
    try:
        return jars()
    except StreamMLError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error).splitlines()[0])


@pytest.fixture(scope="session")
def ports() -> Ports:
    """Where a proxy stands: clients of its front are told of no other port."""
    _, other = free_members(2)
    return Ports(other.port, other.controller)


@pytest.fixture(scope="session")
def safe_ports() -> Ports:
    """Where the broker asks for passwords, and where for certificates."""
    (safe,) = free_members(1)
    return Ports(safe.port, safe.controller)


@pytest.fixture(scope="session")
def broker(
    kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory, ports: Ports, safe_ports: Ports
) -> Iterator[Broker]:
    """A broker that stays up for the whole session: no test stops it."""
    assert kafka_jars.is_dir()
    (own,) = free_members(1)
    folder = tmp_path_factory.mktemp("kafka")
    certificates(folder / "certificates")
    safe, security = listeners(folder / "certificates", *safe_ports)
    plain = f"PLAINTEXT://{HOST}:{own.port}"
    options = {
        "listeners": f"{plain},PROXIED://{HOST}:{ports.behind},{safe},CONTROLLER://{HOST}:{own.controller}",
        "advertised.listeners": f"{plain},PROXIED://{HOST}:{ports.front},{safe}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL,MUTUAL:SSL"
        ),
        "inter.broker.listener.name": "PLAINTEXT",
        "group.min.session.timeout.ms": "500",
        "log.cleaner.backoff.ms": "100",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
        **security,
    }
    with Broker(folder / "broker", machine=QUICK, members=(own,), options=options) as started:
        yield started


@pytest.fixture(scope="session")
def secured(broker: Broker, safe_ports: Ports) -> Secured:
    """The broker for users with passwords and certificates."""
    folder = broker.folder.with_name("certificates")
    found = Secured(broker.address, f"{HOST}:{safe_ports[0]}", f"{HOST}:{safe_ports[1]}", folder)
    found.enroll()
    return found


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """The process that starts workers."""
    with Nursery() as started:
        yield started


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """How the names of a test's topics, groups and transactional ids begin."""
    return re.sub(r"\W+", "-", request.node.name)[:LONGEST_NAME].strip("-") + f"-{next(_numbers)}."
