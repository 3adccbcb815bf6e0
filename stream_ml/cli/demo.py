"""`stream-ml demo`: a pipeline on real data."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from stream_ml.errors import UsageError

DEMOS = {
    "flights": "stream_ml.demos.flights_demo",
    "cards": "stream_ml.demos.cards_demo",
    "kafka": "stream_ml.demos.kafka_demo",
}


def demo(name: str, *, as_json: bool, **given: Any) -> None:
    """Run a demonstration, with the options that were given; None is not given.

    Raises
    ------
    UsageError
        If there is none of this name, or an option is not one of its own.
    """
    if name not in DEMOS:
        cause = f"There is no demo {name!r}"
        raise UsageError(cause, f"Demos: {', '.join(DEMOS)}")
    options = {option: value for option, value in given.items() if value is not None}
    if options and name != "kafka":
        cause = f"--{next(iter(options)).replace('_', '-')} is an option of the demo kafka"
        raise UsageError(cause, "Leave it out")
    try:
        run = import_module(DEMOS[name]).run
    except ModuleNotFoundError as error:
        if error.name != "aiokafka":
            raise
        cause = "Kafka needs aiokafka, which is not installed"
        raise UsageError(cause, "pip install 'stream-ml[kafka]'") from error
    run(json=as_json, **options)
