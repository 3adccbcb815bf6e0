"""What a stored river model may name: its own classes, numbers and containers, and nothing that runs code."""

from __future__ import annotations

import builtins
import importlib
import inspect
import os
import pickle  # noqa: TID251  (written here by an attacker)
import pkgutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import river
from river import base, compose, datasets, linear_model, naive_bayes, preprocessing

from stream_ml.errors import CorruptError
from stream_ml.model.unpickle import PACKAGES, dumps, loads, own_names


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (os.system, ("true",)),
        (subprocess.Popen, (["true"],)),
        (builtins.eval, ("1",)),
        (builtins.exec, ("1",)),
        (builtins.__import__, ("os",)),
        (builtins.open, ("/dev/null",)),
        (importlib.import_module, ("os",)),
        (setattr, (compose.Select, "x", 1)),
        (getattr, (compose.Select, "__init__")),
        (getattr, (np.zeros(2), "tofile")),
        (Path, ("/",)),
        (datasets.Phishing, ()),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_a_call_that_no_model_needs_is_refused(function: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises(CorruptError, match=r"no river model needs|cannot be read"):
        loads(pickle.dumps([1, Calls(function, *args)]))


@pytest.mark.parametrize(
    "name",
    [
        ("river.datasets.base", "os.system"),
        ("river.utils.math", "math.exp"),
        ("river.compose.pipeline", "io.open"),
        ("river.compose.pipeline", "Pipeline.__init__"),
        ("river.base.base", "inspect"),
        ("os", "system"),
        ("posix", "system"),
    ],
    ids=".".join,
)
def test_what_river_itself_imports_is_out_of_reach(name: tuple[str, str]) -> None:
    module, path = name
    data = (
        b"\x80\x04\x8c"
        + bytes([len(module)])
        + module.encode()
        + b"\x8c"
        + bytes([len(path)])
        + path.encode()
        + b"\x93."
    )
    with pytest.raises(CorruptError, match="which no river model needs"):
        loads(data)


def test_damaged_bytes_are_refused() -> None:
    data = dumps(linear_model.LogisticRegression())
    for broken in (b"", b"nonsense", data[: len(data) // 2]):
        with pytest.raises(CorruptError, match="cannot be read"):
            loads(broken)


def double(x: dict[str, Any]) -> dict[str, Any]:
    return {name: 2 * value for name, value in x.items()}


def test_a_users_own_function_comes_back_and_no_other() -> None:
    model = compose.FuncTransformer(double) | naive_bayes.GaussianNB()
    data = dumps(model)
    assert loads(data, own_names(model)).transform_one({"a": 2}) == {"a": 4}
    with pytest.raises(CorruptError, match="double"):
        loads(data, own_names(naive_bayes.GaussianNB()))


class Doubler(base.Transformer):
    """A transformer of the user's file."""

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        return double(x)


def test_a_users_own_class_comes_back() -> None:
    model = Doubler() | compose.SelectType(float, np.floating) | naive_bayes.GaussianNB()
    assert loads(dumps(model), own_names(model)).transform_one({"a": 2.0}) == {"a": 4.0}
    with pytest.raises(CorruptError, match="Doubler"):
        loads(dumps(model))


def estimators() -> Iterator[Any]:
    """Yield every river estimator that can be made without arguments or with its own tests' parameters."""
    for module in pkgutil.iter_modules(river.__path__):
        if module.name in PACKAGES - {"base", "bandit", "_river_rust"}:
            for kind in vars(importlib.import_module(f"river.{module.name}")).values():
                if inspect.isclass(kind) and issubclass(kind, base.Estimator) and not inspect.isabstract(kind):
                    try:
                        yield from (kind(**given) for given in kind._unit_test_params())
                    except (TypeError, NotImplementedError, RuntimeError, ImportError):
                        continue


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_model_of_river_comes_back_after_learning() -> None:
    stream = list(datasets.Phishing().take(60))
    learned = 0
    for model in estimators():
        for x, y in stream:
            try:
                target = float(y) if isinstance(model, base.Regressor) else y
                model.learn_one(x, target) if model._supervised else model.learn_one(x)
            except Exception:  # a model of texts, of many targets: its empty state comes back too
                break
        else:
            learned += 1
        back = loads(dumps(model), own_names(model))
        assert type(back) is type(model)
    assert learned > 90


def test_a_model_comes_back_with_what_it_learned() -> None:
    model = preprocessing.StandardScaler() | linear_model.SoftmaxRegression()
    stream = list(datasets.Phishing().take(200))
    for x, y in stream:
        model.learn_one(x, y)
    back = loads(dumps(model))
    assert [back.predict_proba_one(x) for x, _ in stream] == [model.predict_proba_one(x) for x, _ in stream]
