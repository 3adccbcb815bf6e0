"""What pydantic knows about a field: its kind, whether it may be missing, the texts it may hold."""

from __future__ import annotations

import ast
import linecache
import sys
import typing
from datetime import datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any, ForwardRef

import annotated_types
import pydantic
from pydantic import BaseModel

from stream_ml.errors import DeclarationError, Place
from stream_ml.language.places import attribute_place, joined, refusal, refuse
from stream_ml.language.specs import spec_of

_TIMES = (
    datetime,
    pydantic.AwareDatetime,
    pydantic.NaiveDatetime,
    pydantic.PastDatetime,
    pydantic.FutureDatetime,
)
_CURES = {
    "date": "Declare it as datetime",
    "time": "Declare it as datetime",
    "timedelta": "Declare it as float, in seconds",
    "Decimal": "Declare it as float",
    "UUID": "Declare it as str",
    "bytes": "Declare it as str",
}


def complete(cls: type[BaseModel]) -> None:
    """Resolve a class's annotations, naming the import or the name that a field lacks."""
    if cls.__pydantic_complete__:
        return
    module = sys.modules.get(cls.__module__)
    try:
        cls.model_rebuild(_types_namespace=None if module is None else vars(module))
    except pydantic.errors.PydanticUndefinedAnnotation as error:
        raise _undefined(cls, str(error.name)) from None


def _undefined(cls: type[BaseModel], name: str) -> DeclarationError:
    spec = spec_of(cls)
    place = None if spec is None else spec.place
    guarded = None if place is None else guarded_import(place.file, name)
    if place is not None and guarded is not None:
        return refusal(
            f"{cls.__name__} needs {name} to read its records, but it is imported under TYPE_CHECKING only",
            f"Import {name} outside of `if TYPE_CHECKING:`",
            Place(place.file, guarded),
        )
    return refusal(
        f"{cls.__name__} has a field of the type {name}, which is not known here",
        f"Import or define {name} above the class",
        place,
    )


def guarded_import(file: str, name: str) -> int | None:
    """Find the line that imports `name` under `if TYPE_CHECKING:`, if one does."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    for alias in inner.names:
                        if (alias.asname or alias.name).partition(".")[0] == name:
                            return inner.lineno
    return None


def bare(annotation: Any) -> tuple[Any, bool]:
    """Strip `Annotated` and `| None` off an annotation, and say whether None is allowed."""
    optional = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif origin in (typing.Union, UnionType):
            members = [member for member in typing.get_args(annotation) if member is not NoneType]
            if len(members) == len(typing.get_args(annotation)) or len(members) != 1:
                return annotation, optional
            annotation, optional = members[0], True
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation, optional


def _resolved(cls: type[BaseModel], field: str) -> Any:
    if isinstance(cls.model_fields[field].annotation, str | ForwardRef):
        complete(cls)
    return cls.model_fields[field].annotation


def field_type(cls: type[BaseModel], field: str) -> Any:
    """Return the plain type of a field: float, int, bool, str or datetime."""
    annotation, _ = bare(_resolved(cls, field))
    if typing.get_origin(annotation) is typing.Literal or (
        isinstance(annotation, type) and issubclass(annotation, Enum)
    ):
        types = {type(value) for value in members(cls, field) or ()}
        if types in ({str}, {int}, {bool}):
            return types.pop()
    elif annotation in _TIMES:
        return datetime
    elif annotation in (float, int, bool, str):
        return annotation
    elif isinstance(annotation, type):
        for plain in (bool, str, int, float, datetime):
            if issubclass(annotation, plain):
                return plain
    name = getattr(annotation, "__name__", str(annotation))
    spec = spec_of(cls)
    return refuse(
        f"{cls.__name__}.{field} is a {name}, which is no column",
        _CURES.get(name, "Columns are float, int, bool, str, datetime, and Enum or Literal of texts"),
        attribute_place(spec.place if spec else None, field),
    )


def members(cls: type[BaseModel], field: str) -> tuple[Any, ...] | None:
    """Return the values that a Literal or Enum field may hold, None for other fields."""
    annotation, _ = bare(cls.model_fields[field].annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return tuple(value.value if isinstance(value, Enum) else value for value in typing.get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(member.value for member in annotation)
    return None


def may_be_none(cls: type[BaseModel], field: str) -> bool:
    """Say whether a field's value may be None."""
    return bare(_resolved(cls, field))[1] or cls.model_fields[field].default is None


def never_negative(cls: type[BaseModel], field: str) -> bool:
    """Say whether a constraint keeps a number field from being below 0."""
    for rule in cls.model_fields[field].metadata:
        low = getattr(rule, "ge", None) if isinstance(rule, annotated_types.Ge) else getattr(rule, "gt", None)
        if isinstance(low, int | float) and low >= 0:
            return True
    return field_type(cls, field) is bool


def data_name(cls: type[BaseModel], field: str) -> str:
    """Return the name of a field in the data: its alias where it has one."""
    info = cls.model_fields[field]
    alias = info.validation_alias if isinstance(info.validation_alias, str) else info.alias
    return alias or field


def listed(values: tuple[Any, ...]) -> str:
    """Write values for a message."""
    return joined(repr(value) for value in values)
