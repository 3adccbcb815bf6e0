"""Producers and consumers: `connect(url)`, and the SQLite file that holds the log."""

from __future__ import annotations

from stream_ml.client.connection import Client, Record, connect

__all__ = ["Client", "Record", "connect"]
