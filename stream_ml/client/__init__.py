"""Producers and consumers: `connect(url)`, and what holds the log: a SQLite file, or Kafka."""

from __future__ import annotations

from stream_ml.client.connection import Client, connect
from stream_ml.client.records import Record

__all__ = ["Client", "Record", "connect"]
