"""The peers' section of ``docs/benchmarks.md``, and its picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Result = dict[str, Any]
Table = Callable[[Iterable[str], Iterable[Iterable[object]]], list[str]]
Spread = Callable[[Result], str]

METHOD = """Each round drains the same records with every program in turn, from topics of its own, on one broker; a
ratio is taken within a round. Wall time runs from the first output to the last by the log's own time stamps, CPU time
from where a process is ready to its end. Features, model, metrics and drift are the same in every program: by hand
with river in the peers (`benchmarks/peers/by_hand.py`), compiled in the worker. All commit every 100 ms at the
soonest, the worker and the pass-through every 10 ms. Before a round's speed counts, the answers are compared: a
prediction and an example for each payment; the peers' features with ours (exact windows); and, since a peer that takes
two topics as they come learns in an order of its own, its scores with those of our compiled model taught the peer's
examples in the peer's order. The worker's scores must be those of a replay of the same records."""

BETTER = {
    "aiokafka": "nothing to learn besides Python: any code, any order of work, calls to other services within a turn, "
    "no compiler and no second topic.",
    "Quix Streams": "any Python function on any topic; sources and sinks for many systems, schema registries, Avro and "
    "Protobuf; state in RocksDB, larger than memory; its own windows and joins; topics aligned by time.",
    "Bytewax": "dataflows of any shape over any source, not Kafka alone; workers over threads, processes and machines, "
    "rescaled from its recovery store.",
    "Faust": "agents in asyncio beside web views, timers and calls between agents; tables with changelogs; any "
    "coroutine for an event.",
    "all of them": "any model of river or any other library, learned as one likes; a user's own code in the hot path.",
}

THREATS = (
    "The peers keep windows, model and waiting payments in memory: a restart forgets them, whatever is promised for "
    "records. The worker keeps all of that through a crash, exactly once. This favours the peers.",
    "We wrote the peers, not their makers. Their settings are above; tell us of better ones.",
    "aiokafka, Bytewax and Faust take two topics as they come, so of a backlog they know labels earlier or later than "
    "they came: the table says for how many payments the count of known frauds is another, and how far scores are from "
    "ours. They are right for that order, but not what a live stream would have given, so their ROC AUC is not "
    "comparable. Quix and the worker merge by time, which costs them; of equal milliseconds each takes its own first.",
    "Payments come in order; the worker also tells late ones from others.",
    "Broker and program share the cores: a program that sends small batches is slowed by the broker's work too.",
    "librdkafka (Quix, Bytewax) works in threads of its own, and may use more than one core; its CPU time is counted.",
    "The worker writes a journal, snapshots, metrics and alarms besides; its start, its joining and its last snapshot "
    "are in its CPU time, and weigh more in a short run.",
)


def section(found: Result, table: Table, spread: Spread) -> list[str]:
    """Return the section's lines."""
    programs, ratios = found["programs"], found["ratios"]
    speed = table(
        ["", "guarantee", "payments/s", "CPU us a payment", "of the broker besides", "worker is faster by", "by CPU",
         "at least", ""],
        (
            [
                name, one["guarantee"],
                *(spread(one[what]) for what in
                  ("events_per_second", "cpu_us_per_event", "broker_cpu_us_per_event")),
                *_ratio(ratios.get(name), spread),
            ]
            for name, one in programs.items()
        ),
    )  # fmt: skip
    right = table(
        ["answers", "features differ by", "scores differ by", "other labels known", "from ours, as all came",
         "ROC AUC"],
        (
            [
                name, _small(one["answers"].get("largest_feature_difference")),
                _small(one["answers"]["largest_score_difference"]),
                _share(one["answers"].get("share_with_other_labels_known")),
                _small(one["answers"].get("largest_difference_from_our_scores")), one["answers"]["roc_auc"],
            ]
            for name, one in programs.items()
            if "roc_auc" in one["answers"]
        ),
    )  # fmt: skip
    versions = ", ".join(f"{name} {version}" for name, version in found["peers"].items())
    return [
        *speed, "",
        f"{found['rounds']} rounds; {versions}.", "",
        *right, "",
        "**Method.** " + METHOD.replace("\n", " "), "",
        "**Settings.**", "", *_settings(programs), "",
        "**What could be wrong.**", "", *(f"- {one}" for one in THREATS), "",
        "**What they do better.**", "", *(f"- {name}: {what}" for name, what in BETTER.items()),
    ]  # fmt: skip


def latency_section(found: Result, table: Table, spread: Spread) -> list[str]:
    """Return the lines of the latencies: the curves, at half of capacity, and at one rate."""
    knees = ", ".join(f"{name} {_knee(one)}" for name, one in found["curves"].items())
    lines = [
        f"Events a second that were sustained, rising by half from step to step: {knees}. Hollow points are void: the "
        "generator was more than 1 ms late at p99.9, since all of it shares these cores. A knee before a void step may "
        "be the generator's.",
    ]  # fmt: skip
    half = found["half"]
    at = {f"{half['rate']:.0f}": half} | found["latency"]
    rows = [
        [
            f"{float(rate):,.0f}", name, *(spread(one["latency_ms"][share]) for share in ("p50", "p99", "p99_9")),
            f"{one['void']} of {step['rounds']}", "yes" if one["sustained"] else "no",
        ]
        for rate, step in at.items()
        for name, one in step["programs"].items()
    ]  # fmt: skip
    return [
        *lines, "", *table(["events/s", "", "p50 ms", "p99 ms", "p99.9 ms", "void", "sustained"], rows), "",
        f"At half of the load that the worker sustained, {half['rounds']} runs each in turn, p99 of the worker to that "
        f"of the echo, which computes and keeps nothing: {half['ratio']['p99']} (at most {half['limit']:g}): "
        + ("reached." if half["reached"] else "missed."),
    ]  # fmt: skip


