"""Measures a pipeline on an engine: latency with an open loop, throughput over a backlog."""
