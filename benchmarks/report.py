"""Writes ``docs/benchmarks.md`` from ``benchmarks/results/*.json``: ``python -m benchmarks.report``.

Quick runs get a page of the same make, ``out/bench/page.md``.

Nothing on that page is typed by hand: every figure is one of a result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import compression as codecs
from benchmarks import flights as year
from benchmarks.nexmark import page as nexmark_page
from benchmarks.peers import page as peers_page
from benchmarks.side_by_side import RESULTS

Result = dict[str, Any]
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `python -m benchmarks.report` from `benchmarks/results/`. Machines are shared and noisy: what counts is a
ratio of programs that ran in turn in one run; an absolute figure is orientation. Medians, ranges in brackets.
Run them again with `make bench`, or one with `python -m benchmarks NAME [--quick]`.
"""
QUICK_HEAD = """# Benchmarks, small and once

Written by `make bench-quick`, which runs two benchmarks at a time on small streams: all of them run, and their answers
are right. The figures count for nothing; `make bench` measures.
"""
#: Pictures beside the results: by the benchmark's name, what is to be seen and what draws it.
PICTURES: dict[str, tuple[str, Callable[[Result, Path], Path]]] = {
    "peers": ("payments a second", peers_page.draw),
    "peers_latency": ("latency by load", peers_page.draw_curves),
}

RECOVERY_S = 5.0


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """Return a table's lines."""
    names = list(head)
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return [*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)]


def spread(found: Result) -> str:
    """Spell a median with its range."""
    low, high = found["range"]
    return f"{found['median']:,} ({low:,} to {high:,})"


def cards(found: Result) -> list[str]:
    """Replay beside river by hand."""
    lines = table(
        ["", "payments/s", "CPU us a payment", "ROC AUC", "log loss", "alarms"],
        (
            [
                name, spread(one["payments_per_second"]), spread(one["cpu_us_per_payment"]),
                f"{one['roc_auc']:.4f}", f"{one['log_loss']:.4f}", one["alarms"],
            ]
            for name, one in found["programs"].items()
        ),
    )  # fmt: skip
    ratio, same = found["ratio"], found["same_features"]
    return [
        *lines, "",
        f"Ratio: {ratio['by_wall_time']} by wall time, {ratio['by_cpu_time']} by CPU time. The engine writes "
        "predictions, examples, alarms and metrics, the program by hand predictions alone.",
        f"With exact windows on both sides, over {same['payments']:,} payments: features differ by "
        f"{same['largest_feature_difference']:.1e}, scores by {same['largest_score_difference']:.1e} at most.",
    ]  # fmt: skip


def local(found: Result) -> list[str]:
    """Spell the local engine's turn, part by part."""
    parts = [name for name in next(iter(found["programs"].values()))["cpu_us"] if name != "all"]
    lines = table(
        ["", "payments/s", "CPU us a payment", *(f"of it {part}" for part in parts)],
        (
            [
                name, spread(one["payments_per_second"]), spread(one["cpu_us_per_payment"]),
                *(one["cpu_us"].get(part, {"median": "-"})["median"] for part in parts),
            ]
            for name, one in found["programs"].items()
        ),
    )  # fmt: skip
    made = found["produce"]
    return [
        *lines, "",
        f"The producer: {made['records_per_second']:,} records/s, {made['cpu_us_per_record']} us each (CPU).",
    ]  # fmt: skip


def keys(found: Result) -> list[str]:
    """Bytes a key by size, and what keeping and restoring takes."""
    return table(
        [
            "keys", "bytes a key: windows", "with texts", "of the process", "us an event", "gather s", "pack s",
            "restore s", "snapshot bytes",
        ],
        (
            [
                f"{one['keys']:,}", one["windows_bytes_per_key"], one["state_bytes_per_key"],
                one["process_bytes_per_key"], one["cpu_us_per_event"], one["snapshot"]["gather_s"],
                one["snapshot"]["pack_s"], one["snapshot"]["restore_s"], f"{one['snapshot']['bytes']:,}",
            ]
            for one in found["by_keys"].values()
        ),
    )  # fmt: skip


