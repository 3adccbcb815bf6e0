"""The file itself: made, migrated, refused; what each failure says. Real files, a real full disk."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from stream_ml.client import connect
from stream_ml.client.database import Access, open_database, require_sqlite
from stream_ml.client.migrations import APPLICATION_ID, FORMAT, MIGRATIONS
from stream_ml.errors import CorruptError, Exit, FormatError, InputError, StorageError, StreamMLError
from tests.local.processes import finished, python


def made(path: Path, records: int = 3) -> Path:
    with connect(f"sqlite:///{path}") as client:
        client.produce("payments", ({"n": n} for n in range(records)))
    return path


def refusal(path: Path) -> StreamMLError:
    with pytest.raises(StreamMLError) as refused, connect(f"sqlite:///{path}") as client:
        client.produce("payments", [{"n": -1}])
    return refused.value


def test_a_new_file_is_ours_in_wal_mode_with_its_migrations_recorded(tmp_path: Path) -> None:
    connection = open_database(made(tmp_path / "new.db"), Access.READ)
    assert connection.execute("PRAGMA journal_mode").get == "wal"
    assert connection.execute("PRAGMA application_id").get == APPLICATION_ID
    assert connection.execute("PRAGMA user_version").get == FORMAT
    assert connection.execute("PRAGMA mmap_size").get == 0
    names = [name for (name,) in connection.execute("SELECT name FROM migrations ORDER BY name").fetchall()]
    assert names == [step.name for step in MIGRATIONS]
    connection.close()


def test_a_file_of_an_older_format_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr("stream_ml.client.database.FORMAT", 1)
        older.setattr("stream_ml.client.database.MIGRATIONS", MIGRATIONS[:1])
        path = made(tmp_path / "old.db")
    made(path)
    connection = open_database(path, Access.READ)
    assert connection.execute("PRAGMA user_version").get == FORMAT
    assert connection.execute("SELECT count(*) FROM log").get == 6
    assert connection.execute("SELECT count(*) FROM predictions").get == 0
    connection.close()


def test_two_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    script = """
import sys
from stream_ml.client import connect
sys.stdin.readline()
with connect(sys.argv[1]) as client:
    client.produce("t", [{}])
"""
    url = f"sqlite:///{tmp_path}/both.db"
    both = [python(script, url) for _ in range(4)]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        finished(process)
    with connect(url) as client:
        assert [record.row for record in client.records("t")] == [1, 2, 3, 4]


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "newer.db")
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    error = refusal(path)
    assert isinstance(error, FormatError)
    assert error.exit is Exit.CORRUPT
    assert str(error) == (
        f"{path} has format {FORMAT + 1}, newer than this version's {FORMAT}. Upgrade: pip install --upgrade stream-ml"
    )


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Not a database, whatever its name. " * 50, encoding="utf-8")
    before = path.read_bytes()
    error = refusal(path)
    assert isinstance(error, CorruptError)
    assert str(error) == f"{path} is not a database. Name another file; this one is left as it is"
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    error = refusal(path)
    assert str(error) == f"{path} is a database of another program. Name another file; this one is left as it is"
    assert path.read_bytes() == before


def test_an_empty_file_is_read_as_nothing_yet_and_becomes_a_log(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with connect(f"sqlite:///{path}") as client:
        with pytest.raises(InputError, match="holds nothing yet"):
            list(client.consume("payments"))
        assert client.produce("payments", [{}]) == [1]


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    path = made(tmp_path / "damaged.db", 20_000)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(16_384)
        file.write(os.urandom(size - 16_384))
    with pytest.raises(CorruptError, match=r"damaged\.db is damaged \(.*\)\. Restore it from a copy"):
        list(connect(f"sqlite:///{path}").consume("payments"))


def test_a_truncated_file_says_so(tmp_path: Path) -> None:
    path = made(tmp_path / "cut.db", 20_000)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(CorruptError, match=r"cut\.db is damaged"):
        list(connect(f"sqlite:///{path}").consume("payments"))


def test_an_old_sqlite_is_refused() -> None:
    require_sqlite("3.51.3")
    require_sqlite("3.100.0")
    with pytest.raises(StorageError, match=r"SQLite 3\.51\.2 can corrupt a file .* Install apsw with SQLite 3\.51\.3"):
        require_sqlite("3.51.2")


def as_nobody(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as a user who may not write, since root may always."""
    prelude = "import os\nif os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
    process = python(script, *arguments, prelude="import stream_ml.client, sys\n" + prelude)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, out, err)


TRY = """
from stream_ml.client import connect
from stream_ml.errors import StreamMLError
try:
    with connect(sys.argv[1]) as client:
        print(client.produce("t", [{}]) if sys.argv[2] == "produce" else list(client.consume("payments")))
except StreamMLError as error:
    print(type(error).__name__, error)
"""


def test_a_read_only_file_can_be_read_and_not_written(tmp_path: Path) -> None:
    path = made(tmp_path / "ro.db")
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path(tempfile.gettempdir()) and folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(0o755)
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        wrote = as_nobody(TRY, f"sqlite:///{path}", "produce")
        assert wrote.stdout.startswith("StorageError"), wrote
        assert "ro.db is read only. Change its permissions" in wrote.stdout
        read = as_nobody(TRY, f"sqlite:///{path}", "consume")
        assert read.stdout == "[{'n': 0}, {'n': 1}, {'n': 2}]\n", read
        missing = as_nobody(TRY, f"sqlite:///{tmp_path}/none.db", "produce")
        assert missing.stdout.startswith("StorageError"), missing
        assert "none.db cannot be opened" in missing.stdout
    finally:
        tmp_path.chmod(0o755)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_one_clear_error_and_what_was_acknowledged_stays(small_disk: Path) -> None:
    path = small_disk / "full.db"
    acknowledged = 0
    with connect(f"sqlite:///{path}") as client:

        def fill() -> int:
            count = 0
            while True:
                count = len(client.produce("t", [b"x" * 1_000] * 100)) + count
                counts.append(count)

        counts: list[int] = []
        with pytest.raises(StorageError) as full:
            fill()
        acknowledged = counts[-1]
        assert acknowledged > 1_000
        assert str(full.value) == (
            f"No space is left on the disk of {path}. "
            "Make room and start again: what was acknowledged is safe, nothing else was stored"
        )
        subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
        assert client.produce("t", [b"after"]) == [acknowledged + 1]
    with connect(f"sqlite:///{path}") as client:
        assert sum(1 for _ in client.records("t")) == acknowledged + 1


def test_a_file_that_may_not_grow_is_one_clear_error(tmp_path: Path) -> None:
    script = """
import resource, sys
from stream_ml.client import connect
from stream_ml.errors import StorageError
with connect(sys.argv[1]) as client:
    client.produce("t", [{}])
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    try:
        while True:
            client.produce("t", [b"x" * 1_000] * 100)
            acknowledged = True
    except StorageError as error:
        print(acknowledged, error)
"""
    assert resource.RLIMIT_FSIZE is not None
    out = finished(python(script, f"sqlite:///{tmp_path}/grow.db"))
    assert out.startswith("True The disk or the file ")
    assert "Nothing of this was stored" in out
    with connect(f"sqlite:///{tmp_path}/grow.db") as client:
        assert (sum(1 for _ in client.records("t")) - 1) % 100 == 0