def _knee(curve: Result) -> str:
    steps, knee = curve["steps"], curve["knee"]
    if knee is None:
        return "none"
    above = any(step["rate"] > knee for step in steps)
    return f"{knee:,.0f}" + ("" if above else " and more")


def shuffle_section(found: Result, table: Table, spread: Spread) -> list[str]:
    """Return the lines of the shuffle, without a model and with one."""
    lines: list[str] = []
    for job, one in found["jobs"].items():
        rows = [
            [
                name,
                *(spread(at[what]) for what in ("events_per_second", "cpu_us_per_event", "broker_cpu_us_per_event")),
                f"{1e6 / at['cpu_us_per_event']['median']:,.0f}",
                *_ratio(one["ratios"].get(name), spread)[:2],
            ]
            for name, at in one["programs"].items()
        ]
        head = ["", "records/s", "CPU us a record", "of the broker besides", "records/s of a core"]
        head += ["worker is faster by", "by CPU"]
        lines += [SHUFFLES[job], "", *table(head, rows), ""]
    return [
        *lines,
        "ShuffleBench matches records without keys against many consumers and emits every tenth match; here each "
        "record has its key, and each is answered. The worker writes an example for each record besides; the peers "
        "write their answers only, and forget their state with the process.",
    ]


SHUFFLES = {
    "shuffle": "Count, sum, first and last time stamp by key, no model:",
    "shuffle_learning": "The same, and a model that predicts from the four and then learns:",
}


def _ratio(found: Result | None, spread: Spread) -> list[str]:
    if found is None:
        return ["", "", "", ""]
    verdict = {True: "reached", False: "missed", None: ""}[found.get("reached")]
    return [spread(found["by_wall_time"]), spread(found["by_cpu_time"]), str(found.get("limit", "")), verdict]


def summary(found: Result) -> list[str]:
    """Return the comparison in a few lines, for a terminal."""
    ratios = found["ratios"]
    lines = []
    for name, one in found["programs"].items():
        at = f"  {name:34}{one['events_per_second']['median']:>9,.0f} payments/s"
        if name in ratios:
            wall, cpu = (ratios[name][f"by_{what}_time"]["median"] for what in ("wall", "cpu"))
            at += f"; the worker is {wall:g} times as fast, {cpu:g} by CPU time"
        lines.append(at)
    return lines


def _small(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def _settings(programs: Result) -> list[str]:
    said: dict[str, list[str]] = {}
    for name, one in programs.items():
        said.setdefault(one["settings"], []).append(name)
    return [f"- {', '.join(names)}: {settings}" for settings, names in said.items()]


def draw_curves(found: Result, path: Path) -> Path:
    """Draw p50 and p99 by load of each program into a PNG file, up to the first load that it did not sustain."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    figure = Figure(figsize=(9.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, one) in enumerate(found["curves"].items()):
        steps = [step for step in one["steps"] if step["p99"] is not None]
        rates = [step["rate"] for step in steps]
        for share, line, label in (("p99", "-", name), ("p50", ":", None)):
            axes.plot(rates, [step[share] for step in steps], line, color=f"C{number}", label=label)
            for void, fill in ((False, f"C{number}"), (True, "white")):
                shown = [step for step in steps if step["void"] == void]
                axes.plot(
                    [step["rate"] for step in shown], [step[share] for step in shown], "o", markersize=4.0,
                    color=f"C{number}", markerfacecolor=fill,
                )  # fmt: skip
        if one["knee"] is not None:
            axes.axvline(one["knee"], color=f"C{number}", linewidth=0.8, alpha=0.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("offered load, events a second; upright lines: the most that was sustained")
    axes.set_ylabel("ms from the intended moment: p99, p50 dotted")
    axes.grid(alpha=0.3, which="both")
    if found["curves"]:
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(path, dpi=110)
    return path


def draw(found: Result, path: Path) -> Path:
    """Draw payments a second of each program, medians with ranges, into a PNG file."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    programs = found["programs"]
    names = list(reversed(programs))
    rates = [programs[name]["events_per_second"] for name in names]
    medians = [one["median"] for one in rates]
    around = [
        [one["median"] - one["range"][0] for one in rates],
        [one["range"][1] - one["median"] for one in rates],
    ]
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    axes = figure.subplots()
    colours = ["tab:blue" if "stream-ml" in name else "0.75" if "pass" in name else "tab:orange" for name in names]
    axes.barh(names, medians, xerr=around, color=colours, error_kw={"elinewidth": 1.0, "capsize": 3.0})
    for place, one in enumerate(rates):
        axes.annotate(f" {one['median']:,.0f}", (one["range"][1], place), va="center")
    axes.set_xlim(0, 1.15 * max(one["range"][1] for one in rates))
    axes.set_xlabel("payments a second, each with its label; one partition, median and range")
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path
