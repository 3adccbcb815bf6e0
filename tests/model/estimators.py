"""Estimators that the kernels run, and streams that try them: missing values, unseen categories, weights."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
from river import compose, linear_model, optim, preprocessing

from stream_ml.model.spec import Input
from tests.model.tapes import Op

INPUTS = (
    Input("amount", "float"),
    Input("ratio", "float"),
    Input("count", "int"),
    Input("night", "bool"),
    Input("country", "text"),
    Input("bin", "category"),
)
COUNTRIES = ("FR", "DE", "IT", "ES", "日本", "", "a_b")


def mixed(drop_zeros: bool) -> Any:
    """Scaled numbers and one-hot texts, as most users write them."""
    numbers_ = compose.SelectType(numbers.Number) | preprocessing.StandardScaler()
    texts = compose.SelectType(str) | preprocessing.OneHotEncoder(drop_zeros=drop_zeros)
    return numbers_ + texts


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: optim.SGD(0.05),
    "inverse": lambda: optim.SGD(optim.schedulers.InverseScaling(0.5, power=0.4)),
    "adagrad": lambda: optim.AdaGrad(0.1),
    "adam": lambda: optim.Adam(0.01),
}


def classifiers() -> dict[str, Any]:
    """Return binary classifiers by name: each optimizer, l2, both ways with zeros, every transformer."""
    logistic = linear_model.LogisticRegression
    found: dict[str, Any] = {
        f"{name}-{'dropped' if drop else 'zeros'}-l2={l2}": mixed(drop) | logistic(optimizer=made(), l2=l2)
        for name, made in OPTIMIZERS.items()
        for drop in (False, True)
        for l2 in (0.0, 0.01)
    }
    found["min-max"] = compose.Select("amount", "count") | preprocessing.MinMaxScaler() | logistic()
    found["centred"] = (
        compose.SelectType(float) | preprocessing.StandardScaler(with_std=False) | logistic(optim.SGD(0.001))
    )
    found["plain"] = compose.SelectType(bool) | logistic()
    found["scaled-twice"] = (
        compose.SelectType(int, float) | preprocessing.StandardScaler() | preprocessing.MinMaxScaler() | logistic()
    )
    found["flags-encoded"] = (compose.Select("night", "count") | preprocessing.OneHotEncoder()) + compose.Discard(
        "country", "bin", "night"
    ) | logistic(optim.SGD(0.001))
    found["two-encoders"] = (
        (compose.Select("country") | preprocessing.OneHotEncoder())
        + (compose.Select("bin") | preprocessing.OneHotEncoder())
        + (compose.SelectType(float) | preprocessing.StandardScaler())
    ) | logistic(optim.Adam(0.02), l2=0.001)
    found["one-name-twice"] = (
        (compose.SelectType(float) | preprocessing.StandardScaler())
        + (compose.SelectType(float, int) | preprocessing.MinMaxScaler())
    ) | logistic()
    found["intercept"] = mixed(drop_zeros=True) | logistic(
        intercept_init=0.5, intercept_lr=optim.schedulers.InverseScaling(0.3), clip_gradient=0.2
    )
    found["uneven-loss"] = mixed(drop_zeros=True) | logistic(loss=optim.losses.Log(weight_pos=5.0, weight_neg=0.5))
    return found


def regressors() -> dict[str, Any]:
    """Return regressors by name, with rates that converge."""
    linear = linear_model.LinearRegression
    return {
        f"{name}-{'dropped' if drop else 'zeros'}-l2={l2}": mixed(drop)
        | linear(optimizer=made(), l2=l2, intercept_lr=0.01)
        for name, made in (*OPTIMIZERS.items(), ("sgd", lambda: optim.SGD(0.005)))
        if name != "inverse"
        for drop in (False, True)
        for l2 in (0.0, 0.01)
    }


def stream(seed: int, n: int, *, weighted: bool = False, truth: str = "binary") -> list[Op]:
    """Return predictions and lessons over random records; a fifth of the values is missing, categories keep coming."""
    rng = np.random.default_rng(seed)
    waiting: list[dict[str, Any]] = []
    ops: list[Op] = []
    for i in range(n):
        x: dict[str, Any] = {
            "amount": float(rng.lognormal(3.0, 1.0)),
            "ratio": float(rng.choice([0.0, 1.5, rng.normal()])),
            "count": int(rng.poisson(4.0)),
            "night": bool(rng.random() < 0.3),
            "country": str(rng.choice(COUNTRIES)) if rng.random() < 0.9 else f"new{i // 7}",
            "bin": str(int(rng.integers(-2, 6))),
        }
        if rng.random() < 0.6:
            x = {name: value for name, value in x.items() if rng.random() > 0.2}
        ops.append(Op(x))
        waiting.append(x)
        while waiting and rng.random() < 0.5:
            known = waiting.pop(int(rng.integers(len(waiting))))
            signal = (
                0.02 * known.get("amount", 10.0)
                + known.get("ratio", 0.0)
                - (known.get("country") == "FR")
                + rng.normal()
            )
            y = bool(signal > 0.5) if truth == "binary" else float(signal)
            ops.append(Op(known, y, float(rng.choice([0.1, 1.0, 20.0])) if weighted else 1.0))
    return ops


#: Enough numbers for the kernels to take several at once, and some left over.
WIDE = tuple(Input(f"n{i:02d}", "float") for i in range(43))


def wide() -> dict[str, Any]:
    """Return classifiers of many numbers: each scaler, two in a row, numbers left out in between, each optimizer."""
    logistic, scaler = linear_model.LogisticRegression, preprocessing.StandardScaler
    found: dict[str, Any] = {
        f"{name}-l2={l2}": scaler() | logistic(optimizer=made(), l2=l2)
        for name, made in OPTIMIZERS.items()
        for l2 in (0.0, 0.01)
    }
    found["min-max"] = preprocessing.MinMaxScaler() | logistic()
    found["centred"] = scaler(with_std=False) | logistic(optim.SGD(0.001))
    found["scaled-twice"] = scaler() | preprocessing.MinMaxScaler() | logistic()
    found["squeezed-then-scaled"] = preprocessing.MinMaxScaler() | scaler() | logistic()
    found["some-left-out"] = compose.Discard("n03", "n17", "n18") | scaler() | logistic(optim.Adam(0.01))
    found["some-left-out-later"] = scaler() | compose.Discard("n00", "n30") | logistic()
    return found


def wide_stream(seed: int, n: int) -> list[Op]:
    """Return predictions and lessons over rows of many numbers: some complete, some not, one number comes late."""
    rng = np.random.default_rng(seed)
    ops = []
    for i in range(n):
        values = rng.normal(3.0, 2.0, len(WIDE)).tolist()
        kept = rng.random(len(WIDE)) < (1.0 if i % 3 else 0.8)
        kept[40] = False
        kept |= i > n // 2
        x = {one.name: value for one, value, there in zip(WIDE, values, kept.tolist(), strict=True) if there}
        ops += [Op(x), Op(x, bool(values[0] - values[1] + rng.normal() > 0.0))]
    return ops
