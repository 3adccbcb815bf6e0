"""Write the cards stream: ``python -m benchmarks.make_cards FOLDER --payments N [--labels all|frauds] [--seed S]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from stream_ml.demos.generate import CardsSpec, Labels, write_cards


def main() -> None:
    """Write ``payments.ndjson`` and ``chargebacks.ndjson`` and print where they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--payments", type=int, default=1_000_000)
    parser.add_argument("--labels", type=Labels, default=Labels.ALL, choices=tuple(Labels), metavar="all|frauds")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    spec = CardsSpec(payments=options.payments, seed=options.seed, labels=options.labels)
    for topic, path in write_cards(options.folder, spec).items():
        print(f"{topic}: {path} ({path.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
