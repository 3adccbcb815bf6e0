"""What a prediction and a lesson cost: each compiled part beside river itself, by number of features.

Random records, seeded; a prediction, then its lesson, for each. In turn, medians with ranges; CPU microseconds a
record (both). Both sides find their records ready made: river as dicts, the compiled model as the arrays of a turn.
The scores are compared in the same run: relative to max(1, |p|) they may differ by 1e-12. What watches a model, drift
detector and metrics, is measured beside river's in :mod:`benchmarks.watchers`.

    python -m benchmarks models [--quick]
"""

from __future__ import annotations

import copy
import numbers
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import compose, linear_model, optim, preprocessing

from benchmarks.command import Found, check, main
from benchmarks.differences import largest_difference
from benchmarks.watchers import WATCHERS, beside_river, compared
from stream_ml.kernels.jit import warm
from stream_ml.model.build import build
from stream_ml.model.spec import Input, Model, Tape
from stream_ml.schema.symbols import Symbols

F8 = NDArray[np.float64]
BOUND = 1e-12
TURN = 1_000
#: How many times river's speed is asked for: of a model, and of one that moves the weight of every zero.
MODEL, ZEROS = 50, 25
logistic, linear = linear_model.LogisticRegression, linear_model.LinearRegression


def scaled(model: Any) -> Any:
    """Scale, then predict."""
    return preprocessing.StandardScaler() | model


def encoded(model: Any) -> Any:
    """Scale the numbers, encode the texts, then predict."""
    numbers_ = compose.SelectType(numbers.Number) | preprocessing.StandardScaler()
    return (numbers_ + (compose.SelectType(str) | preprocessing.OneHotEncoder())) | model


def encoded_only(model: Any) -> Any:
    """Encode texts, then predict."""
    return preprocessing.OneHotEncoder() | model


@dataclass(frozen=True, slots=True)
class Case:
    """An estimator, what it is given, the share of numbers that are missing, and how many times river is asked for."""

    name: str
    made: Callable[[], Any]
    numbers: int
    texts: int = 0
    words: int = 16
    task: str = "binary"
    missing: float = 0.0
    asked: int = MODEL

    @property
    def width(self) -> int:
        """About how much work a record is."""
        return max(8, self.numbers + 4 * self.texts)


def named(kind: str, numbers: int = 0, words: int = 0) -> str:
    """Name a case."""
    parts = [f"{numbers:,} numbers"] if numbers else []
    parts += [f"4 texts of {words:,}"] if words else []
    return ", ".join([kind, *parts])


def of_widths(kind: str, made: Callable[[], Any], widths: Sequence[int], task: str = "binary") -> list[Case]:
    """Make a case of each width."""
    return [Case(named(kind, n), made, n, task=task) for n in widths]


CASES = (
    *of_widths("scaler | logistic regression", lambda: scaled(logistic()), (4, 8, 12, 32, 100, 300, 1_000)),
    *of_widths("min-max | logistic regression", lambda: preprocessing.MinMaxScaler() | logistic(), (12, 100)),
    *of_widths("scaler | logistic regression (AdaGrad)", lambda: scaled(logistic(optim.AdaGrad())), (12, 100)),
    *of_widths("scaler | logistic regression (Adam)", lambda: scaled(logistic(optim.Adam())), (12, 32)),
    *of_widths("scaler | logistic regression (l2)", lambda: scaled(logistic(l2=0.01)), (12, 100)),
    *of_widths(
        "scaler | linear regression", lambda: scaled(linear(optim.SGD(0.002), intercept_lr=0.01)), (12, 100),
        task="regression",
    ),
    *(
        Case(named("scaler | logistic regression, 1 in 10 missing", n), lambda: scaled(logistic()), n, missing=0.1)
        for n in (12, 100)
    ),
    Case(named("one-hot | logistic regression", words=16), lambda: encoded_only(logistic()), 0, 4),
    *(
        Case(named("scaler + one-hot | logistic regression", 8, words), lambda: encoded(logistic()), 8, 4, words)
        for words in (16, 1_000)
    ),
    Case(
        named("scaler + one-hot | logistic regression (l2 over zeros)", 8, 16),
        lambda: encoded(logistic(l2=0.01)), 8, 4,
    ),
    *(
        Case(
            named("scaler + one-hot | logistic regression (Adam over zeros)", 8, words),
            lambda: encoded(logistic(optim.Adam())), 8, 4, words, asked=ZEROS,
        )
        for words in (16, 100)
    ),
)  # fmt: skip


