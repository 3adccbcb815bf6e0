"""What a prediction and a lesson cost: each compiled part beside river itself, by number of features.

Random records, seeded; a prediction, then its lesson, for each. In turn, medians with ranges; CPU microseconds a
record (both). The scores are compared in the same run: relative to max(1, |p|) they may differ by 1e-12.

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

from benchmarks.command import Found, check, main, spread
from benchmarks.differences import largest_difference
from stream_ml.kernels.jit import warm
from stream_ml.model.build import build
from stream_ml.model.spec import Input, Model, Tape
from stream_ml.schema.symbols import Symbols

F8 = NDArray[np.float64]
BOUND = 1e-12
TURN = 1_000
logistic, linear = linear_model.LogisticRegression, linear_model.LinearRegression


def scaled(model: Any) -> Any:
    """Scale, then predict."""
    return preprocessing.StandardScaler() | model


def encoded(model: Any) -> Any:
    """Scale the numbers, encode the texts, then predict."""
    numbers_ = compose.SelectType(numbers.Number) | preprocessing.StandardScaler()
    return (numbers_ + (compose.SelectType(str) | preprocessing.OneHotEncoder())) | model


@dataclass(frozen=True, slots=True)
class Case:
    """An estimator and how many numbers and texts it is given."""

    name: str
    made: Callable[[], Any]
    numbers: int
    texts: int = 0
    task: str = "binary"


WIDTHS = (8, 12, 32, 100, 300, 1_000)
CASES = (
    *(Case(f"scaler | logistic regression, {n} numbers", lambda: scaled(logistic()), n) for n in WIDTHS),
    Case("min-max | logistic regression, 12 numbers", lambda: preprocessing.MinMaxScaler() | logistic(), 12),
    Case("scaler | logistic regression (AdaGrad), 12 numbers", lambda: scaled(logistic(optim.AdaGrad())), 12),
    Case("scaler | logistic regression (Adam), 12 numbers", lambda: scaled(logistic(optim.Adam())), 12),
    Case("scaler | logistic regression (l2), 12 numbers", lambda: scaled(logistic(l2=0.01)), 12),
    Case(
        "scaler | linear regression, 12 numbers", lambda: scaled(linear(optim.SGD(0.005), intercept_lr=0.01)), 12,
        task="regression",
    ),
    Case("scaler + one-hot | logistic regression, 8 numbers, 4 texts of 16", lambda: encoded(logistic()), 8, 4),
    Case("scaler + one-hot | logistic regression, 8 numbers, 4 texts of 1,000", lambda: encoded(logistic()), 8, -4),
)  # fmt: skip


def benchmark(quick: bool) -> Found:
    """Measure each case in turn."""
    warm()
    rounds, most = (2, 400) if quick else (5, 20_000)
    found = {}
    for case in CASES:
        records = max(300, min(most, 240_000 // max(8, abs(case.numbers) + 4 * abs(case.texts))))
        found[case.name] = measured(case, records, rounds)
    return {
        "workload": "a prediction and a lesson a record, CPU microseconds of both",
        "rounds": rounds,
        "bound": BOUND,
        "largest_difference": max(one["largest_difference"] for one in found.values()),
        "cases": found,
    }


def measured(case: Case, records: int, rounds: int) -> Found:
    """Return microseconds a record of both, their ratio, and how far the scores are apart."""
    symbols = Symbols()
    rows, x, inputs, truth = data(case, records, symbols)
    compiled, river = [], []
    ours: F8 = np.empty(0)
    theirs: F8 = np.empty(0)
    for _ in range(rounds):
        model = build(case.made(), inputs, case.task, symbols)
        check(holds=all(part.compiled for part in model.parts), what=f"{case.name} is not compiled")
        begun = time.process_time()
        ours = ran(model, x, truth)
        compiled.append((time.process_time() - begun) / records * 1e6)
        estimator = copy.deepcopy(case.made())
        begun = time.process_time()
        theirs = by_hand(estimator, rows, truth, case.task)
        river.append((time.process_time() - begun) / records * 1e6)
    apart = largest_difference(ours, theirs)
    check(holds=apart <= BOUND, what=f"{case.name}: scores differ by {apart}")
    fast, slow = spread(compiled, 3), spread(river, 1)
    return {
        "records": records,
        "compiled_us": fast,
        "river_us": slow,
        "ratio": round(slow["median"] / fast["median"], 1),
        "largest_difference": apart,
    }


def data(case: Case, records: int, symbols: Symbols) -> tuple[list[dict[str, Any]], F8, list[Input], list[Any]]:
    """Return the records as dicts and as columns, their inputs and the truth."""
    draw = np.random.default_rng(11)
    values = draw.normal(size=(records, case.numbers))
    words = draw.integers(0, 16 if case.texts >= 0 else 1_000, (records, abs(case.texts)))
    inputs = [Input(f"n{i:04d}", "float") for i in range(case.numbers)]
    inputs += [Input(f"t{i}", "text") for i in range(abs(case.texts))]
    signal = values @ draw.normal(size=case.numbers) / np.sqrt(case.numbers) + draw.normal(size=records)
    truth: list[Any] = (signal > 0).tolist() if case.task == "binary" else signal.tolist()
    rows, columns = [], [values]
    for i in range(records):
        row: dict[str, Any] = {f"n{j:04d}": value for j, value in enumerate(values[i].tolist())}
        row |= {f"t{j}": f"w{word}" for j, word in enumerate(words[i].tolist())}
        rows.append(row)
    columns += [symbols.code([f"w{word}" for word in words[:, j].tolist()])[:, None] for j in range(abs(case.texts))]
    return rows, np.ascontiguousarray(np.hstack(columns)), inputs, truth


def ran(model: Model, x: F8, truth: Sequence[Any]) -> F8:
    """Return the compiled model's scores, a turn of records at a time."""
    target, found = np.array(truth, np.float64), []
    for start in range(0, len(x), TURN):
        n = min(TURN, len(x) - start)
        y = np.full(2 * n, np.nan)
        y[1::2] = target[start : start + n]
        learn = np.tile(np.array([0, 1], np.uint8), n)
        rows = np.repeat(np.arange(n), 2)
        answers = model.run(Tape(learn, rows, np.ascontiguousarray(x[start : start + n]), y, np.ones(2 * n)))
        check(holds=not answers.errors, what=f"{answers.errors[:1]}")
        found.append(answers.score[::2])
    return np.concatenate(found)


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