def snapshot(found: Result) -> list[str]:
    """Append latencies of producers."""
    lines = table(
        ["appends, ms", "n", "p50", "p90", "p99", "p99.9", "max"],
        (
            [name.replace("_", " "), *(found[name].get(key, "-") for key in LATENCIES)]
            for name in ("before", "while_recovering", "during")
        ),
    )
    kept, recovery = found["snapshot"], found["recovery"]
    return [
        *lines, "",
        f"The snapshot took {kept['seconds']} s for {kept['bytes']:,} bytes in {kept['segments']} segments; the "
        f"longest time without a turn in it was {kept['longest_time_without_a_turn_ms']:,} ms. The recovery before it "
        f"took {recovery['seconds_to_first_turn']} s, {recovery['entries_fed_again']} journal entries fed again.",
        *worker(found.get("worker")),
    ]  # fmt: skip


def worker(told: Result | None) -> list[str]:
    """Show the turns of the worker, and its steps between them."""
    if told is None:
        return []
    kinds = {"turns_outside": "turn, no snapshot", "turns_during": "turn, snapshot under way"}
    kinds |= {"pauses": "between two turns", "cpu_of_steps": "of it CPU, a step"}
    lines = table(
        ["worker, ms", "n", "p50", "p99", "max"],
        ([name, *(told[kind].get(column, "") for column in PAUSES)] for kind, name in kinds.items()),
    )
    return ["", *lines, "", f"Beginning the snapshot took {told['begin_ms']} ms."]


