"""Listeners with TLS, passwords and certificates on the tests' broker; users of them, and the rights they are given."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import admin

from stream_ml.demos.broker_place import HOST
from tests.local.processes import ROOT, until

kafka: Any = admin  # its types export nothing
#: Of both kinds of passwords; nobody may ever print it.
PASSWORD = "Tz7-not-to-be-seen"
USERS = {"PLAIN": "plain", "SCRAM-SHA-256": "scram256", "SCRAM-SHA-512": "scram512"}
CERTIFIED = "certified"


class Right(NamedTuple):
    """One operation on a resource, as docs/kafka.md lists it for the pipeline `cards`."""

    kind: str
    name: str
    prefixed: bool
    operation: str


def rights_of_the_docs() -> list[Right]:
    """Read the table that operators read."""
    text = (ROOT / "docs" / "kafka.md").read_text(encoding="utf-8").partition("\n## Rights\n")[2].partition("\n## ")[0]
    found = []
    for kind, named, operations in re.findall(r"^\| (topic|group|transactional id) \| (.*?) \| (.*?) \|$", text, re.M):
        spelled = re.sub(r"\([^)]*\)", "", operations)
        names = re.findall(r"`(.+?)`", named) or [named.strip()]
        found += [
            Right(kind, name, "(prefixed)" in named, operation.strip())
            for name in names
            for operation in spelled.split(",")
        ]
    return found


@dataclass(frozen=True)
class Secured:
    """The listeners with passwords and with certificates, and the users that may be given rights.

    Parameters
    ----------
    inside
        Address without any of it: whoever comes there is the cluster's own, and may all.
    folder
        Holds `ca.pem`, `other-ca.pem` that nobody was signed by, `certified.pem` and `certified.key`.
    """

    inside: str
    address: str
    mutual: str
    folder: Path

    def settings(self, mechanism: str = "PLAIN", **changed: str) -> dict[str, str]:
        """Return the environment of a user with a password."""
        found = {
            "SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": mechanism, "SASL_USERNAME": USERS[mechanism],
            "SASL_PASSWORD": PASSWORD, "SSL_CAFILE": str(self.folder / "ca.pem"), "CREATE_TOPICS": "false", **changed,
        }  # fmt: skip
        return {f"STREAM_ML_KAFKA_{name}": value for name, value in found.items()}

    def certified(self) -> dict[str, str]:
        """Return the environment of the user with a certificate."""
        found = {
            "SECURITY_PROTOCOL": "SSL", "SSL_CAFILE": str(self.folder / "ca.pem"),
            "SSL_CERTFILE": str(self.folder / f"{CERTIFIED}.pem"), "SSL_KEYFILE": str(self.folder / f"{CERTIFIED}.key"),
            "CREATE_TOPICS": "false",
        }  # fmt: skip
        return {f"STREAM_ML_KAFKA_{name}": value for name, value in found.items()}

    def allow(self, user: str, rights: Sequence[Right], names: Mapping[str, Iterable[str]]) -> None:
        """Give a user these rights and no other, with the docs' names put in others' place."""
        client = kafka.AdminClient({"bootstrap.servers": self.inside})
        wanted = [
            kafka.AclBinding(
                getattr(kafka.ResourceType, _KINDS[one.kind]), name,
                kafka.ResourcePatternType.PREFIXED if one.prefixed else kafka.ResourcePatternType.LITERAL,
                f"User:{user}", "*", getattr(kafka.AclOperation, _snake(one.operation)), kafka.AclPermissionType.ALLOW,
            )
            for one in rights
            for name in names[one.name]
        ]  # fmt: skip
        its = kafka.AclBindingFilter(
            kafka.ResourceType.ANY, None, kafka.ResourcePatternType.ANY, f"User:{user}", None,
            kafka.AclOperation.ANY, kafka.AclPermissionType.ANY,
        )  # fmt: skip
        for gone in client.delete_acls([its]).values():
            gone.result(30)
        for made in client.create_acls(wanted).values() if wanted else ():
            made.result(30)
        until(lambda: set(client.describe_acls(its).result(30)) == set(wanted))

    def enroll(self) -> None:
        """Make the users of SCRAM; the one of PLAIN is in the broker's settings."""
        client = kafka.AdminClient({"bootstrap.servers": self.inside})
        for mechanism, name in (("SCRAM_SHA_256", USERS["SCRAM-SHA-256"]), ("SCRAM_SHA_512", USERS["SCRAM-SHA-512"])):
            info = kafka.ScramCredentialInfo(getattr(kafka.ScramMechanism, mechanism), 4096)
            change = kafka.UserScramCredentialUpsertion(name, info, PASSWORD.encode())
            for done in client.alter_user_scram_credentials([change]).values():
                done.result(30)


_KINDS = {"topic": "TOPIC", "group": "GROUP", "transactional id": "TRANSACTIONAL_ID"}


def _snake(operation: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()


def certificates(folder: Path) -> None:
    """Make an authority that signs the broker and a user, and one that signs nobody."""
    folder.mkdir()
    for name in ("ca", "other-ca"):
        _openssl(folder, *_KEY, "-x509", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    for name, more in (("broker", ("-addext", f"subjectAltName=IP:{HOST}")), (CERTIFIED, ())):
        _openssl(folder, *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", *more)
        _openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-copy_extensions", "copy", "-days", "30", "-out", f"{name}.pem",
        )  # fmt: skip
    whole = (folder / "broker.key").read_text() + (folder / "broker.pem").read_text()
    (folder / "broker.keystore.pem").write_text(whole)


_KEY = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")


def _openssl(folder: Path, *words: str) -> None:
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def listeners(folder: Path, secured: int, mutual: int) -> tuple[str, dict[str, str]]:
    """Return the broker's two listeners, and what it must be told of them.

    Whoever comes without either, as the tests and the broker itself do, may do all; nobody else may do anything unless
    a right says so.
    """
    module = "org.apache.kafka.common.security"
    prefix = "listener.name.secured"
    return f"SECURED://{HOST}:{secured},MUTUAL://{HOST}:{mutual}", {
        f"{prefix}.sasl.enabled.mechanisms": ",".join(USERS),
        f"{prefix}.plain.sasl.jaas.config": f'{module}.plain.PlainLoginModule required user_plain="{PASSWORD}";',
        f"{prefix}.scram-sha-256.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        f"{prefix}.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "broker.keystore.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.pem"),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
