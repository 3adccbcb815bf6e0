"""Whether the types of a declaration's fields fit what its keywords make of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from stream_ml.language.kinds import Kind, column_kind, kind_name, name_of
from stream_ml.language.places import attribute_place, keyword_place, refuse
from stream_ml.language.specs import LabelSpec, TableSpec, spec_of

_KEYS = (Kind.TEXT, Kind.INT, Kind.BOOL)


def check_types(cls: type[BaseModel]) -> None:
    """Refuse a time that is no datetime, a key of numbers with fractions, a label that cannot find its event.

    Nothing is said while a class waits for the types of its fields; the loader asks again.
    """
    spec = spec_of(cls)
    if spec is None or not cls.__pydantic_complete__:
        return
    if spec.time is not None and column_kind(cls, spec.time) is not Kind.TIME:
        refuse(
            f"{cls.__name__}: time={spec.time!r} dates a record, but is {kind_name(getattr(cls, spec.time))}",
            f"Declare it as {spec.time}: datetime",
            attribute_place(spec.place, spec.time),
        )
    if isinstance(spec, LabelSpec):
        _check_label(cls, spec)
        return
    keys = spec.key if isinstance(spec, TableSpec) else (*spec.key, *([spec.id] if spec.id else []))
    for name in keys:
        if column_kind(cls, name) not in _KEYS:
            refuse(
                f"{cls.__name__}.{name} is {kind_name(getattr(cls, name))}, which is no key",
                "Declare it as str or int",
                attribute_place(spec.place, name),
            )


def _check_label(cls: type[BaseModel], spec: LabelSpec) -> None:
    of: type[Any] = spec.of
    event = of.__stream__
    matched = (*event.key, *(spec.on or ()), *([event.id] if spec.on is None else []))
    for name in dict.fromkeys(matched):
        own, theirs = column_kind(cls, name), column_kind(of, name)
        if own is not theirs:
            refuse(
                f"{name_of(getattr(cls, name))} and {name_of(getattr(of, name))}: they never match",
                "Declare the two fields alike",
                attribute_place(spec.place, name),
            )
    silence = dict(spec.silence or {})
    for name, value in silence.items():
        try:
            cls.__pydantic_validator__.validate_assignment(cls.model_construct(), name, value)
        except ValidationError as error:
            cause = f"{cls.__name__}: silence={silence!r} has {name}={value!r}, which the field does not accept"
            refuse(cause, error.errors()[0]["msg"], keyword_place(spec.place, "silence"))
