"""Settings of the tests: hypothesis without a clock, the same examples in every run of CI; which laws are slow."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import stream_ml.model  # noqa: F401 - river is loaded without scipy.stats, before a test asks for it
from tests.scale import PIPELINES, QUICK, examples

settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow what is tried on one pipeline after another, but for a few of them."""
    for item in items:
        called = getattr(item, "callspec", None)
        name = called.params.get("name") if called is not None else None
        if isinstance(name, str) and name in PIPELINES - QUICK:
            item.add_marker(pytest.mark.slow)


class OneBroker(LoadScopeScheduling):  # type: ignore[misc]
    """Tests of a file run in one process, those on Kafka all in the same one: there is one broker."""

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return "tests/kafka" if nodeid.startswith("tests/kafka/") else scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Share the tests out as above, under `--dist loadscope`."""
    return OneBroker(config, log) if config.getvalue("dist") == "loadscope" else None
