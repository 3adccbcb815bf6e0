"""The fast decoder: a msgspec struct that accepts a subset of what pydantic accepts, with equal values.

Whatever it refuses, or is not sure of, is left to pydantic; so here "no" is always allowed and "yes" must be right.
msgspec alone is more lenient than pydantic in what it skips (fields that are not declared): bytes that are no UTF-8,
integers of more than 4,300 digits and deep nesting. :func:`suspects` finds batches in which one of these may hide.
"""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import msgspec
import numpy as np

from stream_ml.kernels.stamps import LAST_MS, stamps
from stream_ml.schema.fields import EXACT, HARMLESS, WATERSHED, Field, Kind, Shape, choices
from stream_ml.schema.scan import MOST_FIELDS, Plain, Scan, is_utf8, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

#: pydantic refuses deeper nesting at 200 and longer integers at 4,300 digits; these are the safe sides of both.
DEPTH, DIGITS = 100, 4300
BRACE = ord("{")
REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Limits = dict[str, float | int]


@dataclass(frozen=True, slots=True)
class Fast:
    """A struct with one attribute for each field (``c0``, ``c1``, … by position), its decoder, and its scan if any."""

    struct: type[msgspec.Struct]
    decode: Callable[[bytes], Any]
    getters: dict[str, Callable[[Any], Any]]
    times: tuple[str, ...]
    keys: tuple[str, ...]
    scan: Scan | None = None

    def structs(self, values: Sequence[bytes], limit: int) -> tuple[list[Any], list[int]]:
        """Decode each record; return structs (None where refused) and the indices of the refused, ascending."""
        decode, values = self.decode, list(values)
        if suspects(values, limit):
            values = [b"" if suspect(value, limit) else value for value in values]
        with contextlib.suppress(*REFUSALS):
            return [decode(value) for value in values], []
        found: list[Any] = []
        refused: list[int] = []
        left = iter(values)
        while len(found) < len(values):
            try:
                for value in left:
                    found.append(decode(value))
            except REFUSALS:
                refused.append(len(found))
                found.append(None)
        return found, refused

    def column(self, name: str, structs: list[Any]) -> list[Any]:
        """Return one field of all structs."""
        return list(map(self.getters[name], structs))


def build(shape: Shape, keys: Sequence[str]) -> tuple[Fast | None, str]:
    """Build the fast decoder of a class, or say why there is none.

    Parameters
    ----------
    shape
        The class as read.
    keys
        Fields that must not be null.
    """
    if shape.why:
        return None, shape.why
    columns: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    scanned: list[Plain | None] = []
    for place, field in enumerate(shape.fields.values()):
        made = _type(field.schema, field)
        if isinstance(made, str):
            return None, f"{field.name}: {made}"
        if field.required:
            columns.append((f"c{place}", made.type))
            scanned.append(plain(field, made.limits, None, key=field.name in keys))
            continue
        usable, default = _default(field)
        if not usable:
            return None, f"{field.name}: its default is made by a function, or is no {field.kind.value}"
        columns.append((f"c{place}", made.type, default))
        scanned.append(plain(field, made.limits, default, key=field.name in keys))
    rename = {f"c{place}": cast("str", field.alias) for place, field in enumerate(shape.fields.values())}
    try:
        struct = msgspec.defstruct("Record", columns, gc=False, kw_only=True, rename=rename)
        decoder = msgspec.json.Decoder(struct)
    except (TypeError, ValueError) as error:
        return None, str(error).split("\n")[0]
    getters: dict[str, Callable[[Any], Any]] = {
        name: attrgetter(f"c{place}") for place, name in enumerate(shape.fields)
    }
    times = tuple(name for name, field in shape.fields.items() if field.kind is Kind.TIME)
    nullable = tuple(name for name in keys if shape.fields[name].nullable)
    whole = [one for one in scanned if one is not None]
    scan = Scan(whole) if len(whole) == len(scanned) <= MOST_FIELDS else None
    return Fast(struct, decoder.decode, getters, times, nullable, scan), ""


@dataclass(frozen=True, slots=True)
class _Made:
    type: Any
    limits: Limits


def _type(node: dict[str, Any], field: Field) -> _Made | str:
    """Return the msgspec type for a core schema node, or why there is none."""
    kind = node["type"]
    if kind in ("nullable", "default"):
        known = HARMLESS | {"schema", "default", "default_factory", "default_factory_takes_data", "strict"}
        unknown = _first_unknown(node, known)
        made = unknown or _type(node["schema"], field)
        return replace(made, type=made.type | None) if kind == "nullable" and isinstance(made, _Made) else made
    if kind in ("literal", "enum"):
        return _first_unknown(node, HARMLESS | {"expected", "members", "cls", "sub_type"}) or _literal(node)
    maker = {"float": _float, "int": _int, "str": _str, "bool": _bool, "datetime": _datetime}.get(kind)
    return maker(node) if maker is not None else f"a {kind} is checked by pydantic"


