"""From a river estimator to the plan of :mod:`stream_ml.kernels.linear`, or to the reason why there is none.

The estimator is executed once on symbols instead of numbers: each step maps a dict of names to where their values will
stand. dict order is kept as river would have it, since the order of a sum shows in its last bits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import compose, linear_model, optim, preprocessing

from stream_ml.kernels import descent, linear, scalers
from stream_ml.model.spec import BINARY, PYTHON_TYPES, REGRESSION, Input, Part

#: Links that can be told apart by one 64-bit word together with a whole number up to 2**53.
MOST_LINKS: Final = 1023
MOST_POWER: Final = 10.0
SAMPLES: Final[Mapping[str, Any]] = {kind: made(1) for kind, made in PYTHON_TYPES.items()}


class NotCompiledError(Exception):
    """A step that the kernels cannot run as river would."""

    def __init__(self, step: Any, why: str) -> None:
        super().__init__(why)
        self.step = step
        self.why = why


@dataclass(frozen=True, slots=True)
class Column:
    """A number or text under way: the register it stands in, the input it came from, its kind."""

    register: int
    base: int
    kind: str


@dataclass(frozen=True, slots=True)
class Block:
    """All columns of a one-hot encoder: its links, its input names, whether zeros are dropped."""

    first: int
    last: int
    names: tuple[str, ...]
    drop: bool


Columns = dict[str, "Column | Block"]


@dataclass(slots=True)
class Plan:
    """What the kernel is told, and which river objects its state belongs to."""

    steps: list[tuple[int, int, int, int]] = field(default_factory=list)
    links: list[tuple[int, int]] = field(default_factory=list)
    #: For each link: (river step, feature name). A term belongs to the estimator.
    owners: list[tuple[Any, str]] = field(default_factory=list)
    terms: list[tuple[int, int, int, int]] = field(default_factory=list)
    settings: NDArray[np.float64] = field(default_factory=lambda: np.zeros(descent.SETTINGS))
    blocks: list[tuple[Any, Block]] = field(default_factory=list)
    estimator: Any = None


def leaves(estimator: Any, name: str = "") -> list[tuple[str, Any]]:
    """Return the steps of an estimator that are not pipelines or unions, with their names, in order."""
    if type(estimator) is compose.Pipeline:
        return [leaf for key, step in estimator.steps.items() for leaf in leaves(step, str(key))]
    if type(estimator) is compose.TransformerUnion:
        return [leaf for key, step in estimator.transformers.items() for leaf in leaves(step, str(key))]
    return [(name or type(estimator).__name__, estimator)]


def _scheduler(rate: Any) -> tuple[float, float, float] | None:
    if type(rate) is optim.schedulers.Constant:
        return float(rate.learning_rate), float(descent.CONSTANT), 0.0
    if type(rate) is optim.schedulers.InverseScaling and 0.0 <= rate.power <= MOST_POWER:
        return float(rate.learning_rate), float(descent.INVERSE), float(rate.power)
    return None


def _optimizer(optimizer: Any) -> dict[int, float] | str:
    rate = _scheduler(optimizer.lr)
    if rate is None:
        return f"its rate {type(optimizer.lr).__name__} runs in river"
    found = dict(zip((descent.RATE, descent.RATE_KIND, descent.RATE_POWER), rate, strict=True))
    if type(optimizer) is optim.SGD:
        return {**found, descent.OPTIMIZER: float(descent.SGD)}
    if type(optimizer) is optim.AdaGrad and optimizer.eps > 0.0:
        return {**found, descent.OPTIMIZER: float(descent.ADAGRAD), descent.EPS: float(optimizer.eps)}
    if type(optimizer) is optim.Adam and optimizer.eps > 0.0:
        betas = {descent.BETA_1: float(optimizer.beta_1), descent.BETA_2: float(optimizer.beta_2)}
        if all(0.0 <= beta < 1.0 for beta in betas.values()):
            return {**found, **betas, descent.OPTIMIZER: float(descent.ADAM), descent.EPS: float(optimizer.eps)}
    return f"its optimizer {type(optimizer).__name__} runs in river"


def _loss(step: Any) -> dict[int, float] | str:
    if type(step) is linear_model.LogisticRegression and type(step.loss) is optim.losses.Log:
        weights = {descent.WEIGHT_POS: float(step.loss.weight_pos), descent.WEIGHT_NEG: float(step.loss.weight_neg)}
        return {descent.LOSS: float(descent.LOG), **weights}
    if type(step) is linear_model.LinearRegression and type(step.loss) is optim.losses.Squared:
        return {descent.LOSS: float(descent.SQUARED)}
    return f"its loss {type(step.loss).__name__} runs in river"


def _settings(step: Any) -> dict[int, float] | str:
    """Return the settings of a linear model, or why it has none."""
    loss = _loss(step)
    if isinstance(loss, str):
        return loss
    if step.l1 != 0:
        return "l1 runs in river"
    if not (isinstance(step.initializer, optim.initializers.Constant) and step.initializer.value == 0):
        return "weights that do not start at 0 run in river"
    optimizer = _optimizer(step.optimizer)
    if isinstance(optimizer, str):
        return optimizer
    bias = _scheduler(step.intercept_lr)
    if bias is None:
        return f"its intercept_lr {type(step.intercept_lr).__name__} runs in river"
    biases = dict(zip((descent.BIAS_RATE, descent.BIAS_KIND, descent.BIAS_POWER), bias, strict=True))
    return {**loss, **optimizer, **biases, descent.L2: float(step.l2), descent.CLIP: float(step.clip_gradient)}


def reason(step: Any) -> str:
    """Return why a step, looked at alone, is not compiled; empty where it is."""
    kind = type(step)
    if kind in {compose.Select, compose.SelectType, compose.Discard}:
        return ""
    if kind in {preprocessing.StandardScaler, preprocessing.MinMaxScaler}:
        return "" if step.window_size is None else "window_size runs in river"
    if kind is preprocessing.OneHotEncoder:
        if step.categories is not None:
            return "given categories run in river"
        return "drop_first runs in river" if step.drop_first else ""
    if kind in {linear_model.LogisticRegression, linear_model.LinearRegression}:
        found = _settings(step)
        return found if isinstance(found, str) else ""
    return f"{kind.__name__} runs in river"


class Analysis:
    """One symbolic execution: `plan_of` does it."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._inputs = list(inputs)
        self._plan = Plan()

    def plan_of(self, estimator: Any) -> Plan:
        """Return the plan of an estimator; NotCompiledError names the step that prevents one."""
        columns: Columns = {one.name: Column(j, j, one.kind) for j, one in enumerate(self._inputs)}
        steps = list(estimator.steps.values()) if type(estimator) is compose.Pipeline else [estimator]
        for step in steps[:-1]:
            if type(step) is compose.Pipeline:
                raise NotCompiledError(step, "a pipeline that is a step of a pipeline runs in river")
            columns = self._apply(step, columns)
        self._finish(steps[-1], columns)
        return self._plan

    def _apply(self, step: Any, columns: Columns) -> Columns:
        kind = type(step)
        if kind is compose.Pipeline:
            for inner in step.steps.values():
                if type(inner) is compose.Pipeline:
                    raise NotCompiledError(inner, "a pipeline that is a step of a pipeline runs in river")
                columns = self._apply(inner, columns)
            return columns
        if kind is compose.TransformerUnion:
            parts = [self._apply(part, columns) for part in step.transformers.values()]
            merged: Columns = {}
            for part in reversed(parts):
                merged.update(part)
            return merged
        why = reason(step)
        known: dict[type, Callable[[Any, Columns], Columns]] = {
            compose.Select: self._select,
            compose.Discard: self._discard,
            compose.SelectType: self._select_type,
            preprocessing.OneHotEncoder: self._encode,
            preprocessing.StandardScaler: self._scale,
            preprocessing.MinMaxScaler: self._scale,
        }
        apply = known.get(kind)
        if why or apply is None:
            raise NotCompiledError(step, why or f"{kind.__name__} before the end of a pipeline runs in river")
        return apply(step, columns)

    def _link(self, owner: Any, name: str, column: Column) -> int:
        self._plan.links.append((column.register, column.base))
        self._plan.owners.append((owner, name))
        return len(self._plan.links) - 1

    def _select(self, step: Any, columns: Columns) -> Columns:
        for key in step.keys:
            if not isinstance(columns.get(key), Column):
                raise NotCompiledError(step, f"it selects {key!r}, which is no feature that reaches it")
        kept = {name: column for name, column in columns.items() if name in step.keys}
        first = len(self._plan.links)
        for name, column in kept.items():
            if isinstance(column, Column):
                self._link(step, name, column)
        self._plan.steps.append((linear.REQUIRE, first, len(self._plan.links), 0))
        return kept

    def _discard(self, step: Any, columns: Columns) -> Columns:
        prefixes = _prefixes(columns)
        if any(str(key).startswith(prefixes) for key in step.keys):
            raise NotCompiledError(step, "it may discard one-hot columns by name")
        return {name: column for name, column in columns.items() if name not in step.keys}

    def _select_type(self, step: Any, columns: Columns) -> Columns:
        return {name: column for name, column in columns.items() if isinstance(SAMPLES[_kind(column)], step.types)}

    def _encode(self, step: Any, columns: Columns) -> Columns:
        first = len(self._plan.links)
        for name, column in columns.items():
            if isinstance(column, Block) or column.register >= len(self._inputs):
                raise NotCompiledError(step, "it encodes what another step made")
            if column.kind == "float":
                raise NotCompiledError(step, f"it encodes {name!r}, which is a float")
            self._link(step, name, column)
        block = Block(first, len(self._plan.links), tuple(columns), bool(step.drop_zeros))
        self._plan.steps.append((linear.ENCODE, block.first, block.last, int(block.drop)))
        self._plan.blocks.append((step, block))
        return {f"\0{first}": block}

    def _scale(self, step: Any, columns: Columns) -> Columns:
        first = len(self._plan.links)
        scaled: Columns = {}
        for name, column in columns.items():
            if isinstance(column, Block):
                raise NotCompiledError(step, "it scales one-hot columns")
            if PYTHON_TYPES[column.kind] is str:
                raise NotCompiledError(step, f"it scales {name!r}, which is a text")
            link = self._link(step, name, column)
            scaled[name] = Column(len(self._inputs) + link, column.base, "float")
        operation = scalers.MIN_MAX
        if type(step) is preprocessing.StandardScaler:
            operation = scalers.STANDARD if step.with_std else scalers.CENTER
        self._plan.steps.append((operation, first, len(self._plan.links), 0))
        return scaled

    def _finish(self, step: Any, columns: Columns) -> None:
        """Make the terms of the sum, runs of numbers and encoders' blocks, in the order of the dict."""
        if type(step) not in {linear_model.LogisticRegression, linear_model.LinearRegression}:
            raise NotCompiledError(step, f"{type(step).__name__} runs in river")
        found = _settings(step)
        if isinstance(found, str):
            raise NotCompiledError(step, found)
        for place, value in found.items():
            self._plan.settings[place] = value
        self._plan.estimator = step
        self._check_names(step, columns)
        for name, column in columns.items():
            if isinstance(column, Block):
                self._plan.terms.append((linear.CATEGORIES, column.first, column.last, int(column.drop)))
                continue
            if PYTHON_TYPES[column.kind] is str:
                raise NotCompiledError(step, f"{name!r} reaches it as a text")
            link = self._link(step, name, column)
            last = self._plan.terms[-1] if self._plan.terms else (linear.CATEGORIES, 0, 0, 0)
            if last[0] == linear.NUMBERS:
                self._plan.terms[-1] = (linear.NUMBERS, last[1], link + 1, 0)
            else:
                self._plan.terms.append((linear.NUMBERS, link, link + 1, 0))
        encoded = [i for _, block in self._plan.blocks for i in range(block.first, block.last)]
        whole = any(self._inputs[self._plan.links[i][1]].kind != "text" for i in encoded)
        if whole and len(self._plan.links) > MOST_LINKS:
            raise NotCompiledError(step, f"numbers are one-hot encoded among more than {MOST_LINKS} columns")

    def _check_names(self, step: Any, columns: Columns) -> None:
        """Refuse names that could meet: river would keep one weight for "a" = "b_c" and "a_b" = "c"."""
        encoded = [name for _, block in self._plan.blocks for name in block.names]
        numbers = [name for name, column in columns.items() if isinstance(column, Column)]
        texts = {one.name for one in self._inputs if one.kind == "text"}
        for j, name in enumerate(encoded):
            others = [*encoded[:j], *encoded[j + 1 :]]
            met = [one for one in others if one == name]
            if name in texts:
                met += [one for one in (*others, *numbers) if one.startswith(f"{name}_")]
            else:  # its values are whole numbers or truths: they hold no "_"
                met += [one for one in numbers if _WHOLE.fullmatch(one.removeprefix(f"{name}_")) and one != name]
            if met:
                why = f"one-hot columns of {name!r} may have the names of those of {met[0]!r}"
                raise NotCompiledError(step, why)


