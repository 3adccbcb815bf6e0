"""`stream-ml`: the commands, their arguments and their help.

Each command loads what it needs when it is called, so that help and completion are instant. Errors are one line on
stderr and an exit code (`stream_ml.errors.Exit`); with `STREAM_ML_DEBUG=1` the traceback is shown as well.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from stream_ml.errors import Exit, StreamMLError

app = typer.Typer(
    name="stream-ml",
    help="Streaming predictions that learn: one Python file in, predictions out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
dead_letters = typer.Typer(help="Look at records that were refused, and why; produce them again.", no_args_is_help=True)
app.add_typer(dead_letters, name="dead-letters")
bench = typer.Typer(help="Measure a pipeline on an engine.", no_args_is_help=True)
app.add_typer(bench, name="bench")

PipelineFile = Annotated[Path, typer.Argument(metavar="PIPELINE.py", help="The file that defines the pipeline.")]
Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="Name of the topic.")]
On = Annotated[
    str | None,
    typer.Option(
        "--on", metavar="URL", help="Where the log is: sqlite:///FILE or kafka://HOST:PORT. Default: the setting `url`."
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="TOPIC=FILE", help="Repeat these records, with fresh ids and times."),
]
Keys = Annotated[int, typer.Option(metavar="N", min=1, help="Different keys of made-up events.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON for scripts.")]
Durability = Annotated[
    str | None, typer.Option(metavar="full|normal", help="full: survives power loss. normal: survives kill -9 only.")
]


@app.command()
def new(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the pipeline and of its folder.")]) -> None:
    """Write a small commented pipeline and sample data that run at once, into the folder NAME."""
    from stream_ml.cli.new import new as command

    command(name)


@app.command()
def check(
    pipeline: PipelineFile,
    rate: Annotated[float | None, typer.Option(metavar="R", min=0, help="Events a second that you expect.")] = None,
    json: Json = False,
) -> None:
    """Check a pipeline: its features and their kinds, what is compiled, bytes a key, bytes pending at a rate."""
    from stream_ml.cli.check import check as command

    command(pipeline, rate, as_json=json)


@app.command()
def produce(
    topic: Topic,
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="NDJSON, CSV or Parquet, also .gz; - is NDJSON on stdin.")
    ],
    on: On = None,
    rate: Annotated[float | None, typer.Option(metavar="N", min=0.001, help="At most N records a second.")] = None,
    key: Annotated[str | None, typer.Option(metavar="FIELD", help="Field that becomes the records' key.")] = None,
    durable: Durability = None,
    json: Json = False,
) -> None:
    """Append the records of a file to a topic; returns when they are stored."""
    from stream_ml.cli.produce import Produce
    from stream_ml.cli.produce import produce as command

    command(Produce(topic=topic, file=file, on=on, rate=rate, key=key, durable=durable), as_json=json)


@app.command()
def run(  # noqa: PLR0913, PLR0917 - a command's options
    pipeline: PipelineFile,
    on: On = None,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop when every record is read.")] = False,
    drain: Annotated[
        bool,
        typer.Option(
            "--drain", help="Finish, so that a changed file may begin here: read all, wait for the labels, stop."
        ),
    ] = False,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="With --drain: do not wait, give up what has no label yet.")
    ] = False,
    metrics_port: Annotated[
        int | None, typer.Option(metavar="P", min=0, max=65_535, help="Serve Prometheus metrics on this port.")
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Start with the state that `replay --save DIR` kept.")
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(metavar="scorer|learner|all", help="On Kafka: run partitions, the learner, or both (default)."),
    ] = None,
    durable: Durability = None,
    json: Json = False,
) -> None:
    """Run a pipeline on a log: predict, learn, follow; SIGTERM and Ctrl-C stop it cleanly."""
    from stream_ml.cli.early import stoppable, uncollected

    stoppable()
    uncollected()
    from stream_ml.cli.run import RunCommand
    from stream_ml.cli.run import run as command

    command(
        RunCommand(
            pipeline,
            on,
            until_end=until_end,
            drain=drain,
            give_up=give_up,
            metrics_port=metrics_port,
            start_from=start_from,
            role=role,
            durable=durable,
        ),
        as_json=json,
    )


@app.command()
def consume(
    topic: Topic,
    on: On = None,
    start: Annotated[
        str, typer.Option("--from", metavar="start|end|N", help="Where to begin; N is a row, on Kafka an offset.")
    ] = "start",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more at the end.")] = False,
    form: Annotated[
        str, typer.Option("--format", metavar="ndjson|csv|parquet|table", help="How records are written.")
    ] = "ndjson",
) -> None:
    """Write the records of a topic to stdout; records of input topics carry the time the log received them."""
    from stream_ml.cli.consume import consume as command

    command(topic, on, start, follow=follow, form=form)


@app.command()
def replay(
    pipeline: PipelineFile,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="TOPIC=FILE ...",
            help="History: NDJSON, CSV or Parquet, also .gz; or kafka://HOST:PORT, kafka://HOST:PORT/TOPIC.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write predictions, examples, metrics here; with --only, a Parquet file."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="features", help="Write the feature table alone: no model, nothing learned.")
    ] = None,
    features: Annotated[bool, typer.Option("--features", help="Put feature values into each prediction.")] = False,
    received: Annotated[
        list[str] | None, typer.Option(metavar="TOPIC=COLUMN", help="Column that holds a topic's received time.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the final state for `run --start-from`.")
    ] = None,
    json: Json = False,
) -> None:
    """Run a pipeline over history, merged by time, and write what it would have answered."""
    from stream_ml.cli.replay import Replay
    from stream_ml.cli.replay import replay as command

    command(
        Replay(pipeline, files, out, features=features, received=received or [], save=save, only=only), as_json=json
    )


@app.command()
def status(
    on: On = None,
    json: Json = False,
) -> None:
    """Show each pipeline: where it is, lag, model version, age of its snapshot; counters, or on Kafka who runs what."""
    from stream_ml.cli.status import status as command

    command(on, as_json=json)


@dead_letters.command("list")
def dead_letters_list(
    on: On = None,
    pipeline: Annotated[str | None, typer.Option(metavar="NAME", help="Of this pipeline only.")] = None,
    reason: Annotated[str | None, typer.Option(metavar="REASON", help="With this reason only.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The newest N.")] = 100,
    json: Json = False,
) -> None:
    """List refused records, the newest last."""
    from stream_ml.cli.dead import list_letters

    list_letters(on, pipeline, reason, limit, as_json=json)


@dead_letters.command("show")
def dead_letters_show(
    row: Annotated[str, typer.Argument(metavar="ID", help="Row, or on Kafka partition/offset, as `list` shows it.")],
    on: On = None,
    pipeline: Annotated[str | None, typer.Option(metavar="NAME", help="Of this pipeline.")] = None,
    json: Json = False,
) -> None:
    """Show one refused record whole: where it came from, why, and its bytes."""
    from stream_ml.cli.dead import show_letter

    show_letter(on, row, pipeline, as_json=json)


@dead_letters.command("retry")
def dead_letters_retry(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID ...", help="Which ones, as `list` shows them.")
    ] = None,
    on: On = None,
    everything: Annotated[bool, typer.Option("--all", help="All that there are now.")] = False,
    pipeline: Annotated[str | None, typer.Option(metavar="NAME", help="Of this pipeline only.")] = None,
    reason: Annotated[str | None, typer.Option(metavar="REASON", help="All with this reason.")] = None,
    key: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Field of the key, where the log no longer tells it.")
    ] = None,
    json: Json = False,
) -> None:
    """Produce refused records to their topics again, as they were; a dead letter stays where it is."""
    from stream_ml.cli.dead import Retry, retry_letters

    retry_letters(on, Retry(ids or [], everything, pipeline, reason, key), as_json=json)


@app.command()
def topics(
    pipeline: PipelineFile,
    on: On = None,
    partitions: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of the events; as many tasks. Default: a setting, or 1.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the topics that exist instead.")] = False,
    json: Json = False,
) -> None:
    """Print the commands that make a pipeline's topics on Kafka, for an operator; or check what exists."""
    from stream_ml.cli.topics import topics as command

    command(pipeline, on, partitions, check=check, as_json=json)


