"""What `stream-ml check` tells of a pipeline before it runs: features, decoders, model, sizes, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stream_ml.features.space import words_of
from stream_ml.features.spec import OUTCOMES, Window
from stream_ml.kernels import algebra
from stream_ml.language.kinds import kind
from stream_ml.language.pipeline import Pipeline
from stream_ml.language.specs import TableSpec, spec_of
from stream_ml.language.walk import as_tuple, windows
from stream_ml.model.build import build
from stream_ml.plan.bundle import Plan, compile_plan
from stream_ml.plan.compile import Compiler
from stream_ml.plan.missing import may_be_missing
from stream_ml.plan.partitions import one_partition
from stream_ml.plan.refusals import error_of, model_findings
from stream_ml.schema.decoder import Decoder
from stream_ml.schema.symbols import Symbols
from stream_ml.scorer.spec import ScorerSpec
from stream_ml.scorer.store import Store

WORD = 8
#: Bytes of a key in the tables that find it: its words apart, two slots, two marks.
FOUND = 4 * WORD


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature as the model sees it."""

    name: str
    kind: str
    may_be_missing: bool
    expression: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream that is read, and what decodes it: the fast decoder, or pydantic, and why."""

    topic: str
    record: str
    role: str
    decoder: str
    why: str


@dataclass(frozen=True, slots=True)
class Part:
    """A step of the model, what runs it, and why."""

    step: str
    runs: str
    why: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept for each key of one `by=`.

    Parameters
    ----------
    windows
        How many windows, and of them those that are a single value (last, lag, forever).
    least, most
        Bytes a key: with one event, and with every tile filled.
    note
        What cannot be bounded.
    """

    by: str
    windows: int
    points: int
    least: int
    most: int
    note: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that `check` tells.

    Parameters
    ----------
    pending
        Bytes of an event that waits for its label, the budget, and what a rate needs.
    one_partition
        Features (and a label) that need every record in one partition, and why.
    warnings
        What is allowed but worth knowing: place, cause, cure.
    """

    pipeline: str
    task: str
    digest: str
    features: tuple[Feature, ...]
    streams: tuple[Stream, ...]
    model: tuple[Part, ...]
    kept: tuple[Kept, ...]
    pending: Mapping[str, int]
    one_partition: Mapping[str, str]
    warnings: tuple[str, ...]


def report(pipeline: Pipeline, rate: float | None = None) -> Report:
    """Compile a pipeline and tell what it is.

    Parameters
    ----------
    pipeline
        The declarations.
    rate
        Events a second that are expected, for the bytes that wait for their label.

    Raises
    ------
    DeclarationError
        When it would not run; with file, line, cause and cure.

    Examples
    --------
    >>> from stream_ml.demos.cards import pipeline
    >>> told = report(pipeline, rate=100)
    >>> told.features[3]
    Feature(name='n_10m', kind='int', may_be_missing=False, expression="fn.count(Payment).over('10m', by=Payment.card)")
    >>> [(part.step, part.runs) for part in told.model]
    [('StandardScaler', 'compiled'), ('LogisticRegression', 'compiled')]
    """
    plan = compile_plan(pipeline)
    pending = _pending(plan.scorer, rate)
    return Report(
        pipeline=pipeline.name,
        task=pipeline.task,
        digest=plan.digest[:16],
        features=tuple(
            Feature(name, kind(expr).value, may_be_missing(expr), repr(expr))
            for name, expr in pipeline.features.served.items()
        ),
        streams=tuple(_streams(plan.scorer)),
        model=_parts(plan),
        kept=tuple(_kept(pipeline, plan.scorer)),
        pending=pending,
        one_partition=one_partition(pipeline),
        warnings=tuple(_warnings(pipeline, plan, pending)),
    )


def _streams(spec: ScorerSpec) -> Iterator[Stream]:
    for one in spec.streams:
        decoder = Decoder(one.model, [name for name, _, _ in one.columns], one.present)
        runs = "compiled" if decoder.compiled else "pydantic"
        yield Stream(one.topic, one.model.__name__, one.role, runs, decoder.why)


def _parts(plan: Plan) -> tuple[Part, ...]:
    learner = plan.learner
    if learner.estimator is None:
        return ()
    model = build(learner.estimator, learner.inputs, learner.task, Symbols(), learner.target)
    return tuple(Part(one.name, "compiled" if one.compiled else "river", one.why) for one in model.parts)


def _kept(pipeline: Pipeline, spec: ScorerSpec) -> Iterator[Kept]:
    """Yield what is kept for each key space."""
    names = _key_names(pipeline)
    lateness = {stream.number: stream.lateness_ms for stream in spec.streams}
    for number, space in enumerate(spec.features.spaces):
        least = most = FOUND + WORD * max(len(space.by), 1)
        counted = points = 0
        exact = False
        for group in spec.features.groups:
            if group.space != number:
                continue
            slack = 0 if group.stream == OUTCOMES else lateness[group.stream]
            for window in group.windows:
                heads = WORD * words_of(window)
                least += heads + WORD * _first_block(window)
                most += heads + WORD * _blocks(window, slack)
                counted += 1
                points += _is_point(window)
                exact |= window.family == "exact"
        by = ", ".join(names.get(register, "an expression") for register in space.by) or "all together"
        yield Kept(by, counted, points, least, most, "exact windows: 16 bytes an event more" if exact else "")


def _key_names(pipeline: Pipeline) -> dict[int, str]:
    """Return how keys are written, by register."""
    compiler = Compiler(pipeline)
    compiler.spec()
    found: dict[int, str] = {}
    for window in windows(*pipeline.features.served.values(), pipeline.when):
        for part in as_tuple(window.args[2]):
            found.setdefault(compiler.registers.place(part)[0], repr(part))
    return found


def _is_point(window: Window) -> bool:
    return window.family not in ("tiles", "exact", "newest")


def _first_block(window: Window) -> int:
    """Return the words of a window with one event: a tile window has it in its head."""
    return 8 if window.family in ("exact", "newest") else 0


def _blocks(window: Window, lateness_ms: int) -> int:
    """Return the most words of the window's block: a power of two."""
    if window.family == "tiles":
        reach = window.length + lateness_ms
        return _power((-(-reach // window.tile) + window.shift + 1) * (1 + algebra.FIELDS[window.kind]))
    if window.family == "newest":
        return _power(2 * (window.length + 1))
    return 8 if window.family == "exact" else 0


def _power(n: int) -> int:
    return 1 << max(n - 1, 7).bit_length()


def _pending(spec: ScorerSpec, rate: float | None) -> dict[str, int]:
    if spec.join is None:
        return {}
    each = Store.bytes_each(spec)
    found = {"bytes_an_event": each, "budget": spec.join.budget, "events_in_budget": spec.join.budget // each}
    if rate is not None:
        events = round(rate * spec.join.wait_ms / 1000)
        found |= {"events_at_rate": events, "bytes_at_rate": events * each}
    return found


def _warnings(pipeline: Pipeline, plan: Plan, pending: Mapping[str, int]) -> Iterator[str]:
    for found in model_findings(pipeline, plan.learner.inputs):
        yield str(error_of(found, pipeline))
    if pending.get("bytes_at_rate", 0) > pending.get("budget", 0):
        yield (
            f"{pipeline.place}: at this rate {pending['bytes_at_rate']:,} bytes wait for their label, and the budget "
            f"is {pending['budget']:,}: the oldest would be given up. "
            f'Write pending="{-(-pending["bytes_at_rate"] // 2**20)}MiB", or a shorter wait.'
        )
    for stream in plan.scorer.streams:
        declared = spec_of(stream.model)
        if isinstance(declared, TableSpec) and declared.time is None:
            yield (
                f"{declared.place}: {stream.model.__name__} has no time=: over history it is taken as constant, so "
                "features may look ahead. Give it time=, or files with a column `received`."
            )
