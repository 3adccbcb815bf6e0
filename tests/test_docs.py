"""The pages tell the truth: links lead somewhere, commands and options exist, the README's ten minutes run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = [sys.executable, "-m", "stream_ml.cli.main"]


def commands(page: Path) -> list[list[str]]:
    """Return the words of every `stream-ml` command of a page, comments and pipes left out."""
    found = []
    for _, body in BLOCK.findall(page.read_text()):
        for line in body.replace("\\\n", " ").splitlines():
            for part in line.split("|"):
                words = part.strip().lstrip("$ ")
                if words.startswith("stream-ml "):
                    found.append(shlex.split(words, comments=True)[1:])
    return found


def ran(*words: str, cwd: Path, given: str | None = None) -> str:
    """Run a command as a user would; returns what it printed."""
    done = subprocess.run(
        [*PROGRAM, *words], capture_output=True, text=True, check=False, cwd=cwd, input=given, timeout=300
    )
    assert done.returncode == 0, f"stream-ml {shlex.join(words)}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.slow
def test_every_command_and_option_that_a_page_names_exists(tmp_path: Path) -> None:
    named: dict[str, set[str]] = {}
    for page in PAGES:
        for words in commands(page):
            options = {word.split("=")[0] for word in words if word.startswith("--")}
            command = " ".join(words[:2]) if words[0] in {"dead-letters", "bench"} else words[0]
            named.setdefault(command, set()).update(options)
    assert {"new", "check", "produce", "run", "consume", "replay", "status"} <= set(named)
    for command, options in named.items():
        told = ran(*command.split(), "--help", cwd=tmp_path)
        for option in options - {"--help"}:
            assert option in told, f"stream-ml {command} has no {option}"


@pytest.mark.slow
def test_the_readmes_pipeline_is_one(tmp_path: Path) -> None:
    (body,) = (body for language, body in BLOCK.findall((ROOT / "README.md").read_text()) if language == "python")
    (tmp_path / "cards.py").write_text(body)
    assert "n_10m" in ran("check", "cards.py", cwd=tmp_path)


@pytest.mark.slow
def test_the_readmes_ten_minutes(tmp_path: Path) -> None:
    """Every command of the README in its order, but for those that follow for ever."""
    for words in commands(ROOT / "README.md"):
        if words[:1] == ["demo"] or "--follow" in words:
            continue
        cwd = tmp_path if words[0] == "new" else tmp_path / "shop"
        if words[0] == "run":
            words = [*words, "--until-end"]  # noqa: PLW2901  (the page's own follows the log)
        order = '{"order":"o9","customer":"c001","shop":"s1","price":12.5,"at":"2026-01-05T18:30:00Z"}\n'
        ran(*words, cwd=cwd, given=order if "-" in words else None)
    told = ran("consume", "shop.predictions", "--on", "sqlite:///shop.db", cwd=tmp_path / "shop")
    assert len(told.splitlines()) == 5000
    assert (tmp_path / "shop" / "out" / "predictions.ndjson").stat().st_size > 0