@bench.command("latency")
def bench_latency(  # noqa: PLR0913, PLR0917 - a command's options
    pipeline: PipelineFile,
    on: On = None,
    rate: Annotated[float, typer.Option(metavar="R", min=0.1, help="Events a second.")] = 1_000.0,
    duration: Annotated[str, typer.Option(metavar="T", help="How long, the warm-up included: 30s, 2m.")] = "30s",
    sweep: Annotated[bool, typer.Option("--sweep", help="Raise the rate until the lag grows.")] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Figures and picture go here.")] = Path("bench"),
    labels: Annotated[float, typer.Option(metavar="SHARE", min=0, max=1, help="Events that get a label.")] = 0.2,
    label_after: Annotated[str, typer.Option(metavar="T", help="How long after its event a label is sent.")] = "1s",
    arrivals: Annotated[str, typer.Option(metavar="constant|poisson|burst", help="How events follow.")] = "constant",
    keys: Keys = 5_000,
    data: Data = None,
    json: Json = False,
) -> None:
    """Measure latency with an open loop, on a copy of the pipeline with topics of its own."""
    from stream_ml.cli.bench import latency as command
    from stream_ml.cli.bench import latency_of

    asked = latency_of(pipeline, on, rate, duration, labels, label_after, arrivals, keys, data or [], sweep=sweep)
    command(asked, out, as_json=json)


