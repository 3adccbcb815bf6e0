"""Producers and consumers on one file: rows, received times, kinds of records, two processes at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest
from pydantic import BaseModel, Field

from stream_ml.client import Client, Record, connect
from stream_ml.client.database import Access, open_database, transaction
from stream_ml.client.log import Log
from stream_ml.errors import BusyError, InputError, StreamMLError, UsageError
from tests.local.processes import finished, python, until


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/log.db"


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with connect(url) as made:
        assert isinstance(made, Client)
        yield made


class Payment(BaseModel):
    payment: str
    amount: float
    at: datetime = Field(alias="when")


def test_what_is_produced_is_consumed_in_order(client: Client) -> None:
    rows = client.produce("payments", ({"n": n} for n in range(5_000)))
    assert rows == list(range(1, 5_001))
    assert [record["n"] for record in client.consume("payments")] == list(range(5_000))


def test_each_kind_of_record(client: Client) -> None:
    client.produce(
        "t",
        [
            {"at": datetime(2024, 1, 2, tzinfo=UTC), "none": None},
            Payment(payment="p", amount=1.5, when=datetime(2024, 1, 2, tzinfo=UTC)),
            b'{"raw": 1.50}',
            '{"text": "ä"}',
            b"no json \xff",
            b"",
        ],
    )
    assert [record.value for record in client.records("t")] == [
        b'{"at":"2024-01-02T00:00:00+00:00","none":null}',
        b'{"payment":"p","amount":1.5,"when":"2024-01-02T00:00:00Z"}',
        b'{"raw": 1.50}',
        '{"text": "ä"}'.encode(),
        b"no json \xff",
        b"",
    ]
    assert list(client.consume("t"))[4:] == [b"no json \xff", b""]


def test_a_record_that_is_no_json_is_refused_and_nothing_of_its_chunk_is_stored(client: Client) -> None:
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        client.produce("t", [{"fine": 1}, {"bad": object()}])
    client.produce("t", [{"fine": 2}])
    assert list(client.consume("t")) == [{"fine": 2}]


def test_keys_come_from_a_field(client: Client) -> None:
    client.produce("t", [{"card": "c1"}, {"card": 7}, {}, b'{"card":"c2"}', b"no json"], key="card")
    assert [record.key for record in client.records("t")] == ["c1", "7", None, "c2", None]


def test_where_a_consumer_starts(client: Client) -> None:
    client.produce("a", [{"n": 0}])
    client.produce("b", [{"n": 1}])
    client.produce("a", [{"n": 2}, {"n": 3}])
    assert [r["n"] for r in client.consume("a", 3)] == [2, 3]
    assert list(client.consume("a", "end")) == []
    assert list(client.consume("a", 99)) == []
    assert list(client.consume("nothing")) == []
    with pytest.raises(UsageError, match="start='latest' is not known"):
        next(client.consume("a", "latest"))  # type: ignore[arg-type]


def test_received_never_goes_back(client: Client, url: str) -> None:
    client.produce("t", [{"n": 1}])
    with transaction_of(client) as log:
        last = log.stamp()
        log.append("t", last + 3_600_000, [b"{}"])
    client.produce("t", [{"n": 2}])
    received = [record.received for record in client.records("t")]
    assert received == sorted(received)
    assert received[2] == received[1] == last + 3_600_000


class transaction_of:
    """A transaction over a second connection to the client's file."""

    def __init__(self, client: Client) -> None:
        self._connection = open_database(client.path, Access.WRITE)
        self._inner = transaction(self._connection)

    def __enter__(self) -> Log:
        self._inner.__enter__()
        return Log(self._connection)

    def __exit__(self, *exception: object) -> None:
        self._inner.__exit__(None, None, None)
        self._connection.close()


