"""TLS, passwords and rights on a real broker: what the docs list is enough, and what is missing is named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson
import pytest

from stream_ml.config.kafka import KafkaSettings
from stream_ml.demos.broker import Broker
from stream_ml.engines.kafka.topics import names
from stream_ml.errors import Exit, UsageError
from stream_ml.language.pipeline import Pipeline
from tests.cli.test_log_commands import complaint, ran, said
from tests.kafka.named import named
from tests.kafka.never_stopped import judge, reader, send, topics_of
from tests.kafka.payments import inputs, payment, payments
from tests.kafka.secured import CERTIFIED, PASSWORD, USERS, Right, Secured, rights_of_the_docs
from tests.kafka.test_engine import make_topics
from tests.kafka.workers import Nursery, Process

RIGHTS = rights_of_the_docs()
WRONG = "Qx5-wrong-as-well"
REFUSED = "connecting: Kafka refuses this user: Authentication failed"


def spelled(pipeline: Pipeline, prefix: str) -> dict[str, list[str]]:
    """Return what the docs' names are for a test's pipeline."""
    own, topics = pipeline.name, list(inputs(prefix))
    return {"its inputs": topics, "cards.": [f"{own}."], "cards": [own], "cards.learner": [f"{own}.learner"]}


def kept_quiet(worker: Process, code: int) -> str:
    """Require an exit code and that no password was printed; returns what was said."""
    assert worker.code == code, worker.told
    assert PASSWORD not in worker.told
    assert WRONG not in worker.told
    return worker.told


async def refused(nursery: Nursery, file: Path, address: str, settings: Mapping[str, str]) -> str:
    """Run a worker that must be refused at once; returns its one line, of many tasks the last."""
    worker = nursery.start(file, address, "--until-end", env=settings)
    await worker.ended()
    first, *others, line = kept_quiet(worker, Exit.USER).splitlines()
    assert address in first
    assert all("a task did not end cleanly: acquiring" in one for one in others), worker.told
    return line.removeprefix("stream-ml: ")


def carried(
    broker: Broker, nursery: Nursery, pipeline: Pipeline, file: Path, prefix: str,
    ways: Iterable[tuple[str, dict[str, str]]], partitions: int = 1,
) -> None:  # fmt: skip
    """Let worker after worker carry the pipeline on, each connected in another way, and judge what a reader saw."""

    async def scenario() -> int:
        done = 0
        async with reader(broker.address, topics_of(pipeline, partitions, inputs(prefix, partitions))) as seen:
            for address, settings in ways:
                await send(broker.address, payments(prefix, done, 100, done))
                done += 100
                worker = nursery.start(file, address, "--until-end", env=settings)
                await worker.ended()
                kept_quiet(worker, Exit.OK)
        judge(pipeline, partitions, seen)
        assert seen.count(names(pipeline.name)["predictions"]) == done
        return done

    assert asyncio.run(scenario()) > 0


def test_the_rights_of_the_docs_are_enough_and_what_is_wrong_is_one_line(
    broker: Broker, secured: Secured, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    pipeline, file = named("cards", prefix, tmp_path)
    own = names(pipeline.name)
    asyncio.run(make_topics(broker, pipeline))

    async def lines() -> tuple[str, ...]:
        secured.allow("plain", [one for one in RIGHTS if one.operation != "Delete"], spelled(pipeline, prefix))
        stranger = str(secured.folder / "other-ca.pem")
        return (
            await refused(nursery, file, secured.address, secured.settings()),
            await refused(nursery, file, secured.address, secured.settings(SASL_PASSWORD=WRONG)),
            await refused(nursery, file, secured.address, secured.settings(SSL_CAFILE=stranger)),
        )

    right, password, certificate = asyncio.run(lines())
    kinds = ("alarms", "dead", "examples", "journal", "metrics", "predictions", "state")
    assert right == (
        f"Kafka refuses this user: it needs Delete on {', '.join(own[kind] for kind in kinds)}. "
        "Check STREAM_ML_KAFKA_SASL_* and the ACLs that docs/kafka.md lists"
    )
    assert password.startswith(f"{REFUSED}: Invalid username or password")
    assert "certificate is not trusted, or they do not take ours: unable to get local issuer certificate" in certificate
    secured.allow("plain", RIGHTS, spelled(pipeline, prefix))
    carried(broker, nursery, pipeline, file, prefix, [(secured.address, secured.settings())])


def test_no_password_and_one_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"SASL_SSL needs a name and a password\. Set STREAM_ML_KAFKA_SASL_USERNAME"):
        KafkaSettings(security_protocol="SASL_SSL", sasl_username="me").client("127.0.0.1:1")
    monkeypatch.setenv("STREAM_ML_KAFKA_SASL_PASSWORD", PASSWORD)
    monkeypatch.setenv("STREAM_ML_KAFKA_SSL_PASSWORD", PASSWORD)
    settings = KafkaSettings()
    assert PASSWORD not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.faults
@pytest.mark.parametrize("partitions", [1, 2])
def test_each_right_that_is_missing_is_named(
    broker: Broker, secured: Secured, prefix: str, tmp_path: Path, nursery: Nursery, partitions: int
) -> None:
    pipeline, file = named("cards", prefix, tmp_path)
    asyncio.run(make_topics(broker, pipeline, partitions))
    said_of = {
        Right("topic", "its inputs", False, "Read"): f"it needs Read on {prefix}chargebacks, {prefix}payments. ",
        Right("group", "cards", False, "Read"): f"it needs Read on the group {pipeline.name}. ",
        Right("group", "cards.learner", False, "Read"): f"it needs Read on the group {pipeline.name}.learner. ",
        Right("transactional id", "cards.", True, "Write"): f"it needs Write on the transactional id {pipeline.name}.",
        **{
            Right("topic", "cards.", True, operation): f"it needs {operation} on {pipeline.name}.alarms, "
            for operation in ("Read", "Write", "DescribeConfigs", "Delete")
        },
    }
    assert set(said_of) == set(RIGHTS)
    for missing, wanted in said_of.items():
        if partitions == 1 and missing.name == "cards.learner":
            continue
        secured.allow("plain", [one for one in RIGHTS if one != missing], spelled(pipeline, prefix))
        line = asyncio.run(refused(nursery, file, secured.address, secured.settings()))
        assert f"Kafka refuses this user: {wanted}" in line, missing
    secured.allow("plain", [], {})
    line = asyncio.run(refused(nursery, file, secured.address, secured.settings()))
    assert f" {prefix}chargebacks, {prefix}payments; Write on {pipeline.name}.alarms, " in line


@pytest.mark.faults
@pytest.mark.parametrize("partitions", [1, 2])
def test_every_kind_of_password_and_a_certificate_carry_on_what_another_began(
    broker: Broker, secured: Secured, prefix: str, tmp_path: Path, nursery: Nursery, partitions: int
) -> None:
    pipeline, file = named("cards", prefix, tmp_path)
    asyncio.run(make_topics(broker, pipeline, partitions))
    for user in (*USERS.values(), CERTIFIED):
        secured.allow(user, RIGHTS, spelled(pipeline, prefix))
    for mechanism in USERS:
        line = asyncio.run(refused(nursery, file, secured.address, secured.settings(mechanism, SASL_PASSWORD=WRONG)))
        assert line.startswith(REFUSED)
    ways = [(secured.address, secured.settings(mechanism)) for mechanism in USERS]
    carried(broker, nursery, pipeline, file, prefix, [*ways, (secured.mutual, secured.certified())], partitions)


@pytest.mark.faults
def test_commands_with_a_password(
    broker: Broker, secured: Secured, prefix: str, tmp_path: Path, nursery: Nursery
) -> None:
    pipeline, file = named("cards", prefix, tmp_path)
    topic, own = f"{prefix}payments", names(pipeline.name)
    asyncio.run(make_topics(broker, pipeline))
    secured.allow("plain", RIGHTS, spelled(pipeline, prefix))
    secured.allow("scram256", [Right("topic", "it", False, "Write")], {"it": [topic]})
    user, producer = secured.settings(), secured.settings("SCRAM-SHA-256")
    on = ("--on", f"kafka://{secured.address}")
    lines = [payment(n, f"c{n % 7}", 1_767_225_600_000 + n) for n in range(50)] + [{"payment": "p50", "card": "c1"}]
    (tmp_path / "payments.ndjson").write_bytes(b"\n".join(map(orjson.dumps, lines)) + b"\n")
    produce = ("produce", topic, "payments.ndjson", "--key", "card", *on)

    lacks = f"Kafka refuses this user: it needs more rights on the topic {topic}. "
    told = complaint(ran(*produce, cwd=tmp_path, env=user), Exit.USER)
    assert told.startswith(f"producing to {topic}: {lacks}")
    said(ran(*produce, cwd=tmp_path, env=producer))
    assert lacks in complaint(ran("consume", topic, *on, cwd=tmp_path, env=producer), Exit.USER)
    carried_by = nursery.start(file, secured.address, "--until-end", env=user)
    asyncio.run(carried_by.ended())
    kept_quiet(carried_by, Exit.OK)

    read = said(ran("consume", own["predictions"], *on, cwd=tmp_path, env=user)).splitlines()
    assert [orjson.loads(one)["id"] for one in read] == [f"p{n}" for n in range(50)]
    status = orjson.loads(said(ran("status", "--json", *on, cwd=tmp_path, env=user)))
    (task,) = next(one for one in status["pipelines"] if one["name"] == pipeline.name)["tasks"]
    assert (task["lag"], task["positions"][f"{topic}/0"]) == (0, 51)
    letters = said(ran("dead-letters", "list", "--pipeline", pipeline.name, *on, cwd=tmp_path, env=user))
    assert "missing" in letters
    assert "as it must be" in said(ran("topics", str(file), "--check", *on, cwd=tmp_path, env=user))
    check = ("topics", str(file), "--check")
    for command in (("status",), check, ("dead-letters", "list"), ("consume", topic), produce[:-2]):
        wrong = ran(*command, *on, cwd=tmp_path, env=secured.settings(SASL_PASSWORD=WRONG))
        assert complaint(wrong, Exit.USER).startswith(REFUSED)
        assert WRONG.encode() not in wrong.stderr
    shown = ran("run", "--help", cwd=tmp_path, env=user)
    assert PASSWORD.encode() not in shown.stdout + shown.stderr
