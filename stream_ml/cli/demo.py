"""`stream-ml demo`: a pipeline on real data."""

from __future__ import annotations

from importlib import import_module

from stream_ml.errors import UsageError

DEMOS = {"flights": "stream_ml.demos.flights_demo", "cards": "stream_ml.demos.cards_demo"}


def demo(name: str, *, as_json: bool) -> None:
    """Run a demonstration.

    Raises
    ------
    UsageError
        If there is none of this name.
    """
    if name not in DEMOS:
        cause = f"There is no demo {name!r}"
        raise UsageError(cause, f"Demos: {', '.join(DEMOS)}")
    import_module(DEMOS[name]).run(json=as_json)
