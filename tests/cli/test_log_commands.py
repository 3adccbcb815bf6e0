"""Commands that need no pipeline: produce, consume, status, dead-letters, new; what they print and how they end."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stream_ml.client import connect
from stream_ml.config.settings import Durable
from stream_ml.engines.local.store import Commit, Output, Store
from stream_ml.errors import Exit, InputError
from tests.local.processes import command, until


def ran(
    *arguments: str, cwd: Path, stdin: bytes | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments), cwd=cwd, input=stdin, capture_output=True, check=False, timeout=300, env=environment(env)
    )


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": root, "COLUMNS": "200", **(more or {})}


def said(done: subprocess.CompletedProcess[bytes], code: Exit = Exit.OK) -> str:
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode()


def complaint(done: subprocess.CompletedProcess[bytes], code: Exit) -> str:
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    text = done.stderr.decode()
    assert text.startswith("stream-ml: ")
    assert text.count("\n") == 1, text
    assert done.stdout == b""
    return text.removeprefix("stream-ml: ").rstrip("\n")


@pytest.fixture
def payments(tmp_path: Path) -> Path:
    lines = [b'{"payment":"p%d","amount":%d.50}' % (n, n) for n in range(5)]
    path = tmp_path / "payments.ndjson"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_produce_then_consume(payments: Path, tmp_path: Path) -> None:
    done = ran("produce", "payments", payments.name, "--on", "sqlite:///x.db", cwd=tmp_path)
    assert said(done) == ""
    assert done.stderr == b"5 records of payments are stored, rows 1 to 5\n"
    out = said(ran("consume", "payments", "--on", "sqlite:///x.db", cwd=tmp_path)).splitlines()
    received = json.loads(out[0])["received"]
    assert out[0] == f'{{"received":{received},"payment":"p0","amount":0.50}}'
    assert abs(received - time.time() * 1_000) < 120_000
    assert len(out) == 5
    assert said(ran("consume", "payments", "--on", "sqlite:///x.db", "--from", "end", cwd=tmp_path)) == ""
    assert said(ran("consume", "payments", "--on", "sqlite:///x.db", "--from", "5", cwd=tmp_path)).count("\n") == 1


def test_produce_reads_stdin_gzip_csv_and_parquet(payments: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    raw = payments.read_bytes()
    (tmp_path / "p.ndjson.gz").write_bytes(gzip.compress(raw))
    (tmp_path / "p.csv").write_text("payment,amount\np0,0.5\np1,\nbroken\n", encoding="utf-8")
    for topic, file, stdin in (("a", "-", raw), ("b", "p.ndjson.gz", None), ("c", "p.csv", None)):
        told = json.loads(said(ran("produce", topic, file, "--on", url, "--json", cwd=tmp_path, stdin=stdin)))
        assert told["topic"] == topic
        assert told["records"] == (3 if topic == "c" else 5)
    with connect(url) as client:
        for topic in ("a", "b"):
            assert [record.value for record in client.records(topic)] == raw.splitlines()
        assert list(client.consume("c")) == [
            {"payment": "p0", "amount": "0.5"},
            {"payment": "p1", "amount": None},
            b"broken",
        ]
    (tmp_path / "out.parquet").write_bytes(ran("consume", "a", "--on", url, "--format", "parquet", cwd=tmp_path).stdout)
    assert pq.read_table(tmp_path / "out.parquet").column("amount").to_pylist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert said(ran("produce", "d", "out.parquet", "--on", url, cwd=tmp_path)) == ""
    with connect(url) as client:
        assert [record["payment"] for record in client.consume("d")] == ["p0", "p1", "p2", "p3", "p4"]


def test_formats(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with connect(url) as client:
        client.produce("t", [{"a": 1, "received": 5}, {"a": True, "b": {"c": [1]}, "received": 6}])
    assert said(ran("consume", "t", "--on", url, "--format", "csv", cwd=tmp_path)).splitlines() == [
        "a,received,b",
        "1,5,",
        'true,6,"{""c"":[1]}"',
    ]
    assert said(ran("consume", "t", "--on", url, cwd=tmp_path)).splitlines() == [
        '{"a":1,"received":5}',
        '{"a":true,"b":{"c":[1]},"received":6}',
    ]
    table = said(ran("consume", "t", "--on", url, "--format", "table", cwd=tmp_path))
    assert "row" in table
    assert '{"c":[1]}' in table


def test_consume_follows_until_it_is_told_to_stop(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with connect(url) as client:
        client.produce("t", [{"n": 0}])
        process = subprocess.Popen(
            command("consume", "t", "--on", url, "--follow"), stdout=subprocess.PIPE, env=environment()
        )
        assert process.stdout is not None
        for n in range(1, 4):
            assert json.loads(process.stdout.readline())["n"] == n - 1
            client.produce("t", [{"n": n}])
        process.terminate()
        process.communicate()


def test_produce_at_a_rate_keeps_to_it(tmp_path: Path) -> None:
    lines = b"".join(b'{"n":%d}\n' % n for n in range(60))
    begun = time.monotonic()
    said(ran("produce", "t", "-", "--on", "sqlite:///x.db", "--rate", "100", cwd=tmp_path, stdin=lines))
    assert time.monotonic() - begun > 0.58
    with connect(f"sqlite:///{tmp_path}/x.db") as client:
        stamps = [record.received for record in client.records("t")]
    assert 400 <= stamps[-1] - stamps[0] < 5_000


def test_stdin_is_not_kept_waiting(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    process = subprocess.Popen(
        command("produce", "t", "-", "--on", url), stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdin is not None
    process.stdin.write(b'{"n":1}\n')
    process.stdin.flush()
    with connect(url) as client:

        def stored() -> bool:
            try:
                return list(client.consume("t")) == [{"n": 1}]
            except InputError:  # not made yet
                return False

        until(stored)
    process.communicate()
    assert process.returncode == 0


def dead_letters(path: Path) -> None:
    store = Store(path, "fraud", Durable.FULL, 1_000)
    letters = [
        {"topic": "payments", "partition": 0, "offset": n, "received": 7, "reason": reason, "path": "$.amount"}
        | {"message": "Input should be a number", "raw": "eyJhIjoxfQ==", "size": 7}
        for n, reason in enumerate(["type", "json", "type"])
    ]
    store.commit(Commit([Output("fraud.dead", [json.dumps(letter).encode() for letter in letters])], 1, b"entry"))
    store.close()


def test_dead_letters(tmp_path: Path) -> None:
    dead_letters(tmp_path / "x.db")
    url = "sqlite:///x.db"
    table = said(ran("dead-letters", "list", "--on", url, cwd=tmp_path))
    assert table.count("payments") == 3
    listed = json.loads(said(ran("dead-letters", "list", "--on", url, "--reason", "type", "--json", cwd=tmp_path)))
    assert [letter["offset"] for letter in listed] == [0, 2]
    assert listed[0] == {
        "row": 1, "pipeline": "fraud", "reason": "type", "source": "payments", "offset": 0, "path": "$.amount",
        "message": "Input should be a number", "size": 7,
    }  # fmt: skip
    shown = said(ran("dead-letters", "show", "2", "--on", url, cwd=tmp_path))
    assert shown.endswith('raw:\n{"a":1}\n')
    assert json.loads(said(ran("dead-letters", "show", "2", "--on", url, "--json", cwd=tmp_path)))["reason"] == "json"
    missing = complaint(ran("dead-letters", "show", "9", "--on", url, cwd=tmp_path), Exit.USER)
    assert missing == "Row 9 is no dead letter. See their rows: stream-ml dead-letters list"
    unknown = complaint(ran("dead-letters", "list", "--on", url, "--reason", "odd", cwd=tmp_path), Exit.USER)
    assert unknown.startswith("--reason odd is not known. Reasons: json, type, missing")


def test_dead_letters_are_produced_again_as_the_log_holds_them(tmp_path: Path) -> None:
    url, value = "sqlite:///x.db", b'{"a":1}' + b" " * 70_000
    with connect(f"sqlite:///{tmp_path}/x.db") as log:
        log.produce("payments", [value])
    store = Store(tmp_path / "x.db", "fraud", Durable.FULL, 1_000)
    cut = {"topic": "payments", "partition": 0, "offset": 1, "received": 7, "reason": "type", "path": "$.a"}
    cut |= {"message": "no", "raw": "eyJhIjoxfQ==", "size": len(value)}
    whole = cut | {"reason": "json", "size": 7}
    gone = cut | {"offset": 99}
    store.commit(Commit([Output("fraud.dead", [json.dumps(one).encode() for one in (cut, whole, gone)])], 1, b"entry"))
    store.close()
    done = ran("dead-letters", "retry", "2", "3", "--on", url, cwd=tmp_path)
    assert said(done) == "row 2 (type): again in payments, row 5\nrow 3 (json): again in payments, row 6\n"
    with connect(f"sqlite:///{tmp_path}/x.db") as log:
        assert [record.value for record in log.records("payments", 5)] == [value, b'{"a":1}']
    refused = ran("dead-letters", "retry", "--reason", "type", "--json", "--on", url, cwd=tmp_path)
    assert refused.returncode == Exit.USER
    told = json.loads(refused.stdout)
    assert [one["row"] for one in told["retried"]] == [2]
    assert told["refused"][0]["row"] == 4
    assert told["refused"][0]["error"].startswith("payments no longer holds offset 0/99, and the dead letter has only")
    both = complaint(ran("dead-letters", "retry", "2", "--all", "--on", url, cwd=tmp_path), Exit.USER)
    assert both.startswith("Ids and --all or --reason say different things")


def test_status_of_a_file(tmp_path: Path) -> None:
    dead_letters(tmp_path / "x.db")
    told = json.loads(said(ran("status", "--on", "sqlite:///x.db", "--json", cwd=tmp_path)))
    assert told["rows"] == 3
    (pipeline,) = told["pipelines"]
    assert pipeline["name"] == "fraud"
    assert pipeline["process"] is None
    assert pipeline["entry"] == 1
    assert "stopped" in said(ran("status", "--on", "sqlite:///x.db", cwd=tmp_path))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("consume", "t"), Exit.USER, "No log is named. Add --on sqlite:///FILE, or set STREAM_ML_URL, or url in"),
        (("consume", "t", "--on", "x.db"), Exit.USER, "'x.db' is not a URL. Write sqlite:///x.db"),
        (("consume", "t", "--on", "sqlite:///none.db"), Exit.USER, "There is no file none.db. Produce into it"),
        (("consume", "t", "--on", "sqlite:///bad.db"), Exit.CORRUPT, "bad.db is not a database. Name another file"),
        (("consume", "t", "--from", "now", "--on", "sqlite:///x.db"), Exit.USER, "--from now is not known. Write"),
        (("consume", "t", "--format", "xml", "--on", "sqlite:///x.db"), Exit.USER, "--format xml is not known. Write"),
        (("consume", "t", "-f", "--format", "csv", "--on", "sqlite:///x.db"), Exit.USER, "--follow never ends, and"),
        (
            ("produce", "t", "none.ndjson", "--on", "sqlite:///x.db"),
            Exit.USER,
            "none.ndjson does not exist. Check the name",
        ),
        (("produce", "t", "bad.parquet", "--on", "sqlite:///x.db"), Exit.USER, "bad.parquet is not a Parquet file"),
        (("produce", "t", "cut.gz", "--on", "sqlite:///x.db"), Exit.USER, "cut.gz ends in the middle of its gzip data"),
        (("produce", "t", "-", "--on", "sqlite:///gone/x.db"), Exit.USER, "There is no folder gone. Make it: mkdir"),
        (("produce", "t", "-", "--durable", "half", "--on", "sqlite:///x.db"), Exit.USER, "The setting durable = 'ha"),
        (("status", "--on", "sqlite:///none.db"), Exit.USER, "There is no file none.db. Produce into it"),
        (("new", "1x"), Exit.USER, "'1x' cannot be the name of a pipeline. Use letters, digits, _ and -"),
        (("new", "there"), Exit.USER, "there is there already. Choose another name; nothing was written"),
    ],
)
def test_mistakes_are_one_line_and_a_code(tmp_path: Path, arguments: tuple[str, ...], code: Exit, text: str) -> None:
    for name in ("bad.db", "bad.parquet"):
        (tmp_path / name).write_bytes(b"nothing that it should be " * 100)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(os.urandom(1_000))[:500])
    (tmp_path / "there").mkdir()
    assert complaint(ran(*arguments, cwd=tmp_path, stdin=b"{}\n"), code).startswith(text)


@pytest.mark.parametrize("arguments", [("nothing",), ("produce",), ("run",), ("produce", "t", "-", "--rate", "x")])
def test_wrong_usage_ends_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = ran(*arguments, cwd=tmp_path)
    assert done.returncode == Exit.USER
    assert b"Usage" in done.stderr
    assert b"Traceback" not in done.stderr


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    done = ran("consume", "t", "--on", "x.db", cwd=tmp_path, env={"STREAM_ML_DEBUG": "1"})
    assert done.returncode != 0
    assert b"Traceback" in done.stderr


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(payments: Path, tmp_path: Path) -> None:
    (tmp_path / "stream-ml.toml").write_text('url = "sqlite:///toml.db"\n', encoding="utf-8")
    said(ran("produce", "t", payments.name, cwd=tmp_path))
    said(ran("produce", "t", payments.name, cwd=tmp_path, env={"STREAM_ML_URL": "sqlite:///env.db"}))
    typed = ("--on", "sqlite:///typed.db")
    said(ran("produce", "t", payments.name, *typed, cwd=tmp_path, env={"STREAM_ML_URL": "sqlite:///env.db"}))
    for name in ("toml.db", "env.db", "typed.db"):
        with connect(f"sqlite:///{tmp_path}/{name}") as client:
            assert len(list(client.consume("t"))) == 5
    (tmp_path / "stream-ml.toml").write_text('uri = "sqlite:///toml.db"\n', encoding="utf-8")
    refused = complaint(ran("produce", "t", payments.name, cwd=tmp_path), Exit.USER)
    assert refused.startswith("stream-ml.toml sets 'uri', which is no setting. Settings: url, durable")


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    with connect(f"sqlite:///{tmp_path}/x.db") as client:
        client.produce("t", [{"n": n} for n in range(20_000)])
    process = subprocess.Popen(
        command("consume", "t", "--on", f"sqlite:///{tmp_path}/x.db"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_every_command_has_help(tmp_path: Path) -> None:
    listed = said(ran("--help", cwd=tmp_path))
    for name in ("new", "check", "produce", "run", "consume", "replay", "status", "dead-letters", "topics", "demo"):
        assert f" {name} " in listed
        assert "Usage" in said(ran(name, "--help", cwd=tmp_path))
