"""How Kafka is reached, and how a worker behaves on it: environment `STREAM_ML_KAFKA_*` > `stream-ml.toml` [kafka]."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from stream_ml.errors import UsageError

FILE = "stream-ml.toml"
TABLE = "kafka"


class KafkaSettings(BaseSettings):
    """Operations on Kafka; nothing here changes an answer. Secrets are never printed.

    Parameters
    ----------
    security_protocol, sasl_mechanism
        As the brokers' listener says.
    sasl_username, sasl_password
        Of the worker's user.
    ssl_cafile, ssl_certfile, ssl_keyfile, ssl_password
        PEM files: who signed the brokers, and the worker's own certificate where brokers ask for one.
    partitions
        Of topics that are made here: as many tasks.
    replication_factor
        Of topics that are made here; -1 is the cluster's default.
    create_topics
        Whether missing topics are made; `stream-ml topics` prints them for an operator otherwise.
    start
        Where a pipeline that never ran begins in its sources.
    commit_interval_ms
        A transaction is not begun sooner after the last one: batches grow with load.
    session_timeout_ms, rebalance_timeout_ms, heartbeat_interval_ms
        Of the worker in its consumer group.
    request_timeout_ms
        Of one request.
    transaction_timeout_ms
        After which the brokers abort the transaction of a worker that hangs.
    deadline_s
        Of every wait; past it the task ends and is acquired anew.
    stall_s
        A loop that does not turn for so long ends the process.
    fetch_bytes, partition_bytes
        Of one fetch, and of one partition in it.
    compression
        Of what is written.
    check_keys
        Whether records of topics with several partitions must stand where murmur2 puts the key of their event.
    allow_pickle
        Whether models that river runs may travel between workers, through an allow-listed unpickler.
    """

    model_config = SettingsConfigDict(env_prefix="STREAM_ML_KAFKA_", extra="ignore")

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_password: SecretStr | None = None
    partitions: Annotated[int, Ge(1)] = 1
    replication_factor: int = -1
    create_topics: bool = True
    start: Literal["earliest", "latest"] | Annotated[int, Ge(0)] = "earliest"
    commit_interval_ms: Annotated[float, Ge(0)] = 10.0
    session_timeout_ms: Annotated[int, Gt(0)] = 30_000
    rebalance_timeout_ms: Annotated[int, Gt(0)] = 30_000
    heartbeat_interval_ms: Annotated[int, Gt(0)] = 3_000
    request_timeout_ms: Annotated[int, Gt(0)] = 15_000
    transaction_timeout_ms: Annotated[int, Gt(0)] = 45_000
    deadline_s: Annotated[float, Gt(0)] = 40.0
    stall_s: Annotated[float, Gt(0)] = 120.0
    fetch_bytes: Annotated[int, Gt(0)] = 8 << 20
    partition_bytes: Annotated[int, Gt(0)] = 1 << 20
    compression: Literal["gzip", "lz4", "zstd", "snappy"] | None = None
    check_keys: bool = True
    allow_pickle: bool = False

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
        return init_settings, env_settings, _Table(settings_cls)

    def client(self, servers: str) -> dict[str, Any]:
        """Return what every client of the brokers is made with.

        Raises
        ------
        UsageError
            If a certificate cannot be read, or a name or password is missing.
        """
        found: dict[str, Any] = {
            "bootstrap_servers": servers,
            "security_protocol": self.security_protocol,
            "request_timeout_ms": self.request_timeout_ms,
        }
        if self.security_protocol.startswith("SASL"):
            if self.sasl_username is None or self.sasl_password is None:
                cause = f"{self.security_protocol} needs a name and a password"
                raise UsageError(cause, "Set STREAM_ML_KAFKA_SASL_USERNAME and STREAM_ML_KAFKA_SASL_PASSWORD")
            found |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password.get_secret_value(),
            }
        if self.security_protocol.endswith("SSL"):
            found["ssl_context"] = self._context()
        return found

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ssl_cafile)
            if self.ssl_certfile is not None:
                password = None if self.ssl_password is None else self.ssl_password.get_secret_value()
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, password)
        except (OSError, ssl.SSLError) as error:
            cause = f"The certificates for Kafka cannot be read: {error}"
            raise UsageError(cause, "Check STREAM_ML_KAFKA_SSL_CAFILE, _CERTFILE, _KEYFILE and _PASSWORD") from error
        return context


class _Table(TomlConfigSettingsSource):
    """The table [kafka] of the file."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, Path(FILE))
        self.toml_data = self.toml_data.get(TABLE, {})
        self.init_kwargs = self.toml_data


def read_kafka_settings(**given: Any) -> KafkaSettings:
    """Read the settings, what was given on the command line on top; `None` means not given.

    Raises
    ------
    UsageError
        If a value is not allowed.

    Examples
    --------
    >>> read_kafka_settings(sasl_password="secret").sasl_password
    SecretStr('**********')
    """
    try:
        return KafkaSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        cause = f"The Kafka setting {name} is refused: {first['msg']}"
        raise UsageError(cause, f"Set STREAM_ML_KAFKA_{name.upper()}, or {name} in [kafka] of {FILE}") from error
