"""The section of ``docs/benchmarks.md`` about Nexmark."""

from __future__ import annotations

from benchmarks.peers.page import Result, Spread, Table


def section(found: Result, table: Table, spread: Spread) -> list[str]:
    """Return the section's lines."""
    queries = found["queries"]
    what = ("events_per_second", "cpu_us_per_event", "broker_cpu_us_per_event")
    rows = (
        [
            f"{name}, {one['title']}", *(spread(one[key]) for key in what),
            f"{1e3 / one['cpu_us_per_event']['median']:,.1f}", one["flink"],
            f"{one['answers']['largest_difference']:.1e}",
        ]
        for name, one in queries.items()
    )  # fmt: skip
    head = ["", "bids/s", "CPU us a bid", "of the broker besides", "K bids/s of a core", "Flink: K events/s of a core"]
    return [
        *table([*head, "answers differ by"], rows), "",
        f"{found['rounds']} rounds, the queries in turn. Flink's column is what its authors publish, for orientation "
        "and not as a comparison: Flink 1.13 with RocksDB on eight task managers, other hardware, 100 million events "
        "out of a source in memory, with neither Kafka nor JSON, 92 % of them bids and the rest filtered away, "
        "answers thrown away.",
        "",
        "We answer each bid with its group's state up to it, and write an example besides; Flink writes a window's row "
        "when the window closes (q5, q11, q12), or a changed row for a batch of changes (q17). Each answer is compared "
        "with plain Python over the same bids, window by window as the SQL says.",
        "", *(f"- {name}: {one['differs']}" for name, one in queries.items()),
    ]  # fmt: skip
