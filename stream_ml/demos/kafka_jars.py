"""The jars of Apache Kafka: fetched through Maven once, kept in the user's cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from stream_ml.errors import StreamMLError, UsageError

VERSION = "4.1.1"

#: slf4j-simple logs to stderr without a file of settings, on every version alike; reload4j would be chosen before it.
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>stream-ml</groupId>
  <artifactId>kafka-jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{version}</version>
      <exclusions>
        <exclusion>
          <groupId>org.slf4j</groupId>
          <artifactId>slf4j-reload4j</artifactId>
        </exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>{version}</version>
      <exclusions>
        <exclusion>
          <groupId>org.slf4j</groupId>
          <artifactId>slf4j-reload4j</artifactId>
        </exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def version() -> str:
    """Return the version of Kafka that is run: `STREAM_ML_KAFKA_VERSION`, else the one that is tested."""
    return os.environ.get("STREAM_ML_KAFKA_VERSION") or VERSION


def cache(of: str) -> Path:
    """Return the folder of the jars of a version: below `STREAM_ML_KAFKA_JARS`, else below the user's cache.

    Parameters
    ----------
    of
        A version as Maven knows it.
    """
    named = os.environ.get("STREAM_ML_KAFKA_JARS")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(named) if named else Path(home) / "stream_ml") / f"kafka-{of}"


def jars(of: str | None = None) -> Path:
    """Return a folder with the jars of Kafka and its tools; the first call asks Maven for them (54 MB).

    Several processes may ask at once: one fetches, the others wait. An interrupted one leaves nothing that looks whole.

    Parameters
    ----------
    of
        A version as Maven knows it; None is `version()`.

    Raises
    ------
    UsageError
        Java or Maven is missing.
    StreamMLError
        Maven could not fetch them.
    """
    of = of or version()
    folder = cache(of)
    missing = _missing("java", *(() if folder.is_dir() else ("mvn",)))
    if missing:
        cause = f"a Kafka broker needs Java 17 and Maven, and there is no {' and no '.join(missing)} on the path"
        raise UsageError(cause, "Install them (Debian: apt-get install openjdk-17-jre-headless maven)")
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(folder.suffix + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(of, folder)
    return folder


def java(*words: str, options: tuple[str, ...] = ()) -> list[str]:
    """Return the command line that runs a class of Kafka's jars.

    Parameters
    ----------
    words
        The class and its arguments, as `"org.apache.kafka.tools.TransactionsCommand", "--help"`.
    options
        Options of the Java machine.

    Raises
    ------
    UsageError, StreamMLError
        As `jars`.
    """
    return ["java", *options, "-cp", f"{jars()}/*", *words]


def _missing(*programs: str) -> list[str]:
    return [program for program in programs if shutil.which(program) is None]


def _fetch(of: str, folder: Path) -> None:
    """Fill a folder beside the one that is wanted, then give it the name."""
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        (Path(beside) / "pom.xml").write_text(_POM.format(version=of), encoding="utf-8")
        goal = ["dependency:copy-dependencies", "-DoutputDirectory=libs", "-DincludeScope=runtime"]
        done = subprocess.run(
            ["mvn", "-q", "-B", *goal],
            cwd=beside, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        libs = Path(beside) / "libs"
        if done.returncode != 0 or not any(libs.glob("kafka_*.jar")):
            told = "\n".join((done.stdout + done.stderr).splitlines()[:8])
            cause = f"Maven could not fetch Kafka {of}"
            raise StreamMLError(cause, f"Is its repository within reach?\n{told}")
        libs.rename(folder)
