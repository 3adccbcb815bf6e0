"""`stream-ml demo cards`: a generated stream of card payments, replayed, with frauds told days later or by silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from stream_ml.demos import cards, plot
from stream_ml.demos.generate import CardsSpec, write_cards
from stream_ml.demos.show import bar
from stream_ml.engines.replay import replay
from stream_ml.errors import UsageError
from stream_ml.kernels.jit import warm

FOLDER = Path("out") / "cards"
PAYMENTS, DAYS = 200_000, 20
NAMES = {"roc_auc": "ROC AUC", "log_loss": "log loss"}


def run(*, json: bool = False, folder: Path = FOLDER, payments: int = PAYMENTS) -> dict[str, Any]:
    """Run the demonstration and say what came of it.

    Parameters
    ----------
    json
        Write the summary to stdout as JSON instead of for people.
    folder
        What it writes goes there; a run before is replaced.
    payments
        How many payments are generated.
    """
    console = Console(stderr=json)
    with bar(console, "compile the kernels (once)") as progress:
        warm(progress)
    with bar(console, "generate payments and chargebacks"):
        files = write_cards(folder, CardsSpec(payments, per_day=max(payments // DAYS, 1)))
    with bar(console, "replay") as progress:
        done = replay(cards.pipeline, files, out=folder, progress=progress)
    counters = done.counters
    paths = {**files, **done.files}
    with done.files["metrics"].open("rb") as file:
        measured = list(map(orjson.loads, file))
    with done.files["alarms"].open("rb") as file:
        alarms = [orjson.loads(line)["at"] for line in file]
    panels = {
        title: [
            plot.Line(
                "last 10,000",
                [one["at"] for one in measured if (one["name"], one["window"]) == (name, "last10000")],
                [one["value"] for one in measured if (one["name"], one["window"]) == (name, "last10000")],
            )
        ]
        for name, title in NAMES.items()
    }
    try:
        paths["picture"] = plot.draw(folder / "quality.png", "Card payments", panels, alarms)
    except UsageError:  # without matplotlib there is no picture, and everything else stands
        pass
    found = {
        "records": done.records,
        "seconds": done.seconds,
        "rate": done.rate,
        "predictions": counters["predicted"],
        "labels": counters["joined"],
        "silence": counters["silence"],
        "late": counters["late"],
        "alarms": counters["alarms"],
        "quality": {name: done.metric(name) for name in NAMES},
        "files": {name: str(path) for name, path in paths.items()},
    }
    if json:
        Console().print_json(orjson.dumps(found).decode())
        return found
    console.print(
        f"{found['predictions']:,} predictions, {found['labels']:,} chargebacks, {found['silence']:,} taken as honest "
        f"after a week of silence, in {done.seconds:.1f} s: {done.rate:,.0f} records a second",
        highlight=False,
    )
    for name, title in NAMES.items():
        console.print(f"{title:>10}  {found['quality'][name]:.4f}", highlight=False)
    for name, path in found["files"].items():
        console.print(f"{name:>12}  {path}", highlight=False, soft_wrap=True)
    console.print("Next, on real data:\n  stream-ml demo flights", highlight=False)
    return found


__all__ = ["run"]
