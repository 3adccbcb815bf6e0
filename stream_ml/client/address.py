"""Where a log is: `sqlite:///fraud.db` to a path, `kafka://host:9092` to servers."""

from __future__ import annotations

from pathlib import Path

from stream_ml.errors import UsageError

SCHEME = "sqlite://"
KAFKA = "kafka://"
PORT = 9092


def kafka_servers(url: str) -> str | None:
    """Servers that a URL names, as Kafka's clients take them; None where it names no Kafka.

    Parameters
    ----------
    url
        `kafka://host:port`, or several `host:port` with commas between; without a port it is 9092.

    Raises
    ------
    UsageError
        If the URL names no server, or a topic where none belongs.

    Examples
    --------
    >>> kafka_servers("kafka://127.0.0.1:9092,127.0.0.1:9093")
    '127.0.0.1:9092,127.0.0.1:9093'
    >>> kafka_servers("kafka://broker")
    'broker:9092'
    >>> kafka_servers("sqlite:///fraud.db")
    >>> kafka_servers("kafka://broker/payments")
    Traceback (most recent call last):
    stream_ml.errors.UsageError: The URL kafka://broker/payments has more than servers. Write kafka://broker
    """
    if not url.startswith(KAFKA):
        return None
    servers, slash, _ = url[len(KAFKA) :].partition("/")
    if slash:
        cause = f"The URL {url} has more than servers"
        raise UsageError(cause, f"Write {KAFKA}{servers}")
    if not servers:
        cause = f"The URL {url} names no server"
        raise UsageError(cause, f"Write {KAFKA}127.0.0.1:{PORT}")
    return ",".join(one if ":" in one else f"{one}:{PORT}" for one in servers.split(","))


def kafka_topic(url: str, topic: str) -> tuple[str, str] | None:
    """Servers and topic that a URL of history names; None where it names no Kafka.

    Parameters
    ----------
    url
        `kafka://host:port/topic`; without a topic it is the one given.

    Raises
    ------
    UsageError
        If the URL names no server, or more than a topic.

    Examples
    --------
    >>> kafka_topic("kafka://broker:9092", "payments")
    ('broker:9092', 'payments')
    >>> kafka_topic("kafka://broker/old-payments", "payments")
    ('broker:9092', 'old-payments')
    >>> kafka_topic("payments.csv", "payments")
    """
    if not url.startswith(KAFKA):
        return None
    places, _, named = url[len(KAFKA) :].partition("/")
    if "/" in named:
        cause = f"The URL {url} has more than servers and a topic"
        raise UsageError(cause, f"Write {KAFKA}{places}/{topic}")
    servers = kafka_servers(KAFKA + places)
    assert servers is not None
    return servers, named or topic


def no_aiokafka() -> UsageError:
    """Return what to say where aiokafka is not installed."""
    return UsageError("Kafka needs aiokafka, which is not installed", "pip install 'stream-ml[kafka]'")


def database_path(url: str) -> Path:
    """Path of the SQLite file that a URL names.

    Parameters
    ----------
    url
        `sqlite:///fraud.db` (relative to the working folder) or `sqlite:////srv/fraud.db` (absolute).

    Raises
    ------
    UsageError
        If the URL is not one of these forms.

    Examples
    --------
    >>> database_path("sqlite:///data/fraud.db").as_posix()
    'data/fraud.db'
    >>> database_path("sqlite:////srv/fraud.db").as_posix()
    '/srv/fraud.db'
    >>> database_path("sqlite://fraud.db")
    Traceback (most recent call last):
    stream_ml.errors.UsageError: The URL sqlite://fraud.db has a host. A file takes three slashes: sqlite:///fraud.db
    """
    if not url.startswith(SCHEME):
        name = url.partition("://")[0] if "://" in url else ""
        if name:
            msg = f"The URL {url} names no engine: {name}"
            raise UsageError(msg, "Engines here: sqlite:///FILE and kafka://HOST:PORT")
        msg = f"{url!r} is not a URL"
        raise UsageError(msg, f"Write sqlite:///{url or 'FILE'}")
    rest = url[len(SCHEME) :]
    if not rest.startswith("/"):
        msg = f"The URL {url} has a host"
        raise UsageError(msg, f"A file takes three slashes: sqlite:///{rest}")
    if rest in {"/", "//"} or rest.endswith("/"):
        msg = f"The URL {url} names no file"
        raise UsageError(msg, "Write sqlite:///fraud.db")
    return Path(rest[1:])
