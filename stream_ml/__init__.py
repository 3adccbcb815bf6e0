"""Streaming machine learning: one Python file in, predictions that learn out."""

from stream_ml.language import fn
from stream_ml.language.declare import Event, Label, Table
from stream_ml.language.features import Features
from stream_ml.language.pipeline import Learning, Pipeline
from stream_ml.language.spans import calendar, session
from stream_ml.monitor.spec import ADWIN, Monitor

__all__ = [
    "ADWIN",
    "Event",
    "Features",
    "Label",
    "Learning",
    "Monitor",
    "Pipeline",
    "Table",
    "calendar",
    "fn",
    "session",
]
