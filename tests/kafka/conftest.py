"""A real broker for the tests that ask for one, started once a session; each test names its topics afresh."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_ml.demos.broker import QUICK, Broker
from stream_ml.demos.kafka_jars import jars
from stream_ml.errors import StreamMLError

HERE = Path(__file__).parent
LONGEST_NAME = 60
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker."""
    for item in items:
        if HERE in item.path.parents and "kafka_jars" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


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
def broker(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that stays up for the whole session: no test stops it."""
    assert kafka_jars.is_dir()
    with Broker(tmp_path_factory.mktemp("kafka") / "broker", machine=QUICK) as started:
        yield started


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """How the names of a test's topics, groups and transactional ids begin."""
    return re.sub(r"\W+", "-", request.node.name)[:LONGEST_NAME].strip("-") + f"-{next(_numbers)}."