_WHOLE = re.compile(r"-?[0-9]+|True|False")


def _kind(column: Column | Block) -> str:
    return "int" if isinstance(column, Block) else column.kind


def _prefixes(columns: Columns) -> tuple[str, ...]:
    blocks = [column for column in columns.values() if isinstance(column, Block)]
    return tuple(f"{name}_" for block in blocks for name in block.names)


def analyse(estimator: Any, inputs: Sequence[Input], task: str) -> tuple[Plan | None, tuple[Part, ...]]:
    """Return the plan of an estimator, None where river must run it, and what is said of each of its steps.

    Parameters
    ----------
    estimator
        A river pipeline or estimator; it is only read.
    inputs
        The features as the model sees them.
    task
        "binary", "multiclass", "regression" or "anomaly".
    """
    steps = leaves(estimator)
    final = steps[-1][1]
    fits: dict[type, str] = {linear_model.LogisticRegression: BINARY, linear_model.LinearRegression: REGRESSION}
    why = {id(step): reason(step) for _, step in steps}
    plan = None
    if type(final) in fits and fits[type(final)] != task:
        why[id(final)] = f"{type(final).__name__} for a {task} task runs in river"
    elif not any(why.values()):
        try:
            plan = Analysis(inputs).plan_of(estimator)
        except NotCompiledError as error:
            if id(error.step) in why:
                why[id(error.step)] = error.why
            else:
                why[id(final)] = error.why
    if plan is not None:
        return plan, tuple(Part(name, True, "a kernel with river's arithmetic") for name, _ in steps)
    culprits = ", ".join(dict.fromkeys(name for name, step in steps if why[id(step)]))
    together = f"a pipeline is compiled as a whole, and {culprits} is not"
    return None, tuple(Part(name, False, why[id(step)] or together) for name, step in steps)