def _first_unknown(node: dict[str, Any], known: set[str]) -> str:
    for key, value in node.items():
        if key not in known and value is not None and value is not False:
            return f"{key.replace('_', ' ')} is checked by pydantic"
    return ""


def _bounds(node: dict[str, Any], limits: Limits) -> Limits | str:
    """Intersect a number's own bounds with the exact range."""
    for key in ("ge", "gt", "le", "lt"):
        bound = node.get(key)
        if bound is None:
            continue
        if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not math.isfinite(bound):
            return f"the bound {bound!r} is checked by pydantic"
        if node["type"] == "int" and not isinstance(bound, int):
            return f"the bound {bound!r} of an int is checked by pydantic"
        if abs(bound) > EXACT:
            return f"the bound {bound!r} is checked by pydantic"
        side = ("ge", "gt") if key in ("ge", "gt") else ("le", "lt")
        inside = limits.get(side[0])
        present = limits[side[1]] if inside is None else inside
        tighter = bound > present if side[0] == "ge" else bound < present
        if tighter or (bound == present and key == side[1]):
            limits.pop(side[0], None)
            limits.pop(side[1], None)
            limits[key] = bound
    return limits


def _float(node: dict[str, Any]) -> _Made | str:
    unknown = _first_unknown(node, HARMLESS | {"ge", "gt", "le", "lt", "allow_inf_nan"})
    limits = unknown or _bounds(node, {"gt": -EXACT, "lt": EXACT})
    return limits if isinstance(limits, str) else _Made(Annotated[float, msgspec.Meta(**cast("Any", limits))], limits)


def _int(node: dict[str, Any]) -> _Made | str:
    unknown = _first_unknown(node, HARMLESS | {"ge", "gt", "le", "lt"})
    limits = unknown or _bounds(node, {"ge": -EXACT, "le": EXACT})
    return limits if isinstance(limits, str) else _Made(Annotated[int, msgspec.Meta(**cast("Any", limits))], limits)


def _str(node: dict[str, Any]) -> _Made | str:
    unknown = _first_unknown(node, HARMLESS | {"min_length", "max_length", "pattern", "regex_engine"})
    if unknown:
        return unknown
    meta: dict[str, Any] = {key: node[key] for key in ("min_length", "max_length") if node.get(key) is not None}
    if node.get("pattern") is not None:
        pattern = safe_pattern(node["pattern"])
        if pattern is None:
            return f"the pattern {node['pattern']!r} is checked by pydantic"
        meta["pattern"] = pattern
    return _Made(Annotated[str, msgspec.Meta(**meta)] if meta else str, {})


def _bool(node: dict[str, Any]) -> _Made | str:
    return _first_unknown(node, HARMLESS) or _Made(bool, {})


def _datetime(node: dict[str, Any]) -> _Made | str:
    known = HARMLESS | ({"microseconds_precision"} if node.get("microseconds_precision") == "truncate" else set())
    return _first_unknown(node, known) or _Made(int | float | str, {})


def _literal(node: dict[str, Any]) -> _Made | str:
    values = choices(node)
    if all(type(value) is str for value in values) or all(type(value) is int for value in values):
        if all(isinstance(value, str) or abs(cast("int", value)) <= EXACT for value in values):
            return _Made(Literal[tuple(values)], {})
    return "a choice of mixed types is checked by pydantic"


def _default(field: Field) -> tuple[bool, object]:
    """Return whether a default can stand in a struct, and how it is written there."""
    node, value = field.schema, field.default
    while node["type"] == "nullable":
        node = node["schema"]
    if "default" not in node:
        return False, None
    value = getattr(value, "value", value) if field.kind in (Kind.TEXT, Kind.INT) else value
    kinds: dict[Kind, tuple[type, ...]] = {
        Kind.FLOAT: (float, int), Kind.INT: (int,), Kind.BOOL: (bool,), Kind.TEXT: (str,), Kind.TIME: (datetime,),
    }  # fmt: skip
    if value is None:
        return True, None
    if type(value) not in kinds.get(field.kind, ()):
        return False, None
    if isinstance(value, (int, float)):
        return math.isfinite(value) and abs(value) < EXACT, value
    return True, written(value) if isinstance(value, datetime) else value