@bench.command("throughput")
def bench_throughput(
    pipeline: PipelineFile,
    on: On = None,
    records: Annotated[int, typer.Option(metavar="N", min=1, help="Events, each with its label.")] = 200_000,
    keys: Keys = 5_000,
    data: Data = None,
    json: Json = False,
) -> None:
    """Fill a backlog, then measure how a worker drains it, on a copy of the pipeline with topics of its own."""
    from stream_ml.cli.bench import backlog_of
    from stream_ml.cli.bench import throughput as command

    command(backlog_of(pipeline, on, records, keys, data or []), as_json=json)


@bench.command("cost")
def bench_cost(
    pipeline: PipelineFile,
    price: Annotated[float, typer.Option(metavar="P", help="Of a core for an hour, in any currency.")],
    on: On = None,
    load: Annotated[float, typer.Option(metavar="SHARE", help="How busy a worker's core is on average.")] = 0.5,
    records: Annotated[int, typer.Option(metavar="N", min=1, help="Events, each with its label.")] = 200_000,
    keys: Keys = 5_000,
    data: Data = None,
    json: Json = False,
) -> None:
    """Drain a backlog as `bench throughput` does, and tell what a million predictions cost."""
    from stream_ml.cli.bench import backlog_of
    from stream_ml.cli.bench import cost as command

    command(backlog_of(pipeline, on, records, keys, data or []), price, load, as_json=json)


@app.command()
def demo(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which one: flights, cards, kafka.")] = "flights",
    rate: Annotated[float | None, typer.Option(metavar="R", min=1, help="kafka: payments a second.")] = None,
    duration: Annotated[float | None, typer.Option(metavar="S", min=1, help="kafka: for so many seconds.")] = None,
    produce_to: Annotated[
        str | None, typer.Option(metavar="URL", help="kafka: only produce, to brokers that run already.")
    ] = None,
    json: Json = False,
) -> None:
    """Run a demonstration: flights (a year of real data), cards (generated), kafka (two workers, one killed)."""
    from stream_ml.cli.demo import demo as command

    command(name, as_json=json, rate=rate, duration=duration, produce_to=produce_to)


def main() -> None:
    """Run the command line; leaves with an exit code of `Exit`."""
    try:
        app()
    except StreamMLError as error:
        if os.environ.get("STREAM_ML_DEBUG") == "1":
            raise
        sys.stderr.write(f"stream-ml: {error}\n")
        sys.exit(int(error.exit))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("STREAM_ML_DEBUG") == "1":
            raise
        sys.stderr.write(
            f"stream-ml: a defect: {type(error).__name__}: {error}. "
            "Please report it with what STREAM_ML_DEBUG=1 shows; what was acknowledged is safe\n"
        )
        sys.exit(int(Exit.FAILURE))


if __name__ == "__main__":
    main()
