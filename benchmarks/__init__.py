"""Benchmarks on named workloads; each module runs by itself with ``python -m benchmarks.NAME``."""
