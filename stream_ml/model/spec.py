"""What a model is to the rest of the engine: inputs, a tape of operations in record order, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

#: What river is given for each kind of input.
PYTHON_TYPES: Final[Mapping[str, type]] = {"float": float, "int": int, "bool": bool, "text": str, "category": str}
BINARY, MULTICLASS, REGRESSION, ANOMALY = "binary", "multiclass", "regression", "anomaly"


@dataclass(frozen=True, slots=True)
class Input:
    """A feature as the model sees it: its name and kind ("float", "int", "bool", "text" or "category").

    A text is a symbol code; a category is a whole number whose text is its decimal form.
    """

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Part:
    """A step of the user's estimator: whether it is compiled, and why."""

    name: str
    compiled: bool
    why: str


@dataclass(slots=True)
class Tape:
    """Predictions to make and lessons to learn, in record order.

    Parameters
    ----------
    learn
        [m] 0 predict, 1 learn.
    row
        [m] row of `x` that the operation is about.
    x
        [r, f] features as served, in the order of the inputs; NaN is missing, a text is its symbol code.
    y
        [m] target of learn operations: 0 or 1, a value, or for multiclass a symbol code or number.
    weight
        [m] weight of learn operations, 1 where there is none.
    """

    learn: NDArray[np.uint8]
    row: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    weight: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.learn)


@dataclass(slots=True)
class Answers:
    """What a tape gave.

    Parameters
    ----------
    score
        [m] P(true), value, anomaly score, or probability of `label`. NaN for learn operations, where the model raised,
        and where it has no opinion yet (a tree that never learned).
    label
        Predicted class of each operation (multiclass), None where there is none.
    probabilities
        Probability of each class, for each operation (multiclass).
    errors
        (operation, message) where the model raised. A prediction that raised has a NaN score; a lesson that raised
        left the model as far as river went.
    """

    score: NDArray[np.float64]
    label: list[Any] | None = None
    probabilities: list[dict[Any, float]] | None = None
    errors: list[tuple[int, str]] = field(default_factory=list)


class Texts(Protocol):
    """The engine's symbol table: codes of texts, valid while the engine runs."""

    def text(self, codes: NDArray[np.float64]) -> Sequence[str | None]:
        """Return the text of each code; None for NaN."""

    def code(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the code of each text, new ones where needed."""


class Model(Protocol):
    """A running model. `run` in record order; `save` between runs; `load` into a model built from the same file."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The steps, and which are compiled."""

    def run(self, tape: Tape) -> Answers:
        """Carry out a tape; cutting it into pieces changes no bit."""

    def save(self) -> dict[str, Any]:
        """Return the state as named arrays, lists and plain values; texts, never codes."""

    def load(self, state: Mapping[str, Any]) -> None:
        """Replace the state by a saved one; the model must have been built from the same estimator and inputs."""

    def serving(self) -> dict[str, NDArray[Any]]:
        """Return what predictions need as named arrays; texts, never codes. What is appended is appended at the end."""

    def serve(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Predict from now on as the model did whose `serving` gave these arrays; it must not learn any more."""

    def codes(self) -> NDArray[np.int64]:
        """Return the symbol codes that the state holds."""
