"""What the reader saw, and which count of the model each example became."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import msgspec

PREDICTIONS, EXAMPLES, JOURNAL = "predictions", "examples", "journal"

#: An event's id, or its place where events have none.
Id = str | int


class Seen(msgspec.Struct):
    """Records in the order in which they were seen.

    Attributes
    ----------
    ids, at, counts
        Of each prediction: the event's id; when it was seen, monotonic seconds; how many examples its model had
        learned.
    stamps
        When the log took each prediction and each example, epoch ms.
    examples
        (event's id, partition, offset, whether a label told it, whether it is learned) of each example.
    entries
        Of each entry of the learner's journal, where there is a learner of its own: (source, first, end) of its runs.
    """

    ids: list[Id] = []
    at: list[float] = []
    counts: list[int] = []
    stamps: list[int] = []
    examples: list[tuple[Id, int, int, bool, bool]] = []
    entries: list[list[tuple[str, int, int]]] = []


def encode_seen(seen: Seen) -> bytes:
    """Return it as bytes."""
    return msgspec.msgpack.encode(seen)


def read_seen(path: Path) -> Seen:
    """Read what the reader wrote."""
    return msgspec.msgpack.decode(path.read_bytes(), type=Seen)


def learned_at(seen: Seen, *, shared: bool) -> dict[Id, int]:
    """Return the count that a model has reached once it has learned an event's labelled example.

    A prediction's version says how many examples its model had learned, so a prediction knows an example exactly if
    that number is at least the example's own count. Where the model learns in the task that predicts (one partition),
    examples are learned in the order of their topic: the count is the number of learned examples up to it. Where a
    learner of its own merges several partitions, its journal says which examples each of its turns was fed, and it
    publishes versions at the edges of turns only: the count is the number of learned examples up to the end of the
    turn that learned it.

    Parameters
    ----------
    seen
        From the first record of each topic on.
    shared
        Whether a learner of its own learns.

    Examples
    --------
    >>> examples = [("a", 0, 0, True, True), ("b", 0, 1, False, True), ("c", 1, 0, True, True)]
    >>> entries = [[("x.examples/0", 0, 1), ("x.examples/1", 0, 5)], [("x.examples/0", 1, 9)]]
    >>> learned_at(Seen(examples=examples), shared=False)
    {'a': 1, 'c': 3}
    >>> learned_at(Seen(examples=examples, entries=entries), shared=True)
    {'a': 2, 'c': 2}
    """
    if not shared:
        found, count = {}, 0
        for event, _, _, labelled, learned in seen.examples:
            count += learned
            if labelled and learned:
                found[event] = count
        return found
    by_partition: dict[int, list[tuple[int, Id, bool]]] = defaultdict(list)
    for event, partition, offset, labelled, learned in seen.examples:
        if learned:
            by_partition[partition].append((offset, event, labelled))
    place: dict[int, int] = defaultdict(int)
    found, count = {}, 0
    for runs in seen.entries:
        labelled_now: list[Id] = []
        for source, _, end in runs:
            partition = int(source.rpartition("/")[2])
            examples = by_partition[partition]
            while place[partition] < len(examples) and examples[place[partition]][0] < end:
                _, event, labelled = examples[place[partition]]
                labelled_now += [event] if labelled else []
                place[partition] += 1
                count += 1
        found.update(dict.fromkeys(labelled_now, count))
    return found
