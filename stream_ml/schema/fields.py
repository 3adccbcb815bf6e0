"""What a pydantic class asks of a record, read from pydantic's own core schema.

The core schema is the truth of what pydantic will check, so it decides what a fast decoder may stand in for: a node or
a setting that is not known here is never guessed at, it sends the whole class to pydantic, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from stream_ml.errors import DeclarationError

if TYPE_CHECKING:
    from pydantic import BaseModel

Node = dict[str, Any]

#: Integers beyond this are not exact as doubles: such records are refused.
EXACT = 2**53
#: pydantic reads an integer time up to this as seconds, beyond it as milliseconds.
WATERSHED = 20_000_000_000

#: Settings of a model that do not change what a JSON record means.
HARMLESS_CONFIG = {
    "title", "allow_inf_nan", "extra_fields_behavior", "frozen", "revalidate_instances", "from_attributes",
    "hide_input_in_errors", "validate_assignment", "cache_strings", "loc_by_alias", "validation_error_cause",
}  # fmt: skip
HARMLESS = {"type", "metadata", "ref", "serialization"}
MODEL_KEYS = HARMLESS | {"cls", "schema", "config", "custom_init", "root_model", "frozen", "generic_origin"}
FIELDS_KEYS = HARMLESS | {"fields", "model_name", "computed_fields", "extra_behavior"}
FIELD_KEYS = HARMLESS | {"schema", "validation_alias", "serialization_alias", "serialization_exclude", "frozen"}
WRAPPERS = ("function-before", "function-after", "function-wrap", "nullable", "default", "nonnullable")


class Kind(Enum):
    """What a field is as a column."""

    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    TIME = "time"
    TEXT = "text"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record.

    Parameters
    ----------
    name, alias
        Its name in the class and in JSON (``None`` where pydantic looks it up by a path or in several places).
    kind
        What it is as a column.
    nullable
        Whether null or absence may be accepted as "missing".
    required
        Whether a record without it is refused.
    default
        Its default where it has a constant one, else None.
    schema
        pydantic's core schema of its value.
    """

    name: str
    alias: str | None
    kind: Kind
    nullable: bool
    required: bool
    default: object
    schema: Node


@dataclass(frozen=True, slots=True)
class Shape:
    """A class read: its fields, and why it cannot be decoded without pydantic (empty: nothing is against it)."""

    fields: dict[str, Field]
    why: str


def read(model: type[BaseModel]) -> Shape:
    """Read the fields of a pydantic class.

    Raises
    ------
    DeclarationError
        When the class is no plain model with fields (a RootModel).
    """
    if not model.__pydantic_complete__:
        model.model_rebuild()
    node = cast("Node", model.__pydantic_core_schema__)
    definitions: dict[str, Node] = {}
    if node["type"] == "definitions":
        definitions = {one["ref"]: one for one in node["definitions"]}
        node = node["schema"]
    node = _resolve(node, definitions)
    why = "" if node["type"] == "model" else "a validator of the whole model"
    while node["type"] != "model" and "schema" in node:
        node = _resolve(node["schema"], definitions)
    why = why or _model_why(node)
    inner = node.get("schema", {})
    while inner.get("type") not in ("model-fields", None) and "schema" in inner:
        why = why or "a validator of the whole model"
        inner = _resolve(inner["schema"], definitions)
    if inner.get("type") != "model-fields":
        cause = f"{model.__name__} has no fields of its own, so its records are no JSON objects"
        raise DeclarationError(cause, "Declare a class with one annotated field a line")
    why = why or _unknown(inner, FIELDS_KEYS, "the model") or _extra_why(inner.get("extra_behavior", "ignore"))
    fields = {name: _field(name, one, definitions) for name, one in inner["fields"].items()}
    by_name = node.get("config", {}).get("validate_by_name") or node.get("config", {}).get("populate_by_name")
    if by_name and not why and any(one.alias != one.name for one in fields.values()):
        why = "fields may be given by name or by alias"
    for name, one in inner["fields"].items():
        why = why or _unknown(one, FIELD_KEYS, name)
        if fields[name].alias is None:
            why = why or f"{name}: its alias is a path or a choice"
    return Shape(fields, why)


def _resolve(node: Node, definitions: dict[str, Node]) -> Node:
    while node["type"] == "definition-ref":
        node = definitions[node["schema_ref"]]
    return node


def _unknown(node: Node, known: set[str], where: str) -> str:
    for key in node:
        if key not in known and node[key] not in (None, False):
            return f"{where}: {key.replace('_', ' ')}"
    return ""


def _extra_why(behaviour: str) -> str:
    return "extra fields are refused" if behaviour == "forbid" else ""


def _model_why(node: Node) -> str:
    if node.get("custom_init"):
        return "the class has its own __init__"
    if node.get("post_init"):
        return "the class has model_post_init"
    config = node.get("config", {})
    by_alias = config.get("validate_by_alias", True)
    rest = {key: value for key, value in config.items() if key not in ("validate_by_name", "validate_by_alias")}
    return (
        _unknown(node, MODEL_KEYS, "the model")
        or ("" if by_alias else "aliases are ignored")
        or _unknown(rest, HARMLESS_CONFIG, "its configuration")
        or _extra_why(config.get("extra_fields_behavior", "ignore"))
    )


def _field(name: str, node: Node, definitions: dict[str, Node]) -> Field:
    alias = node.get("validation_alias", name)
    schema = _expanded(node["schema"], definitions)
    nullable, inner = False, schema
    required, default = True, None
    while inner["type"] in WRAPPERS:
        if inner["type"] == "nullable":
            nullable = True
        if inner["type"] == "default":
            required, default = False, inner.get("default")
            nullable = nullable or ("default" in inner and default is None)
        if inner["type"].startswith("function"):
            nullable = True
        inner = inner["schema"]
    return Field(name, alias if isinstance(alias, str) else None, _kind(inner), nullable, required, default, schema)


def _expanded(node: Node, definitions: dict[str, Node]) -> Node:
    node = _resolve(node, definitions)
    if node["type"] in WRAPPERS:
        return {**node, "schema": _expanded(node["schema"], definitions)}
    if node["type"] == "union":
        return {**node, "choices": [_resolve(one, definitions) for one in node["choices"] if isinstance(one, dict)]}
    return node


def _kind(node: Node) -> Kind:
    simple = {"float": Kind.FLOAT, "int": Kind.INT, "bool": Kind.BOOL, "str": Kind.TEXT, "datetime": Kind.TIME}
    found = simple.get(node["type"])
    if found is not None:
        return found
    if node["type"] in ("literal", "enum"):
        values = choices(node)
        if values and all(type(value) is str for value in values):
            return Kind.TEXT
        if values and all(type(value) is int for value in values):
            return Kind.INT
    if node["type"] == "union" and {_kind(one) for one in node["choices"]} == {Kind.INT, Kind.FLOAT}:
        return Kind.FLOAT
    return Kind.OTHER


def choices(node: Node) -> list[object]:
    """Return the values that a literal or an enum allows, as JSON spells them."""
    if node["type"] == "enum":
        return list(dict.fromkeys(_plain(member.value) for member in node["members"]))
    return list(node["expected"])


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    return value
