"""river itself behind the same interface: one call an operation, plain Python values, what it raises is reported."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import base, compose
from river.__version__ import __version__ as river_version

from stream_ml.errors import CorruptError, FormatError
from stream_ml.model.graph import last_step, objects
from stream_ml.model.spec import ANOMALY, BINARY, MULTICLASS, Answers, Input, Part, Tape, Texts
from stream_ml.model.unpickle import dumps, loads, own_names

FORMAT: Final = 1
KIND: Final = "river"


class OrderedSelect(compose.Select):
    """river's Select, in the order of the features instead of a set's, which changes with PYTHONHASHSEED."""

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """Return the selected features in their own order; KeyError where one is absent."""
        found = {name: value for name, value in x.items() if name in self.keys}
        if len(found) < len(self.keys):
            raise KeyError(min(str(name) for name in self.keys if name not in found))
        return found


def ordered(estimator: Any) -> Any:
    """Return a deep copy of an estimator (with what it learned) whose Selects keep an order."""
    copied = copy.deepcopy(estimator)
    for item in objects(copied):
        if type(item) is compose.Select:
            item.__class__ = OrderedSelect
    return copied


def takes_weight(estimator: Any) -> bool:
    """Whether the model that answers learns with a weight: `learn_one(x, y, w)`, or hands it on."""
    learn = getattr(type(last_step(estimator)), "learn_one", None)
    if learn is None:
        return False
    parameters = inspect.signature(learn).parameters
    return "w" in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


class RiverModel:
    """An estimator that has no kernel. `run` in record order; between runs `save` and `load`.

    Parameters
    ----------
    estimator
        The user's estimator; it is copied with what it has learned.
    inputs
        The features as the model sees them.
    task
        "binary", "multiclass", "regression" or "anomaly".
    texts
        The symbol table.
    target
        Kind of a multiclass target: "text" (symbol codes), "int", "bool" or "category".
    parts
        What `check` prints about each step.
    """

    def __init__(
        self, estimator: Any, inputs: Sequence[Input], task: str, texts: Texts, target: str, parts: tuple[Part, ...]
    ) -> None:
        self.parts = parts
        self._inputs = tuple(inputs)
        self._task = task
        self._texts = texts
        self._target = target
        self._own = own_names(estimator)
        self._estimator = ordered(estimator)
        self._takes_weight = takes_weight(estimator)
        self._own_label = _has_own_label(estimator)

    def run(self, tape: Tape) -> Answers:
        """Carry out a tape; what the model raises is reported, and nothing stops."""
        many = self._task == MULTICLASS
        n = len(tape)
        answers = Answers(np.full(n, np.nan), [None] * n if many else None, [{} for _ in range(n)] if many else None)
        rows = _dicts(tape.x, self._inputs, self._texts)
        targets = self._targets(tape)
        places = tape.row.tolist()
        for i, learn in enumerate(tape.learn.tolist()):
            x = dict(rows[places[i]])
            try:
                if learn:
                    self._learn(x, targets[i], float(tape.weight[i]))
                else:
                    self._predict(x, i, answers)
            except Exception as error:  # a model may raise anything: it becomes a dead letter
                answers.errors.append((i, f"{type(error).__name__}: {error}"))
        return answers

    def codes(self) -> NDArray[np.int64]:
        """Return no codes: river is given texts."""
        return np.zeros(0, dtype=np.int64)

    def save(self) -> dict[str, Any]:
        """Return the model as bytes for the local snapshot."""
        return {"kind": KIND, "format": FORMAT, "river": river_version, "pickle": dumps(self._estimator)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Replace the model by a saved one.

        Raises
        ------
        FormatError
            The model was written by a newer version.
        CorruptError
            It is a compiled model's state, or its bytes name what no river model needs.
        """
        if state.get("kind") != KIND:
            cause = f"the stored model is a {state.get('kind')!r} model and this one runs in river"
            raise CorruptError(cause, "Start with the file it was saved from, or reset the model")
        if int(state["format"]) > FORMAT:
            cause = f"the stored model has format {state['format']}"
            raise FormatError(cause, "Install a newer stream_ml")
        loaded = loads(bytes(state["pickle"]), self._own)
        if type(loaded) is not type(self._estimator):
            cause = f"the stored model is a {type(loaded).__name__}"
            raise CorruptError(cause, "Start with the file it was saved from, or reset the model")
        self._estimator = loaded

    def serving(self) -> dict[str, NDArray[Any]]:
        """Return the model as the bytes of one array."""
        return {"pickle": np.frombuffer(dumps(self._estimator), np.uint8)}

    def serve(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Replace the model by one that `serving` gave.

        Raises
        ------
        CorruptError
            Its bytes name what no river model needs, or there are none.
        """
        if "pickle" not in arrays:
            cause = "the version is of a compiled model and this one runs in river"
            raise CorruptError(cause, "Run learner and scorers from one file")
        self.load({"kind": KIND, "format": FORMAT, "pickle": arrays["pickle"].tobytes()})

    def _targets(self, tape: Tape) -> list[Any]:
        """Return the target of each operation as river is given it; None where there is none."""
        known = (tape.learn == 1) & ~np.isnan(tape.y)
        made: list[Any] = [None] * len(tape)
        values = tape.y[known]
        if self._task == BINARY:
            converted: list[Any] = [value != 0.0 for value in values.tolist()]
        elif self._task == MULTICLASS:
            converted = _column(values, self._target, self._texts)
        else:
            converted = values.tolist()
        for i, value in zip(np.flatnonzero(known).tolist(), converted, strict=True):
            made[i] = value
        return made

    def _learn(self, x: dict[str, Any], y: Any, weight: float) -> None:
        if self._task == ANOMALY:
            self._estimator.learn_one(x)
        elif weight == 1.0:
            self._estimator.learn_one(x, y)
        elif self._takes_weight:
            self._estimator.learn_one(x, y, w=weight)
        else:
            cause = f"{type(last_step(self._estimator)).__name__} learns without weights"
            raise TypeError(cause)

    def _predict(self, x: dict[str, Any], i: int, answers: Answers) -> None:
        if self._task == ANOMALY:
            answers.score[i] = _number(self._estimator.score_one(x))
        elif self._task == BINARY:
            answers.score[i] = self._truth(x)
        elif self._task == MULTICLASS:
            self._classify(x, i, answers)
        else:
            answers.score[i] = _number(self._estimator.predict_one(x))

    def _truth(self, x: dict[str, Any]) -> float:
        """Return P(true); 0 or 1 from a classifier without probabilities; NaN where it has no opinion."""
        try:
            chances = self._estimator.predict_proba_one(x)
        except NotImplementedError:
            said = self._estimator.predict_one(x)
            return np.nan if said is None else float(bool(said))
        return float(chances.get(True, 0.0)) if chances else np.nan

    def _classify(self, x: dict[str, Any], i: int, answers: Answers) -> None:
        try:
            chances = self._estimator.predict_proba_one(x) or {}
        except NotImplementedError:
            label = self._estimator.predict_one(x)
            chances = {} if label is None else {label: 1.0}
        else:
            if self._own_label:
                label = self._estimator.predict_one(x)
            else:
                label = max(chances, key=chances.__getitem__) if chances else None
        found = {_plain(key): float(chance) for key, chance in chances.items()}
        label = _plain(label)
        if answers.label is not None and answers.probabilities is not None:
            answers.label[i] = label
            answers.probabilities[i] = found
        answers.score[i] = found.get(label, np.nan)


def _has_own_label(estimator: Any) -> bool:
    """Whether the predicted class is not simply the most probable one."""
    return getattr(type(last_step(estimator)), "predict_one", None) is not base.Classifier.predict_one


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def _column(values: NDArray[np.float64], kind: str, texts: Texts) -> list[Any]:
    """Return present values of one column as Python values of their kind."""
    if kind == "text":
        return list(texts.text(values))
    convert: Mapping[str, Callable[[float], Any]] = {
        "float": float,
        "int": int,
        "bool": bool,
        "category": lambda value: str(int(value)),
    }
    return list(map(convert[kind], values.tolist()))


def _dicts(x: NDArray[np.float64], inputs: Sequence[Input], texts: Texts) -> list[dict[str, Any]]:
    """Return each row as a dict of Python values; what is missing is absent."""
    rows: list[dict[str, Any]] = [{} for _ in range(len(x))]
    for j, one in enumerate(inputs):
        present = np.flatnonzero(~np.isnan(x[:, j]))
        for i, value in zip(present.tolist(), _column(x[present, j], one.kind, texts), strict=True):
            rows[i][one.name] = value
    return rows
