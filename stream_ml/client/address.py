"""Where a log is: `sqlite:///fraud.db` to a path."""

from __future__ import annotations

from pathlib import Path

from stream_ml.errors import UsageError

SCHEME = "sqlite://"


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
            raise UsageError(msg, "Engines here: sqlite:///FILE")
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
