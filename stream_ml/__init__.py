"""Streaming machine learning: one Python file in, predictions that learn out."""

from importlib import import_module
from typing import TYPE_CHECKING

from stream_ml.language import fn
from stream_ml.language.declare import Event, Label, Table
from stream_ml.language.features import Features
from stream_ml.language.pipeline import Learning, Pipeline
from stream_ml.language.spans import calendar, session
from stream_ml.monitor.spec import ADWIN, Monitor

if TYPE_CHECKING:
    from stream_ml.client.connection import connect
    from stream_ml.engines.replay import FeatureTable, Replayed, history, replay
else:
    #: What engines and clients give, loaded when it is first asked for: declaring a pipeline needs none of it.
    _LATER = {
        "connect": "stream_ml.client.connection",
        "history": "stream_ml.engines.replay",
        "FeatureTable": "stream_ml.engines.replay",
        "replay": "stream_ml.engines.replay",
        "Replayed": "stream_ml.engines.replay",
    }

    def __getattr__(name):
        """Load an engine or the client."""
        if name not in _LATER:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        return getattr(import_module(_LATER[name]), name)


__all__ = [
    "ADWIN",
    "Event",
    "FeatureTable",
    "Features",
    "Label",
    "Learning",
    "Monitor",
    "Pipeline",
    "Replayed",
    "Table",
    "calendar",
    "connect",
    "fn",
    "history",
    "replay",
    "session",
]
