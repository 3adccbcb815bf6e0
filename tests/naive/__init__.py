"""The naive twin: plain Python that says what features, windows and joins are. Everything else is compared with it."""

from .machine import Naive
from .rows import DeadLetter, Example, Row
from .windows import Item, Window

__all__ = ["DeadLetter", "Example", "Item", "Naive", "Row", "Window"]
