"""Laws of a running model: cuts are invisible, a saved state goes on with the same bits, predictions teach nothing."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import linear_model, naive_bayes, optim, preprocessing, tree

from stream_ml.errors import CorruptError, FormatError
from stream_ml.model.build import build
from stream_ml.model.spec import Answers, Input, Model, Tape
from tests.model.estimators import INPUTS, classifiers, mixed, stream
from tests.model.tapes import Op, Symbols, by_hand, cut, difference, tape
from tests.scale import examples

CLASSIFIERS = classifiers()
#: One compiled model for each kind of state, and two that river runs.
LAWFUL: dict[str, Any] = {
    name: CLASSIFIERS[name]
    for name in ("adam-zeros-l2=0.01", "adagrad-dropped-l2=0.01", "flags-encoded", "scaled-twice")
}
LAWFUL["river-tree"] = mixed(drop_zeros=True) | tree.HoeffdingTreeClassifier(grace_period=20)
LAWFUL["river-bayes"] = mixed(drop_zeros=True) | naive_bayes.GaussianNB()
OPS = stream(31, 300)


def same(one: Answers, other: Answers) -> bool:
    return np.array_equal(one.score.view(np.int64), other.score.view(np.int64)) and one.errors == other.errors


def together(parts: list[tuple[int, Answers]]) -> Answers:
    score = np.concatenate([answers.score for _, answers in parts])
    return Answers(score, errors=[(first + i, said) for first, answers in parts for i, said in answers.errors])


def state_of(model: Model) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in model.save().items()}


@pytest.mark.parametrize("name", LAWFUL)
@pytest.mark.parametrize("seed", range(3))
def test_cuts_are_invisible(name: str, seed: int) -> None:
    symbols = Symbols()
    whole = tape(OPS, INPUTS, symbols)
    expected = build(LAWFUL[name], INPUTS, "binary", symbols)
    answers = expected.run(whole)
    rng = np.random.default_rng(seed)
    edges = [0, *sorted(rng.integers(0, len(whole), 12).tolist()), len(whole)]
    model = build(LAWFUL[name], INPUTS, "binary", symbols)
    parts = [(a, model.run(cut(whole, a, b))) for a, b in itertools.pairwise(edges)]
    assert same(together(parts), answers)
    if not name.startswith("river"):
        assert state_of(model) == state_of(expected)


@pytest.mark.parametrize("name", LAWFUL)
@pytest.mark.parametrize("at", [0, 1, 57, 160, len(OPS)])
def test_saved_and_loaded_elsewhere_it_goes_on_with_the_same_bits(name: str, at: int) -> None:
    """The other engine gave the texts other symbol codes."""
    here, there = Symbols(), Symbols(first=1000)
    there.code(["something else", "ES"])
    whole, elsewhere = tape(OPS, INPUTS, here), tape(OPS, INPUTS, there)
    model = build(LAWFUL[name], INPUTS, "binary", here)
    expected = model.run(whole)
    first = build(LAWFUL[name], INPUTS, "binary", here)
    before = first.run(cut(whole, 0, at))
    second = build(LAWFUL[name], INPUTS, "binary", there)
    second.load(first.save())
    after = second.run(cut(elsewhere, at, len(whole)))
    assert same(together([(0, before), (at, after)]), expected)
    assert set(second.codes().tolist()) <= set(there.known.values())
    if not name.startswith("river"):
        assert state_of(second) == state_of(model)


@pytest.mark.parametrize("name", LAWFUL)
def test_predictions_teach_nothing(name: str) -> None:
    symbols = Symbols()
    model = build(LAWFUL[name], INPUTS, "binary", symbols)
    model.run(tape(OPS, INPUTS, symbols))
    asked = tape([Op(op.x) for op in stream(77, 100)], INPUTS, symbols)
    once, again = model.run(asked), model.run(asked)
    assert same(once, again)


def test_codes_are_those_of_learned_texts() -> None:
    symbols = Symbols(first=5)
    model = build(mixed(drop_zeros=True) | linear_model.LogisticRegression(), INPUTS, "binary", symbols)
    model.run(tape([Op({"country": "FR"}), Op({"country": "DE"}, True), Op({"bin": "7"}, False)], INPUTS, symbols))
    assert model.codes().tolist() == [symbols.known["DE"]]


def as_bytes(whole: Tape) -> list[bytes]:
    x, y, weight = whole.x.tobytes(), whole.y.tobytes(), whole.weight.tobytes()
    return [whole.learn.tobytes(), whole.row.tobytes(), x, y, weight]


def test_inputs_are_not_changed_and_not_kept() -> None:
    symbols = Symbols()
    whole = tape(OPS, INPUTS, symbols)
    before = as_bytes(whole)
    model = build(LAWFUL["adam-zeros-l2=0.01"], INPUTS, "binary", symbols)
    model.run(whole)
    assert as_bytes(whole) == before
    saved = state_of(model)
    whole.x[:] = 0.0
    assert state_of(model) == saved


def test_an_empty_tape_and_an_empty_row() -> None:
    symbols = Symbols()
    model = build(mixed(drop_zeros=False) | linear_model.LogisticRegression(), INPUTS, "binary", symbols)
    none = cut(tape([Op({})], INPUTS, symbols), 0, 0)
    assert len(model.run(none).score) == 0
    assert model.run(tape([Op({})], INPUTS, symbols)).score.tolist() == [0.5]


def test_thousands_of_categories_grow_the_state_and_nothing_is_lost() -> None:
    inputs = (Input("id", "text"), Input("n", "int"))
    rng = np.random.default_rng(2)
    ops = [
        Op({"id": f"u{rng.integers(4000)}", "n": int(rng.integers(-9, 9)) * 2**40}, bool(rng.random() < 0.5))
        for _ in range(6000)
    ]
    ops += [Op(op.x) for op in ops[:500]]
    estimator = preprocessing.OneHotEncoder(drop_zeros=True) | linear_model.LogisticRegression(optim.AdaGrad())
    symbols = Symbols()
    model = build(estimator, inputs, "binary", symbols)
    answers = model.run(tape(ops, inputs, symbols))
    scores, _, river = by_hand(estimator, ops, "binary")
    assert difference(answers.score, scores) <= 1e-12
    assert len(model.save()["categories"]) == len(list(river.steps.values())[-1].weights) > 3000


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.floats(-1e6, 1e6),
        "ratio": st.sampled_from([0.0, -0.0, 1.0, 1e-300, 1e150]),
        "count": st.integers(-(2**53), 2**53),
        "night": st.booleans(),
        "country": st.text(max_size=3),
        "bin": st.integers(-3, 3).map(str),
    },
)
OPERATION = st.builds(Op, VALUES, st.one_of(st.none(), st.booleans()), st.sampled_from([0.5, 1.0, 3.0]))


@settings(max_examples=examples(60), deadline=None)
@given(
    name=st.sampled_from(["sgd-zeros-l2=0.01", "adagrad-zeros-l2=0.0", "adam-dropped-l2=0.01", "flags-encoded"]),
    ops=st.lists(OPERATION, max_size=40),
    at=st.integers(0, 40),
)
def test_any_tape_gives_rivers_answers_and_can_be_cut_anywhere(name: str, ops: list[Op], at: int) -> None:
    symbols = Symbols()
    whole = tape(ops, INPUTS, symbols)
    answers = build(CLASSIFIERS[name], INPUTS, "binary", symbols).run(whole)
    scores, raised, _ = by_hand(CLASSIFIERS[name], ops, "binary")
    assert [i for i, _ in answers.errors] == raised
    if name != "flags-encoded":  # unscaled numbers up to 2**53 do not converge
        assert difference(answers.score, scores) <= 1e-12
    at = min(at, len(ops))
    other = Symbols(first=9)
    first = build(CLASSIFIERS[name], INPUTS, "binary", symbols)
    before = first.run(cut(whole, 0, at))
    second = build(CLASSIFIERS[name], INPUTS, "binary", other)
    second.load(first.save())
    after = second.run(cut(tape(ops, INPUTS, other), at, len(ops)))
    assert same(together([(0, before), (at, after)]), answers)


def test_a_state_of_another_model_is_refused() -> None:
    symbols = Symbols()
    model = build(CLASSIFIERS["plain"], INPUTS, "binary", symbols)
    other = build(CLASSIFIERS["min-max"], INPUTS, "binary", symbols)
    in_river = build(LAWFUL["river-bayes"], INPUTS, "binary", symbols)
    with pytest.raises(CorruptError, match="other features or another estimator"):
        model.load(other.save())
    with pytest.raises(CorruptError, match="is a 'river' model"):
        model.load(in_river.save())
    with pytest.raises(CorruptError, match="this one runs in river"):
        in_river.load(model.save())
    with pytest.raises(FormatError, match="format 99"):
        model.load({**model.save(), "format": 99})
