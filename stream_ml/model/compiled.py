"""A river pipeline of scalers, one-hot encoders and a linear model, run by one kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import CorruptError, FormatError
from stream_ml.kernels import linear
from stream_ml.kernels.table import refill
from stream_ml.model.analysis import Plan
from stream_ml.model.spec import Answers, Input, Part, Tape, Texts
from stream_ml.model.takeover import LINK, TERM, Learned, learned

FORMAT: Final = 1
KIND: Final = "linear"
CURE: Final = "Start with the file it was saved from, or reset the model"
FIRST_CAPACITY: Final = 64


class LinearModel:
    """The compiled model. State is arrays; categories are slots in the order in which they were learned.

    `run` in record order; between runs `save`, `load` and `codes` in any order.

    Parameters
    ----------
    plan
        What :func:`stream_ml.model.analysis.analyse` made of the estimator; what that had learned is taken over.
    inputs
        The features as the model sees them.
    parts
        What `check` prints about each step.
    texts
        The symbol table.
    """

    def __init__(self, plan: Plan, inputs: Sequence[Input], parts: tuple[Part, ...], texts: Texts) -> None:
        self.parts = parts
        self._texts = texts
        self._inputs = tuple(inputs)
        self._signature = _signature(plan)
        self._links = np.array(plan.links, dtype=np.int64).reshape(len(plan.links), 2)
        steps = np.array([*plan.steps, *plan.terms], dtype=np.int64).reshape(-1, 4)
        self._plan = (steps, self._links, plan.settings)
        self._encoded = sum(block.last - block.first for _, block in plan.blocks)
        self._said = (np.zeros(0, np.uint8), np.zeros(0, np.int64))
        self._selects = any(step[0] == linear.REQUIRE for step in plan.steps)
        self._put(learned(plan, inputs))

    def run(self, tape: Tape) -> Answers:
        """Carry out a tape; cutting it into pieces changes no bit."""
        n = len(tape)
        score = np.full(n, np.nan)
        status = np.zeros(n, dtype=np.int64)
        given = (
            np.ascontiguousarray(tape.learn, dtype=np.uint8),
            np.ascontiguousarray(tape.row, dtype=np.int64),
            np.ascontiguousarray(tape.x, dtype=np.float64),
            np.ascontiguousarray(tape.y, dtype=np.float64),
            np.ascontiguousarray(tape.weight, dtype=np.float64),
        )
        done = linear.run(given, self._plan, self._state, (score, status), 0)
        while done < n:
            self._grow()
            done = linear.run(given, self._plan, self._state, (score, status), done)
        errors = []
        if self._selects:
            failed = np.flatnonzero(status)
            errors = [(int(i), f"KeyError: {self._inputs[int(status[i]) - 1].name!r}") for i in failed]
        return Answers(score=score, errors=errors)

    def codes(self) -> NDArray[np.int64]:
        """Return the symbol codes of the categories learned."""
        of, categories, _ = self._slots()
        return np.unique(categories[self._is_text()[of]])

    def save(self) -> dict[str, Any]:
        """Return the state as named arrays and lists; categories by their text, in the order learned."""
        values, head, counts, slots, _, _ = self._state
        of, categories, _ = self._slots()
        text = self._is_text()[of]
        known = iter(self._texts.text(categories[text].astype(np.float64)))
        return {
            "kind": KIND,
            "format": FORMAT,
            "plan": list(self._signature),
            "values": values.T.copy(),
            "intercept": float(head[linear.INTERCEPT]),
            "taken": int(counts[linear.STEPS_TAKEN]),
            "links": of.copy(),
            "categories": [
                next(known) if is_text else _word(self._kind(int(link)), int(category))
                for link, category, is_text in zip(of, categories, text, strict=True)
            ],
            "rows": slots[:TERM, : counts[linear.SLOTS]].T.copy(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Replace the state by a saved one.

        Raises
        ------
        FormatError
            The state was written by a newer version.
        CorruptError
            It belongs to another estimator or other inputs.
        """
        if state.get("kind") != KIND:
            cause = f"the stored model is a {state.get('kind')!r} model and this one is {KIND!r}"
            raise CorruptError(cause, CURE)
        if int(state["format"]) > FORMAT:
            cause = f"the stored model has format {state['format']}"
            raise FormatError(cause, "Install a newer stream_ml")
        if list(state["plan"]) != list(self._signature):
            cause = "the stored model belongs to other features or another estimator"
            raise CorruptError(cause, CURE)
        rows = np.array(state["rows"], dtype=np.float64).reshape(-1, TERM)
        links = [int(link) for link in state["links"]]
        values = np.array(state["values"], dtype=np.float64).reshape(len(self._links), LINK)
        categories = [str(text) for text in state["categories"]]
        if not len(rows) == len(links) == len(categories):
            cause = "the stored model has categories without weights"
            raise CorruptError(cause, "Restore an older snapshot")
        self._put(Learned(values, float(state["intercept"]), int(state["taken"]), links, categories, rows))

    def serving(self) -> dict[str, NDArray[Any]]:
        """Return scalers, weights and the names of the categories as arrays; what only lessons need is left out."""
        values, head, _, _, _, _ = self._state
        of, categories, weights = self._slots()
        raw, ends = self._say()
        return {
            "plan": self._named_plan(),
            "values": values.T.copy(),
            "intercept": head.copy(),
            "links": of.astype(np.int16),
            "numbers": np.where(self._text_slots(of), 0, categories),
            "texts": raw,
            "ends": ends,
            "weights": weights.copy(),
        }

    def serve(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Predict from now on with these weights.

        Raises
        ------
        CorruptError
            They belong to another estimator or other inputs.
        """
        if "plan" not in arrays or not np.array_equal(arrays["plan"], self._named_plan()):
            cause = "the model version belongs to other features or another estimator"
            raise CorruptError(cause, "Run learner and scorers from one file")
        if not self._begins(arrays):
            nothing = Learned(arrays["values"].copy(), 0.0, 0, [], [], np.zeros((0, TERM)))
            self._put(nothing)
        self._append(arrays)
        values, head, _, slots, _, _ = self._state
        values[:] = arrays["values"].T
        head[:] = arrays["intercept"]
        slots[0, : arrays["weights"].size] = arrays["weights"]

    def _named_plan(self) -> NDArray[np.uint8]:
        return np.frombuffer("\n".join(self._signature).encode(), np.uint8)

    def _text_slots(self, of: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which slots, by their links, are of texts."""
        found: NDArray[np.bool_] = self._is_text()[of]
        return found

    def _say(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the texts of the slots that have one: UTF-8 one after the other, and where each ends."""
        of, categories, _ = self._slots()
        raw, ends = self._said
        codes = categories[self._text_slots(of)][ends.size :]
        if codes.size:
            fresh = [(text or "").encode("utf-8", "surrogatepass") for text in self._texts.text(codes.astype(float))]
            stops = np.cumsum([len(text) for text in fresh], dtype=np.int64)
            self._said = (
                np.concatenate([raw, np.frombuffer(b"".join(fresh), np.uint8)]),
                np.concatenate([ends, stops + raw.size]),
            )
        return self._said

    def _begins(self, arrays: Mapping[str, NDArray[Any]]) -> bool:
        """Return whether this model's slots are the first ones of a version's."""
        of, categories, _ = self._slots()
        raw, ends = self._say()
        numbers = np.where(self._text_slots(of), 0, categories)
        pairs = ((of, "links"), (numbers, "numbers"), (ends, "ends"), (raw, "texts"))
        return all(np.array_equal(mine, arrays[name][: mine.size]) for mine, name in pairs)

    def _append(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Make the slots of a version's that this model does not have yet."""
        have = int(self._state[2][linear.SLOTS])
        of = arrays["links"][have:].astype(np.int64)
        if not of.size:
            return
        while len(self._state[4]) < arrays["links"].size + self._encoded:
            self._grow()
        categories = arrays["numbers"][have:].astype(np.int64)
        known = self._said[1].size
        raw, stops = arrays["texts"].tobytes(), arrays["ends"].tolist()
        starts = [0, *stops]
        texts = [
            raw[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts[known:], stops[known:], strict=False)
        ]
        if texts:
            categories[self._text_slots(of)] = self._texts.code(texts).astype(np.int64)
        linear.insert(self._links, self._state, of, categories)
        self._said = (arrays["texts"].copy(), arrays["ends"].copy())

    def _kind(self, link: int) -> str:
        return self._inputs[int(self._links[link, 1])].kind

    def _is_text(self) -> NDArray[np.bool_]:
        """Return for each link whether its categories are symbol codes."""
        return np.array([self._kind(link) == "text" for link in range(len(self._links))], dtype=np.bool_)

    def _slots(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        _, _, counts, slots, keys, _ = self._state
        n = int(counts[linear.SLOTS])
        return keys[:n, 0], keys[:n, 1], slots[0, :n]

    def _put(self, state: Learned) -> None:
        """Make the arrays from named state; categories get this engine's symbol codes."""
        self._said = (np.zeros(0, np.uint8), np.zeros(0, np.int64))
        n = len(state.links)
        capacity = FIRST_CAPACITY
        while capacity < n + self._encoded:
            capacity *= 2
        of = np.array(state.links, dtype=np.int64)
        is_text = self._is_text()[of] if n else np.zeros(0, dtype=np.bool_)
        texts = [text for text, known in zip(state.categories, is_text, strict=True) if known]
        coded = iter(self._texts.code(texts)) if texts else iter(())
        pairs = zip(state.categories, state.links, is_text, strict=True)
        categories = [int(next(coded)) if known else _number(self._kind(link), text) for text, link, known in pairs]
        self._state = (
            np.ascontiguousarray(state.values.T),
            np.array([state.intercept]),
            np.array([0, state.taken], dtype=np.int64),
            np.zeros((linear.ROWS, capacity)),
            np.zeros((capacity, 2), dtype=np.int64),
            np.zeros((4 * capacity, 2), dtype=np.int64),
        )
        linear.insert(self._links, self._state, of, np.array(categories, dtype=np.int64))
        self._state[3][:TERM, :n] = state.rows.T

    def _grow(self) -> None:
        """Double the room for categories."""
        values, head, counts, slots, keys, table = self._state
        capacity = 2 * len(keys)
        while capacity < int(counts[linear.SLOTS]) + self._encoded:
            capacity *= 2
        wider = np.zeros((linear.ROWS, capacity))
        wider[:, : len(keys)] = slots
        named = np.zeros((capacity, 2), dtype=np.int64)
        named[: len(keys)] = keys
        found = np.zeros((4 * capacity, 2), dtype=np.int64)
        refill(table, found)
        self._state = (values, head, counts, wider, named, found)


def _number(kind: str, text: str) -> int:
    return int(text == "True") if kind == "bool" else int(text)


def _word(kind: str, number: int) -> str:
    return str(bool(number)) if kind == "bool" else str(number)


def _signature(plan: Plan) -> tuple[str, ...]:
    """Return what two models must share for one to load the other's state."""
    steps = [":".join(map(str, step)) for step in (*plan.steps, *plan.terms)]
    names = [f"{type(owner).__name__}.{name}" for owner, name in plan.owners]
    return (*steps, *names, *(repr(float(value)) for value in plan.settings))