def test_large_records_are_cut_into_chunks_and_parts(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    large = [b'{"x":"%s"}' % (b"y" * (10 << 20)) for _ in range(3)]
    assert [len(chunk) for chunk in client.produce_chunks("t", iter(large))] == [1, 1, 1]
    assert [len(batch) for batch in client.batches(("t",), size=64)] == [3]
    monkeypatch.setattr("stream_ml.client.log.PART_BYTES", 1 << 20)
    client.produce("u", itertools.repeat(b"y" * 50_000, 200))
    parts = [len(batch) for batch in client.batches(("u",), size=1_000)]
    assert parts == [128, 72]


def test_two_producers_at_once_lose_nothing_and_keep_their_order(url: str, tmp_path: Path) -> None:
    script = """
import sys
from stream_ml.client import connect
who = sys.argv[2]
with connect(sys.argv[1]) as client:
    sys.stdin.readline()
    for n in range(200):
        client.produce("t", [{"who": who, "n": 3 * n + i} for i in range(3)])
"""
    both = [python(script, url, who) for who in ("a", "b")]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        finished(process)
    with connect(url) as client:
        records = list(client.records("t"))
    assert [record.row for record in records] == list(range(1, 1_201))
    assert [record.received for record in records] == sorted(record.received for record in records)
    for who in ("a", "b"):
        mine = [record.json()["n"] for record in records if record.json()["who"] == who]
        assert mine == list(range(600))


def test_follow_sees_what_another_process_appends(client: Client, url: str) -> None:
    client.produce("t", [{"n": 0}])
    script = """
import sys
from stream_ml.client import connect
with connect(sys.argv[1]) as client:
    for line in sys.stdin:
        client.produce("t", [{"n": int(line)}])
"""
    other = python(script, url)
    assert other.stdin is not None
    following = client.consume("t", follow=True)
    assert next(following) == {"n": 0}
    for n in range(1, 20):
        other.stdin.write(f"{n}\n")
        other.stdin.flush()
        assert next(following) == {"n": n}
    finished(other)
    assert list(client.consume("t", "end", follow=True, timeout=0.05)) == []


def test_a_write_lock_held_by_another_is_one_clear_error(client: Client) -> None:
    client.produce("t", [{"n": 0}])
    connection = open_database(client.path, Access.WRITE)
    connection.execute("BEGIN IMMEDIATE")
    client_connection(client).set_busy_timeout(20)
    with pytest.raises(BusyError, match=r"log\.db is locked by another process\. End the program"):
        client.produce("t", [{"n": 1}])
    connection.execute("ROLLBACK")
    connection.close()
    assert client.produce("t", [{"n": 2}]) == [2]


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file .*none\.db\. Produce into it"):
        next(connect(f"sqlite:///{tmp_path}/none.db").consume("t"))
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(UsageError, match=r"There is no folder .*gone\. Make it: mkdir -p"):
        connect(f"sqlite:///{tmp_path}/gone/x.db").produce("t", [{}])
    with pytest.raises(UsageError, match="is a folder"):
        connect(f"sqlite:///{tmp_path}").produce("t", [{}])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("fraud.db", "'fraud.db' is not a URL. Write sqlite:///fraud.db"),
        ("", "'' is not a URL. Write sqlite:///FILE"),
        ("redis://host", "The URL redis://host names no engine: redis. Engines here: sqlite:///FILE and kafka://HOST:PORT"),
        ("sqlite://fraud.db", "The URL sqlite://fraud.db has a host. A file takes three slashes: sqlite:///fraud.db"),
        ("sqlite:///", "The URL sqlite:/// names no file. Write sqlite:///fraud.db"),
        ("sqlite:////", "The URL sqlite://// names no file. Write sqlite:///fraud.db"),
    ],
)
def test_urls_that_name_nothing(bad: str, message: str) -> None:
    with pytest.raises(StreamMLError) as refused:
        connect(bad)
    assert str(refused.value) == message


def test_durable_is_set_on_the_connection(tmp_path: Path) -> None:
    for word, level in (("full", 2), ("normal", 1)):
        with connect(f"sqlite:///{tmp_path}/{word}.db", durable=word) as client:  # type: ignore[arg-type]
            assert isinstance(client, Client)
            client.produce("t", [{}])
            assert client_connection(client).execute("PRAGMA synchronous").get == level
    with pytest.raises(UsageError, match='Write "full" or "normal"'):
        connect("sqlite:///x.db", durable="half")  # type: ignore[arg-type]


def test_a_record_says_where_it_was(client: Client) -> None:
    client.produce("t", [{"n": 0}])
    (record,) = client.records("t")
    assert record == Record(1, "t", record.received, None, b'{"n":0}')


def test_the_write_ahead_log_stays_bounded_while_somebody_reads(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_ml.client.connection.WAL_BYTES", 1 << 20)
    wal = Path(f"{client.path}-wal")
    reader = client.batches(("t",), follow=True, size=10)
    sizes = []
    for _ in range(60):
        client.produce("t", [b"x" * 1_000] * 500)
        next(reader)
        sizes.append(wal.stat().st_size)
    reader.close()  # type: ignore[attr-defined]
    assert client.path.stat().st_size > 20 << 20
    assert max(sizes) < 5 << 20


def test_kill_9_in_mid_transaction_leaves_all_or_nothing(client: Client, url: str) -> None:
    client.produce("t", [{"n": -1}])
    script = """
import sys
from stream_ml.client import connect
with connect(sys.argv[1]) as client:
    n = 0
    while True:
        client.produce("t", [{"n": n}] * 500)
        n += 1
"""
    killed = 0
    for _ in range(5):
        process = python(script, url)
        before = client_rows(client)
        until(lambda before=before: client_rows(client) > before + 1_000)  # type: ignore[misc]
        process.kill()
        process.communicate()
        killed += process.returncode == -9
    assert killed == 5
    rows = [record.row for record in client.records("t")]
    assert rows == list(range(1, len(rows) + 1))
    assert (len(rows) - 1) % 500 == 0
    assert client.produce("t", [{"n": -2}]) == [len(rows) + 1]


def client_rows(client: Client) -> int:
    connection = open_database(client.path, Access.READ)
    try:
        return Log(connection).end()
    finally:
        connection.close()


def test_apsw_is_new_enough() -> None:
    assert tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) >= (3, 51, 3)


def client_connection(client: Client) -> apsw.Connection:
    assert client._log is not None
    return client._log.connection
