"""The page on the local engine names every column, setting, exit code and reason, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stream_ml.client.database import Access, open_database
from stream_ml.config.settings import Durable, Settings
from stream_ml.engines.local.store import Store
from stream_ml.errors import Exit, Reason

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "local.md").read_text(encoding="utf-8")


def rows(title: str) -> dict[str, list[str]]:
    """Read the first table after a title: first cell to the other cells."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_tables_and_views(tmp_path: Path) -> None:
    Store(tmp_path / "x.db", "fraud", Durable.FULL, 1_000).close()
    connection = open_database(tmp_path / "x.db", Access.READ)
    found = {
        name: [column for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (name,)).fetchall()]
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
    }
    connection.close()
    told = rows("Tables")
    views = {name: cells for name, cells in told.items() if len(cells) == 2 and cells[0].startswith("`NAME.")}
    for name, cells in told.items():
        if name in views or name in {"view", "---"}:
            continue
        assert names(cells[0]) == found.pop(name), name
    for name, cells in views.items():
        assert ["row", "written", "pipeline", *names(cells[1]), "json"] == found.pop(name), name
    assert found == {}


def test_exit_codes() -> None:
    assert {code: cells[0] for code, cells in rows("Exit codes").items()} == {
        str(int(code)): code.name for code in Exit
    }


def test_reasons() -> None:
    assert list(rows("Reasons of dead letters")) == [reason.value for reason in Reason]


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_settings(name: str) -> None:
    default = Settings.model_fields[name].default
    told = rows("Settings")[name][0].strip("`")
    assert told == ("" if default is None else str(getattr(default, "value", default)).removesuffix(".0"))


def test_no_other_setting_is_told() -> None:
    assert list(rows("Settings")) == list(Settings.model_fields)