def written(moment: datetime) -> str:
    """Write a time in the form that the kernel reads; without a zone it is UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.replace(tzinfo=None).isoformat()


_PLAIN = re.compile(
    r"(?:[\w \-,:;@#%&=<>/'\"!~`]|\\[.\-+*?()\[\]{}|^$/\\]|\\[dws]|\[(?:[\w.\-+ ,:/@]|\\[.\-dws])+\]|\.)", re.ASCII
)
_TIMES = re.compile(r"[?]|\{\d{1,3}(?:,\d{1,3})?\}", re.ASCII)
_UNBOUNDED = re.compile(r"[+*]|\{\d{1,3},\}", re.ASCII)


def safe_pattern(pattern: object) -> str | None:
    r"""Return a Python pattern that matches only what pydantic's (Rust) one matches, in linear time; None if unsure.

    Known: characters, ``.``, sets that are not negated, escapes (ASCII only), repetitions, ``^`` and ``$`` at the ends;
    no groups, no alternatives; at most one unbounded repetition, and that one only in a pattern that begins with ``^``.

    Examples
    --------
    >>> safe_pattern("^c[0-9]+$")
    '(?a)^c[0-9]+\\Z'
    >>> safe_pattern("(a|b)+")
    """
    if not isinstance(pattern, str):
        return None
    anchored, closed = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    body = pattern[1 if anchored else 0 : -1 if closed else None]
    at, unbounded = 0, 0
    while at < len(body):
        atom = _PLAIN.match(body, at)
        if atom is None or any(two in atom.group() for two in ("--", "&&", "~~")):
            return None
        at = atom.end()
        many, endless = _TIMES.match(body, at), _UNBOUNDED.match(body, at)
        unbounded += endless is not None
        at = (many or endless or atom).end()
    if unbounded > 1 or (unbounded and not anchored):
        return None
    safe = f"(?a){'^' if anchored else ''}{body}" + ("\\Z" if closed else "")
    try:
        re.compile(safe)
    except re.error:
        return None
    return safe


def suspects(values: Sequence[bytes], limit: int) -> bool:
    """Return whether a batch may hold a record whose skipped parts msgspec reads more leniently than pydantic."""
    joined = b"\n".join(values)
    if not is_utf8(joined):
        return True
    opened = joined.count(b"{") if len(joined) < DIGITS else np.count_nonzero(np.frombuffer(joined, np.uint8) == BRACE)
    nested = opened > len(values) + DEPTH // 2 or b"[" in joined
    if nested and any(value.count(b"{") + value.count(b"[") > DEPTH for value in values):
        return True
    longest = len(joined) if len(joined) <= DIGITS else max(map(len, values))
    return longest > DIGITS and any(len(value) > limit or _long_number(value) for value in values)


def suspect(value: bytes, limit: int) -> bool:
    """Return whether one record may be of that kind."""
    if len(value) > limit or not is_utf8(value):
        return True
    return value.count(b"{") + value.count(b"[") > DEPTH or _long_number(value)


def _long_number(value: bytes) -> bool:
    """Return whether DIGITS digits stand in a row."""
    if len(value) < DIGITS:
        return False
    text = np.frombuffer(value, np.uint8)
    others = np.flatnonzero((text < ord("0")) | (text > ord("9")))
    return bool(np.diff(others, prepend=-1, append=len(text)).max() > DIGITS)


def parse_times(raw: list[Any]) -> NDArray[np.float64]:
    """Turn raw times (ISO text, or numbers as pydantic reads them) into epoch ms; NaN where pydantic must be asked.

    Numbers up to 2·10¹⁰ are seconds, beyond that milliseconds; parts of a millisecond are floored. Null is NaN too.
    """
    out = np.full(len(raw), np.nan)
    if not raw:
        return out
    try:
        text = "\n".join(raw)
    except TypeError:
        return _mixed(raw, out)
    if not text.isascii():
        text = text.encode("ascii", "replace").decode("ascii")
    if stamps(np.frombuffer(bytearray(text, "ascii"), dtype=np.uint8), out) != len(raw):
        return np.array([parse_times([one])[0] if "\n" not in one else np.nan for one in raw])
    return out


def _mixed(raw: list[Any], out: NDArray[np.float64]) -> NDArray[np.float64]:
    if set(map(type, raw)) == {int} and max(raw) <= LAST_MS and min(raw) >= -LAST_MS // 8:
        whole = np.array(raw, np.int64)
        return np.where(np.abs(whole) <= WATERSHED, whole * 1000, whole).astype(np.float64)
    texts = [index for index, value in enumerate(raw) if isinstance(value, str)]
    if texts:
        out[texts] = parse_times([raw[index] for index in texts])
    for index, value in enumerate(raw):
        if isinstance(value, (int, float)):
            out[index] = _numeric(value)
    return out


def _numeric(value: float) -> float:
    if not -LAST_MS // 8 <= value <= LAST_MS:
        return math.nan
    whole = math.floor(value)
    if value == whole:
        return float(whole * 1000 if abs(whole) <= WATERSHED else whole)
    if not 0 <= value < WATERSHED:
        return math.nan
    exactly = (value - whole) * 1e6  # pydantic rounds to whole microseconds, half away from zero
    micros = math.floor(exactly)
    micros += exactly - micros >= 0.5  # noqa: PLR2004
    return float(whole * 1000 + micros // 1000)
