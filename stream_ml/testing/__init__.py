"""What users need to test a pipeline of their own: the core, driven record by record, with time as data."""

from stream_ml.testing.driver import Driver

__all__ = ["Driver"]
