"""The replay engine: a pipeline over files of history, merged by received time; no transaction and no journal."""

from stream_ml.engines.replay.engine import Options, replay
from stream_ml.engines.replay.outputs import Replayed
from stream_ml.engines.replay.table import FeatureTable, history

__all__ = ["FeatureTable", "Options", "Replayed", "history", "replay"]
