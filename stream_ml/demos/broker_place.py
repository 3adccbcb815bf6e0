"""A broker's place in its cluster: ports of this machine, and the properties that follow from them."""

from __future__ import annotations

import base64
import random
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
#: Where ports are taken: below the range that outgoing connections use, so that a restart finds its own still free.
PORTS = range(15_000, 32_000)


@dataclass(frozen=True, slots=True)
class Member:
    """One place in a cluster.

    Parameters
    ----------
    node
        Its id, from 1.
    port, controller
        Ports for clients and for the quorum.
    """

    node: int
    port: int
    controller: int


def free_members(size: int) -> tuple[Member, ...]:
    """Return members 1 to `size` of a cluster, each with two ports of this machine that nobody listens on.

    Parameters
    ----------
    size
        How many.
    """
    found: list[int] = []
    tried = iter(random.SystemRandom().sample(PORTS, len(PORTS)))
    while len(found) < 2 * size:
        port = next(tried)
        with socket.socket() as free:
            try:
                free.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
    return tuple(Member(i + 1, found[2 * i], found[2 * i + 1]) for i in range(size))


def cluster_id() -> str:
    """Return a new id of a cluster, in the form that Kafka gives them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def properties(members: Sequence[Member], data: Path) -> dict[str, str]:
    """Return the properties of a broker: three copies of each topic and two acknowledged where there are so many.

    Parameters
    ----------
    members
        Every member of its cluster, the broker itself first.
    data
        The folder of its logs.
    """
    own, size = members[0], len(members)
    copies, insync = str(min(size, 3)), str(min(size, 2))
    quorum = sorted(members, key=lambda member: member.node)
    return {
        "process.roles": "broker,controller",
        "node.id": str(own.node),
        "controller.quorum.voters": ",".join(f"{one.node}@{HOST}:{one.controller}" for one in quorum),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{own.port},CONTROLLER://{HOST}:{own.controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data.absolute()),
        "default.replication.factor": copies,
        "min.insync.replicas": insync,
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": insync,
        "share.coordinator.state.topic.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": insync,
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        "unclean.leader.election.enable": "false",
    }