PAUSES = ("n", "p50_ms", "p99_ms", "max_ms")
LATENCIES = ("appends", "p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "max_ms")


def follow(found: Result) -> list[str]:
    """Latency of a lone event and what idling costs."""
    times = found["commit_to_prediction_ms"]
    told = ", ".join(f"{name} {value} ms" for name, value in times.items())
    return [f"From commit to prediction: {told}. Idle: {found['idle_percent_of_a_core']} % of a core."]


def models(found: Result) -> list[str]:
    """Compiled parts beside river."""
    lines = beside_river("estimator", found["cases"])
    if "watched" in found:
        lines += ["", "What watches a model, microseconds a value; river's ADWIN is compiled itself:", ""]
        lines += beside_river("detector or metrics", found["watched"])
    return lines


def beside_river(what: str, cases: Result) -> list[str]:
    """Tabulate cases with river's side, what is asked for and whether it is reached."""
    return table(
        [what, "compiled us", "river us", "ratio", "asked", "", "largest difference"],
        (
            [
                name.replace("|", "\\|"), spread(one["compiled_us"]), spread(one["river_us"]), one["ratio"],
                one.get("asked", ""), {True: "reached", False: "missed"}.get(one.get("reached"), ""),
                f"{one['largest_difference']:.1e}",
            ]
            for name, one in cases.items()
        ),
    )  # fmt: skip


def equality(found: Result) -> list[str]:
    """Largest differences by stream."""
    rows = ([name, f"{one['records']:,}", f"{one['largest_difference']:.1e}"] for name, one in found["streams"].items())
    lines = table(["stream", "records", "largest difference"], rows)
    return [*lines, "", f"Largest of all: {found['largest_difference']:.1e}; the bound is {found['bound']:.0e}."]


def start(found: Result) -> list[str]:
    """Seconds of a warm start on each engine."""
    engines, limit = found["seconds_to_first_prediction"], found["limit_s"]
    engines = {"SQLite": engines} if "median" in engines else engines
    rows = [[name, spread(one), judged(one["median"], limit)] for name, one in engines.items()]
    rows.append(["only importing the libraries", spread(found["seconds_to_import_the_libraries_alone"]), ""])
    return table(["", "seconds from the call to the first prediction", f"at most {limit:g} s"], rows)


def judged(value: float, limit: float) -> str:
    """Say whether a limit was reached."""
    return "reached" if value <= limit else "missed"


def kafka(found: Result) -> list[str]:
    """Spell the Kafka engine beside its floors, and how fresh its answers are."""
    rows = [
        [
            f"{float(rate):,.0f}", name, *(spread(one["latency_ms"][share]) for share in ("p50", "p99", "p99_9")),
            spread(one["generator_delay_p99_9_ms"]), f"{one['void']} of {at['rounds']}",
            "yes" if one["sustained"] else "no",
        ]
        for rate, at in found["latency"].items()
        for name, one in at["programs"].items()
    ]  # fmt: skip
    head = ["events/s", "", "p50 ms", "p99 ms", "p99.9 ms", "generator's own delay, p99.9 ms", "void", "sustained"]
    lines = table(head, rows)
    for rate, at in found["latency"].items():
        p50, p99 = at["ratio"]["p50"], at["ratio"]["p99"]
        lines += ["", f"At {float(rate):,.0f} events/s, worker to echo: {p50} at p50, {p99} at p99 (at most 2)."]
    drained, fresh = found["throughput"], found["freshness"]
    head = ["", "payments/s", "CPU us a payment", "of the broker besides", "transactions"]
    lines += ["", f"A backlog of {drained['payments']:,} payments with as many label records:", ""]
    lines += table(
        head,
        (
            [
                name, spread(one["payments_per_second"]), spread(one["cpu_us_per_payment"]),
                spread(one["broker_cpu_us_per_payment"]), spread(one["turns"]),
            ]
            for name, one in drained["programs"].items()
        ),
    )  # fmt: skip
    ratio, seen = drained["ratio"], fresh["update_visible_ms"]
    return [
        *lines, "",
        f"Worker to pass-through: {ratio['by_wall_time']} by wall time (at least 0.5), "
        f"{ratio['by_cpu_time']} by CPU time.",
        "",
        f"Update-visible latency, {fresh['partitions']} partitions, one learner that publishes every "
        f"{fresh['sync_s']:g} s, {fresh['rate']:,.0f} events/s: p50 {seen['p50']:,} ms, p99 {seen['p99']:,} ms "
        f"(at most {fresh['limit_ms']:,.0f}), over {seen['n']:,} labels"
        + ("; the generator was late, so this run is void." if fresh["void"] else "."),
        "A run is void where the generator itself was more than 1 ms late at p99.9: the machine was too busy."
        " Ratios of programs that ran in turn say something all the same, absolute figures do not."
        " [How it is measured](bench.md).",
    ]  # fmt: skip


def recovery(found: Result) -> list[str]:
    """Spell how long a killed worker takes to serve again, and what a snapshot does to latency."""
    rows = [
        [name, f"{found[key]['n']:,}", *(f"{found[key][share]:,}" for share in ("p50", "p99", "max"))]
        for name, key in (
            ("while a snapshot of every key is written", "latency_ms_while_snapshot_is_written"),
            ("after it", "latency_ms_after"),
        )
    ]
    ready = float(found["told"].rpartition(", ")[2].removesuffix(" s"))
    whole, limit = found["start_to_first_answer_s"], RECOVERY_S
    return [
        f"{found['workload']}, {found['keys']:,} keys, {found['snapshot_bytes'] / 1e6:,.0f} MB of snapshot.",
        "",
        f"After a worker was killed, another said `{found['told']}`. "
        f"From acquire to ready: {ready:g} s (at most {limit:g}: {judged(ready, limit)}); from the start of its "
        f"process to the first answer that a reader saw: {whole:g} s (at most {limit:g}: {judged(whole, limit)}).",
        "",
        *table([f"{found['rate']:,} events/s", "events", "p50 ms", "p99 ms", "max ms"], rows),
        "",
        f"p99 while it is written is {found['p99_ratio']} times that after it (at most {found['p99_ratio_limit']:g}).",
    ]


def workers(found: Result) -> list[str]:
    """Spell two workers beside one."""
    what = ("payments_per_second", "cpu_us_per_payment", "busiest_cpu_us_per_payment", "broker_cpu_us_per_payment")
    lines = table(
        ["workers", "payments/s", "CPU us a payment, all of them", "the busiest alone", "of the broker besides"],
        ([count, *(spread(one[key]) for key in what)] for count, one in found["workers"].items()),
    )
    return [
        *lines, "",
        f"{found['rounds']} rounds, in turn. Broker and workers share two cores, so wall time cannot show what a "
        f"second worker is worth: {spread(found['by_wall_time'])} times as fast. By CPU time, twice what one spends on "
        f"a payment to what two spend on it together: {spread(found['speed_up'])} (at least {found['limit']:g}): "
        + ("reached" if found["reached"] else "missed")
        + ". This is what cores of their own would give if the work were spread evenly over them; the learner is one "
        "task and runs in one of the two, so by the busier of them alone it is "
        f"{spread(found['speed_up_of_the_busier'])}. Joining and the last snapshots are in all of these.",
        "Each payment is predicted once, every example is learned, and the features of both are those of a replay.",
    ]  # fmt: skip


def history(found: Result) -> list[str]:
    """Feature tables beside DuckDB and Polars."""
    lines = table(
        ["", "payments/s", "CPU us a payment"],
        (
            [name, spread(one["payments_per_second"]), spread(one["cpu_us_per_payment"])]
            for name, one in found["programs"].items()
        ),
    )
    ratios = [
        f"{one['of']}: {one['by_wall_time']} by wall time, {one['by_cpu_time']} by CPU time" for one in found["ratios"]
    ]
    alike = found["same"]
    compared = " and ".join(
        f"{alike[name]['compared']:,} rows of {name} differ by {alike[name]['largest_difference']:.1e} at most"
        for name in ("DuckDB", "Polars")
    )
    return [
        *lines, "",
        f"Payments and label records together: {found['events_per_second']:,} events/s by wall time, "
        f"{found['events_per_cpu_second']:,} by CPU time, of {found['limit_events_per_second']:,} that are asked for: "
        + ("reached." if found["reached"] else "missed."),
        "", *(f"- {one}" for one in ratios), "",
        "The engine goes in order of arrival, as live: payments later than 30 s are left out of windows, duplicates of "
        "an id are found, labels are joined within seven days and count from when they were told. DuckDB and Polars "
        "sort by the payments' own time, count late payments, and look for no duplicates. The engine's default windows "
        "end at a whole sixtieth of their length on the far side, with `exact=True` where those of the others end. "
        f"On {alike['payments']:,} payments in order with exact windows, {compared} (but for payments of one card "
        "within one millisecond).",
    ]  # fmt: skip


def elsewhere(section: Callable[..., list[str]]) -> Callable[[Result], list[str]]:
    """Return a section that its benchmark spells itself."""
    return lambda found: section(found, table, spread)


SECTIONS: dict[str, tuple[str, Callable[[Result], list[str]]]] = {
    "cards": ("Replay", cards),
    "flights": ("A year of flights", elsewhere(year.section)),
    "local": ("The local engine, end to end", local),
    "keys": ("Keys", keys),
    "snapshot": ("Producers during a snapshot", snapshot),
    "follow": ("The live edge", follow),
    "models": ("Compiled models beside river", models),
    "equality": ("Compiled equals river", equality),
    "start": ("Warm start", start),
    "kafka": ("The Kafka engine beside its floors", kafka),
    "recovery": ("A million keys on Kafka", recovery),
    "peers": ("Beside what people use today", elsewhere(peers_page.section)),
    "peers_latency": ("Latency beside what people use today", elsewhere(peers_page.latency_section)),
    "shuffle": ("Shuffle: state by key", elsewhere(peers_page.shuffle_section)),
    "compression": ("What compression costs", elsewhere(codecs.section)),
    "workers": ("Two workers against one", workers),
    "nexmark": ("Nexmark: windows over bids", elsewhere(nexmark_page.section)),
    "history": ("Features of a history beside DuckDB and Polars", history),
}


def page(results: Path = RESULTS, head: str = HEAD, to_results: str = "../benchmarks/results/") -> str:
    """Return the page; of a benchmark without a result it says that there is none."""
    lines = [head]
    for name, (title, spelled) in SECTIONS.items():
        lines += [f"## {title}", ""]
        found = read(results, name)
        if found is None:
            lines += [f"Not measured yet: `python -m benchmarks {name}`.", ""]
            continue
        lines += [f"{found['workload']}.", ""]
        if name in PICTURES:
            lines += [f"![{PICTURES[name][0]}]({to_results}{name}.png)", ""]
        lines += [*spelled(found), "", where(found), ""]
    return "\n".join(lines)


def read(results: Path, name: str) -> Result | None:
    """Return a benchmark's result, if there is one."""
    path = results / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def where(found: Result) -> str:
    """Say what a result was measured on."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return (
        f"*`{found['command']}` at {found['commit'][:8]}: {found['cores']} cores {found['processor']}, "
        f"Python {found['python']}, {versions}.*"
    )


def write(results: Path = RESULTS) -> Path:
    """Write the page, and beside the results the pictures that it shows."""
    for name, (_, draw) in PICTURES.items():
        found = read(results, name)
        if found is not None:
            draw(found, results / f"{name}.png")
    quick = results != RESULTS
    place = results / "page.md" if quick else PAGE
    place.write_text(page(results, QUICK_HEAD, "") if quick else page(), encoding="utf-8")
    return place


if __name__ == "__main__":
    print(write().relative_to(Path.cwd()))
