"""Settings: command line > environment `STREAM_ML_*` > `stream-ml.toml` > defaults."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le
from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from stream_ml.errors import UsageError

FILE = "stream-ml.toml"
#: Tables of the file that others read: `stream_ml.config.kafka`.
TABLES = frozenset({"kafka"})


class Durable(StrEnum):
    """What a commit survives: `full` also power loss, `normal` kill -9 only (the last moments may be lost)."""

    FULL = "full"
    NORMAL = "normal"


class Settings(BaseSettings):
    """How a worker runs; nothing here changes an answer.

    Parameters
    ----------
    url
        Where the log is: `sqlite:///fraud.db`.
    durable
        `full` waits for the disk at each commit, `normal` does not.
    metrics_port
        Port of the Prometheus endpoint; none by default.
    metrics_host
        Address that it listens on.
    snapshot_seconds
        A snapshot is due when feeding the journal again would take longer than this.
    batch
        Records of one turn at most, when the worker is behind.
    busy_ms
        How long to wait for other processes' transactions.
    turn_seconds
        The process of `stream-ml run` ends when a turn takes longer than this: a model that never returns.
    """

    model_config = SettingsConfigDict(env_prefix="STREAM_ML_", toml_file=FILE, extra="ignore")

    url: str | None = None
    durable: Durable = Durable.FULL
    metrics_port: Annotated[int, Ge(0), Le(65_535)] | None = None
    metrics_host: str = "127.0.0.1"
    snapshot_seconds: Annotated[float, Gt(0)] = 2.0
    batch: Annotated[int, Ge(1), Le(100_000)] = 16_000
    busy_ms: Annotated[int, Ge(0)] = 10_000
    turn_seconds: Annotated[float, Gt(0)] = 60.0

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of the sources, strongest first."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def read_settings(**given: Any) -> Settings:
    """Read the settings, what was given on the command line on top; `None` means not given.

    Raises
    ------
    UsageError
        If a value is not allowed, or `stream-ml.toml` has a name that no setting has.

    Examples
    --------
    >>> read_settings(metrics_port=9100).metrics_port
    9100
    """
    _check_file(Path(FILE))
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        msg = f"The setting {name} = {first['input']!r} is refused: {first['msg']}"
        raise UsageError(msg) from error


def _check_file(path: Path) -> None:
    if not path.exists():
        return
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise UsageError(msg) from error
    unknown = sorted(set(found) - set(Settings.model_fields) - TABLES)
    if unknown:
        names = ", ".join(Settings.model_fields)
        msg = f"{path} sets {unknown[0]!r}, which is no setting"
        raise UsageError(msg, f"Settings: {names}")
