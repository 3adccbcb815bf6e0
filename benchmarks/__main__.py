"""Run the cards workload side by side: ``python -m benchmarks [--payments N] [--rounds R]``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.side_by_side import measure, save
from stream_ml.demos.generate import CardsSpec, Labels, write_cards

FOLDER = Path("out") / "bench" / "cards"
#: By name, what this Python is to run; each reads the stream from FOLDER and prints JSON.
PROGRAMS = {"river by hand": ("-m", "benchmarks.river_by_hand", str(FOLDER))}


def main() -> None:
    """Generate the stream, measure every program in turn, write and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    write_cards(FOLDER, CardsSpec(payments=options.payments, labels=Labels.ALL))
    found = measure(PROGRAMS, options.rounds)
    workload = f"cards: {options.payments:,} payments, each with its label record, from NDJSON, one core"
    path = save("cards", {"workload": workload, "rounds": options.rounds, "programs": found})
    print(json.dumps(found, indent=2))
    print(f"written to {path.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
