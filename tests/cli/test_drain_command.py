"""`stream-ml run --drain`: what a user does who has changed a pipeline's file."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from stream_ml.client import connect
from stream_ml.errors import Exit
from tests.cli.test_log_commands import complaint, environment, ran, said
from tests.local.processes import command
from tests.local.test_worker import FILE, answer, order


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with the pipeline as it was and as it is now, and a log with two orders that wait for an hour."""
    text = FILE.read_text(encoding="utf-8")
    (tmp_path / "old.py").write_text(text, encoding="utf-8")
    (tmp_path / "new.py").write_text(text.replace('"1h", "1d"', '"2h", "1d"'), encoding="utf-8")
    with connect(f"sqlite:///{tmp_path / 'orders.db'}") as client:
        client.produce("orders", [order(n) for n in range(10)])
        client.produce("returns", [answer(n) for n in range(8)])
    return tmp_path


ON = ("--on", "sqlite:///orders.db")


def test_a_changed_file_is_refused_until_the_old_one_is_drained(folder: Path) -> None:
    said(ran("run", "old.py", *ON, "--until-end", cwd=folder))
    line = complaint(ran("run", "new.py", *ON, "--until-end", cwd=folder), Exit.USER)
    assert line == (
        "the declarations of 'orders' differ from those that made this state. Finish with the old file first:"
        " `stream-ml run OLD.py --drain`. The changed one then begins where that ended, with a fresh state"
    )
    assert "declarations of 'orders' differ" in complaint(ran("run", "new.py", *ON, "--drain", cwd=folder), Exit.USER)
    done = ran("run", "old.py", *ON, "--drain", "--give-up", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode().splitlines()[-1].startswith("orders: drained, 2 given up, next row ")
    (status,) = json.loads(said(ran("status", *ON, "--json", cwd=folder)))["pipelines"]
    assert status["drained"] is True
    assert status["snapshot_entry"] == status["entry"]
    with connect(f"sqlite:///{folder / 'orders.db'}") as client:
        client.produce("orders", [order(10)])
    done = ran("run", "new.py", *ON, "--until-end", "--json", cwd=folder)
    ended = json.loads(said(done))
    assert (ended["stats"]["events"], ended["stats"]["drained"]) == (1, False)
    assert b"where the pipeline was drained" in done.stderr
    assert said(ran("consume", "orders.predictions", *ON, cwd=folder)).count("\n") == 11


def draining(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("run", "old.py", *ON, "--drain"), cwd=folder, stderr=subprocess.PIPE, env=environment(), text=True
    )


def second_line(process: subprocess.Popen[str]) -> str:
    """Read the line after the one that says where the worker begins."""
    assert process.stderr is not None
    process.stderr.readline()
    return process.stderr.readline()


def test_draining_waits_until_the_last_label_is_there(folder: Path) -> None:
    with draining(folder) as process:
        told = second_line(process)
        assert told.startswith("orders: every record is read, 2 wait for their label, the last until 20")
        assert told.endswith(" UTC. Stop with Ctrl-C, or end at once with --give-up\n")
        with connect(f"sqlite:///{folder / 'orders.db'}") as client:
            client.produce("returns", [answer(n) for n in (8, 9)])
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err.startswith("orders: drained, next row ")


def test_a_stop_while_it_waits_is_not_a_drain(folder: Path) -> None:
    with draining(folder) as process:
        second_line(process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err.startswith("orders: stopped, not drained yet, next row ")
    (status,) = json.loads(said(ran("status", *ON, "--json", cwd=folder)))["pipelines"]
    assert status["drained"] is False
    complaint(ran("run", "new.py", *ON, cwd=folder), Exit.USER)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--give-up",), "--give-up says what becomes of labels when a pipeline is drained. Add --drain"),
        (("--drain", "--until-end"), "--drain and --until-end do not go together"),
    ],
)
def test_options_that_do_not_go_together(folder: Path, options: tuple[str, ...], text: str) -> None:
    assert text in complaint(ran("run", "old.py", *ON, *options, cwd=folder), Exit.USER)


def test_the_help_tells_of_it(folder: Path) -> None:
    told = " ".join(said(ran("run", "--help", cwd=folder)).split())
    assert "--drain" in told
    assert "so that a changed file may begin here" in told
