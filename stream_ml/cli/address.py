"""Which log a command works on: `--on`, or the setting `url`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stream_ml.client.address import database_path
from stream_ml.config.settings import Settings, read_settings
from stream_ml.errors import UsageError


def settings_and_url(on: str | None, **given: Any) -> tuple[Settings, str]:
    """Read the settings with the command line on top, and the URL that they name.

    Raises
    ------
    UsageError
        If no log is named anywhere.
    """
    settings = read_settings(url=on, **given)
    if settings.url is None:
        cause = "No log is named"
        raise UsageError(cause, "Add --on sqlite:///FILE, or set STREAM_ML_URL, or url in stream-ml.toml")
    return settings, settings.url


def settings_and_path(on: str | None, **given: Any) -> tuple[Settings, Path]:
    """Like `settings_and_url`, with the file's path."""
    settings, url = settings_and_url(on, **given)
    return settings, database_path(url)
