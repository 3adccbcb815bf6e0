"""Values that a field of a declared class accepts: what made-up records are made of."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from pydantic import TypeAdapter, ValidationError

from stream_ml.errors import UsageError
from stream_ml.language.aggregate import Aggregate
from stream_ml.language.expr import Column, Expr
from stream_ml.language.pipeline import Pipeline

#: Plain values of a pool, at most.
SIZE = 256
_TEXTS = 8


class Moment:
    """Stands for the event's own time in a pool."""


def constants(pipeline: Pipeline) -> set[str | int | float]:
    """Return the texts and numbers that a pipeline's expressions compare and compute with."""
    roots = [*pipeline.features.served.values(), pipeline.label, pipeline.weight, pipeline.when]
    return set(_constants(roots))


def _constants(part: Any) -> Iterator[str | int | float]:
    if isinstance(part, str | int | float) and not isinstance(part, bool):
        yield part
    elif isinstance(part, list | tuple):
        for one in part:
            yield from _constants(one)
    elif isinstance(part, Aggregate):
        yield from _constants([part.value, part.condition])
    elif isinstance(part, Expr) and not isinstance(part, Column):
        yield from _constants(part.args)


def pool(cls: Any, name: str, known: set[str | int | float], seed: int, keys: int = 0) -> Sequence[Any]:
    """Return values that a field accepts; `Moment` alone where it is a time.

    Parameters
    ----------
    cls, name
        A declared class and its field.
    known
        Constants of the pipeline, so that its comparisons are true now and then.
    keys
        Where the field is a key: how many different values.

    Raises
    ------
    UsageError
        Nothing that can be made up is accepted.
    """
    info = cls.model_fields[name]
    annotation = next(one for one in _alternatives(info.annotation) if one is not type(None))
    if annotation is datetime:
        return (Moment,)
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[annotation, *info.metadata] if info.metadata else annotation)
    found = [one for one in _candidates(annotation, name, known, seed, keys) if _accepts(adapter, one)]
    if not found:
        cause = f"{cls.__name__}.{name} accepts none of the values that can be made up"
        raise UsageError(cause, "Give records to repeat: --data TOPIC=FILE")
    return found if keys else found[:SIZE]


def _candidates(annotation: Any, name: str, known: set[str | int | float], seed: int, keys: int) -> Sequence[Any]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [member.value for member in annotation]
    numbers = sorted(one for one in known if not isinstance(one, str))
    if keys:
        named: dict[Any, Sequence[Any]] = {str: [f"{name}-{i:05d}" for i in range(keys)], int: range(keys)}
        return named.get(annotation, ())
    random = np.random.default_rng(seed)
    sizes = np.round(random.lognormal(3.0, 1.0, SIZE // 2), 2).tolist()
    plain: dict[Any, Sequence[Any]] = {
        str: [*sorted(one for one in known if isinstance(one, str)), *(f"{name}-{i}" for i in range(_TEXTS))],
        bool: (False, True),
        int: [*(int(one) for one in numbers if one == int(one)), *range(100)],
        float: [*sizes, *random.random(SIZE // 2 - 2).round(3).tolist(), 0.0, -1.0],
    }
    return plain.get(annotation, ())


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _accepts(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True