def benchmark(quick: bool) -> Found:
    """Measure each case in turn."""
    warm()
    rounds, most = (1, 300) if quick else (5, 20_000)
    found = {}
    for case in CASES:
        found[case.name] = measured(case, max(300, min(most, 240_000 // case.width)), rounds)
    watched = {one.name: beside_river(one, 4_000 if quick else 100_000, rounds) for one in WATCHERS}
    return {
        "workload": "a prediction and a lesson a record, CPU microseconds of both",
        "rounds": rounds,
        "bound": BOUND,
        "largest_difference": max(one["largest_difference"] for one in found.values()),
        "cases": found,
        "watched": watched,
    }


def measured(case: Case, records: int, rounds: int) -> Found:
    """Return microseconds a record of both, their ratio, and how far the scores are apart."""
    symbols = Symbols()
    rows, x, inputs, truth = data(case, records, symbols)
    given = tapes(x, truth)
    compiled, river = [], []
    ours: F8 = np.empty(0)
    theirs: F8 = np.empty(0)
    for _ in range(rounds):
        model = build(case.made(), inputs, case.task, symbols)
        check(holds=all(part.compiled for part in model.parts), what=f"{case.name} is not compiled")
        begun = time.process_time()
        ours = ran(model, given)
        compiled.append((time.process_time() - begun) / records * 1e6)
        estimator = copy.deepcopy(case.made())
        begun = time.process_time()
        theirs = by_hand(estimator, rows, truth, case.task)
        river.append((time.process_time() - begun) / records * 1e6)
    apart = largest_difference(ours, theirs)
    check(holds=apart <= BOUND, what=f"{case.name}: scores differ by {apart}")
    return compared(records, compiled, river, case.asked) | {"largest_difference": apart}


def data(case: Case, records: int, symbols: Symbols) -> tuple[list[dict[str, Any]], F8, list[Input], list[Any]]:
    """Return the records as dicts and as columns, their inputs and the truth."""
    draw = np.random.default_rng(11)
    values = draw.normal(size=(records, case.numbers))
    given = np.random.default_rng(12).random(values.shape) >= case.missing
    words = draw.integers(0, case.words, (records, case.texts))
    inputs = [Input(f"n{i:04d}", "float") for i in range(case.numbers)]
    inputs += [Input(f"t{i}", "text") for i in range(case.texts)]
    signal = values @ draw.normal(size=case.numbers) / np.sqrt(max(1, case.numbers)) + draw.normal(size=records)
    truth: list[Any] = (signal > 0).tolist() if case.task == "binary" else signal.tolist()
    rows, columns = [], [np.where(given, values, np.nan)]
    for i in range(records):
        present = zip(values[i].tolist(), given[i].tolist(), strict=True)
        row: dict[str, Any] = {f"n{j:04d}": value for j, (value, there) in enumerate(present) if there}
        row |= {f"t{j}": f"w{word}" for j, word in enumerate(words[i].tolist())}
        rows.append(row)
    columns += [symbols.code([f"w{word}" for word in words[:, j].tolist()])[:, None] for j in range(case.texts)]
    return rows, np.ascontiguousarray(np.hstack(columns)), inputs, truth


def tapes(x: F8, truth: Sequence[Any]) -> list[Tape]:
    """Return what the compiled model is given, as the engine gives it: a turn of records at a time."""
    target, made = np.array(truth, np.float64), []
    for start in range(0, len(x), TURN):
        n = min(TURN, len(x) - start)
        y = np.full(2 * n, np.nan)
        y[1::2] = target[start : start + n]
        learn = np.tile(np.array([0, 1], np.uint8), n)
        made.append(Tape(learn, np.repeat(np.arange(n), 2), x[start : start + n].copy(), y, np.ones(2 * n)))
    return made


def ran(model: Model, given: Sequence[Tape]) -> F8:
    """Return the compiled model's scores."""
    answers = [model.run(tape) for tape in given]
    check(holds=not any(one.errors for one in answers), what="the compiled model refused records")
    return np.concatenate([one.score[::2] for one in answers])


def by_hand(model: Any, rows: Sequence[dict[str, Any]], truth: Sequence[Any], task: str) -> F8:
    """Return river's scores."""
    found = np.empty(len(rows))
    if task == "binary":
        for i, (row, y) in enumerate(zip(rows, truth, strict=True)):
            found[i] = model.predict_proba_one(row)[True]
            model.learn_one(row, y)
    else:
        for i, (row, y) in enumerate(zip(rows, truth, strict=True)):
            found[i] = model.predict_one(row)
            model.learn_one(row, y)
    return found


if __name__ == "__main__":
    main("models", benchmark, __doc__)
