"""Several brokers of one quorum, a process each: what the loss of one is tested with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_ml.demos.broker import Broker
from stream_ml.demos.broker_place import cluster_id, free_members


class Cluster:
    """Brokers of one quorum, a process each: topics three times over, two copies acknowledged.

    Parameters
    ----------
    folder
        Each member has a folder in it.
    size
        How many brokers; 3 is what the faults need.
    options, machine
        As `Broker`, for each of them.

    Examples
    --------
    >>> import tempfile
    >>> cluster = Cluster(Path(tempfile.gettempdir()) / "kafka", 3)
    >>> [broker.node for broker in cluster.brokers], cluster.address.count(",")
    ([1, 2, 3], 2)
    """

    def __init__(
        self,
        folder: Path,
        size: int = 3,
        *,
        options: Mapping[str, str] | None = None,
        machine: Sequence[str] = (),
    ) -> None:
        members = free_members(size)
        name = cluster_id()
        self.brokers = [
            Broker(
                folder / f"broker-{own.node}",
                options=options,
                machine=machine,
                members=(own, *(other for other in members if other is not own)),
                cluster=name,
            )
            for own in members
        ]

    @property
    def address(self) -> str:
        """What clients call `bootstrap_servers`: every member."""
        return ",".join(broker.address for broker in self.brokers)

    def broker(self, node: int) -> Broker:
        """Return the member with an id, as metadata tells it.

        Parameters
        ----------
        node
            From 1.
        """
        return self.brokers[node - 1]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, seconds: float = 120.0) -> Self:
        """Start every member that does not run, and wait until each of them answers and sees all.

        Parameters
        ----------
        seconds
            How long one of them may take.

        Raises
        ------
        UsageError, StreamMLError
            As `Broker.start`; all are stopped.
        """
        nodes = [broker.node for broker in self.brokers]
        try:
            with ThreadPoolExecutor(len(self.brokers)) as pool:
                list(pool.map(Broker.launch, [broker for broker in self.brokers if not broker.running]))
            for broker in self.brokers:
                broker.wait(nodes, seconds)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self, seconds: float = 30.0) -> None:
        """Stop every member with SIGTERM, then with SIGKILL; those that need a quorum to stop in order may not get one.

        Parameters
        ----------
        seconds
            How long one of them may take.
        """
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(lambda broker: broker.stop(seconds), self.brokers))

    def kill(self) -> None:
        """Kill every member with SIGKILL."""
        for broker in self.brokers:
            broker.kill()
