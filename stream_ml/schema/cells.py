"""Columns of text become JSON records: numbers as numbers, empty cells as null."""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

import orjson

from stream_ml.errors import InputError
from stream_ml.schema.fields import Field, Kind, Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Cells that are missing in a column that is no text; in text only the empty cell can be.
ABSENT = frozenset({"", "NA"})
TRUTHS = {"true": "true", "1": "true", "false": "false", "0": "false"}
_NUMBER = r"-?(?>0|[1-9][0-9]*)(?>\.[0-9]+)?(?>[eE][+-]?[0-9]+)?"
_ONE = re.compile(_NUMBER)
_ALL = re.compile(rf"(?>{_NUMBER}\n)*+{_NUMBER}")
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")


def mapped(shape: Shape, header: Sequence[str], path: object) -> dict[str, int]:
    """Find the column of each field by alias or by name.

    Raises
    ------
    InputError
        When a required field has no column, or two columns have the same name.
    """
    found: dict[str, int] = {}
    for name, field in shape.fields.items():
        for spelled in (field.alias, name):
            if spelled is not None and spelled in header and name not in found:
                if header.count(spelled) > 1:
                    cause = f"{path} has {header.count(spelled)} columns {spelled}"
                    raise InputError(cause, "Rename all but one")
                found[name] = header.index(spelled)
        if field.required and name not in found:
            cause = f"{path} has no column {field.alias or name}"
            raise InputError(cause, f"It has {', '.join(header)}; give the field a default if it may be absent")
    return found


def records(shape: Shape, columns: dict[str, list[str]]) -> list[bytes]:
    """Join columns of JSON literals into records, one JSON object a line.

    Parameters
    ----------
    shape
        The class, for the names in JSON.
    columns
        By field, a JSON literal for each record.
    """
    keys = [orjson.dumps(shape.fields[name].alias or name).decode().replace("%", "%%") for name in columns]
    template = "{" + ",".join(f"{key}:%s" for key in keys) + "}"
    return [(template % row).encode() for row in zip(*columns.values(), strict=True)]


def literals(field: Field, cells: Sequence[str]) -> list[str]:
    """Return each cell of a column as a JSON literal of the field's type.

    What is not a number in a number's column stays text, and the decoder tells what is wrong with it.

    Examples
    --------
    >>> from stream_ml.schema.fields import Kind
    >>> count = Field("count", "count", Kind.INT, True, True, None, {})
    >>> literals(count, ["3", "4.0", "NA", "", "many"])
    ['3', '4', 'null', 'null', '"many"']
    """
    if field.kind is Kind.TEXT:
        return quoted([cell or None for cell in cells] if field.nullable else cells)
    if field.kind in (Kind.FLOAT, Kind.INT) and _ALL.fullmatch("\n".join(cells)):
        if field.kind is Kind.FLOAT or not any("." in cell for cell in cells):
            return list(cells)
    known = dict.fromkeys(cells, "")
    for cell in known:
        known[cell] = _literal(field, cell)
    return [known[cell] for cell in cells]


def quoted(texts: Sequence[str | None]) -> list[str]:
    """Return texts as JSON, None as null; a text that comes back is written once."""
    known: dict[str | None, str] = {text: orjson.dumps(text).decode() for text in dict.fromkeys(texts)}
    return [known[text] for text in texts]


def _literal(field: Field, cell: str) -> str:
    if cell in ABSENT:
        return absent(field)
    if field.kind is Kind.BOOL and cell.lower() in TRUTHS:
        return TRUTHS[cell.lower()]
    if field.kind is Kind.OTHER:
        return cell if cell[0] in "[{" and _is_json(cell) else _text(cell)
    whole = _WHOLE.fullmatch(cell) if field.kind is Kind.INT else None
    if whole is not None:
        return whole.group(1)
    return cell if _ONE.fullmatch(cell) else _text(cell)


def absent(field: Field) -> str:
    """Return the literal of an empty cell: the default where there is one and null is not allowed, else null."""
    if field.nullable or field.required or field.default is None:
        return "null"
    value = field.default.value if isinstance(field.default, Enum) else field.default
    if isinstance(value, (str, int, float, datetime)):
        return orjson.dumps(value).decode()
    return "null"


def _text(cell: str) -> str:
    return orjson.dumps(cell).decode()


def _is_json(cell: str) -> bool:
    try:
        orjson.loads(cell)
    except orjson.JSONDecodeError:
        return False
    return True
