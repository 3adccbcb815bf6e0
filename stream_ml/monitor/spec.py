"""What a user declares about watching a model: cadence and windows of metrics, and drift detectors."""

from __future__ import annotations

from dataclasses import dataclass

from stream_ml.errors import DeclarationError

#: The longest window of last labels: its exact integer sums must fit into 63 bits.
LONGEST = 200_000


def _is(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _whole(owner: str, name: str, value: int, least: int, most: int | None = None) -> None:
    if not _is(value, int) or value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"from {least} to {most}"
        message = f"{owner}({name}={value!r}) is not a whole number {bounds}"
        raise DeclarationError(message, f"Give {name} {bounds}.")


@dataclass(frozen=True, slots=True)
class ADWIN:
    """Declare the adaptive windowing drift detector on the model's error, with river's parameters and defaults.

    Parameters
    ----------
    delta
        Significance of a cut, between 0 and 1: the smaller, the fewer alarms.
    clock
        A check is made every so many examples.
    max_buckets
        How many buckets of each size are kept before two are merged, at least 2.
    min_window_length
        Fewest examples on either side of a cut.
    grace_period
        No check while the window holds no more examples than this.

    Raises
    ------
    DeclarationError
        When a parameter is out of its range.

    References
    ----------
    A. Bifet and R. Gavalda, Learning from time-changing data with adaptive windowing, SIAM SDM 2007, 443-448.

    Examples
    --------
    >>> ADWIN(delta=0.01)
    ADWIN(delta=0.01, clock=32, max_buckets=5, min_window_length=5, grace_period=10)
    """

    delta: float = 0.002
    clock: int = 32
    max_buckets: int = 5
    min_window_length: int = 5
    grace_period: int = 10

    def __post_init__(self) -> None:
        """Refuse parameters out of range."""
        if not _is(self.delta, float, int) or not 0.0 < self.delta < 1.0:
            message = f"ADWIN(delta={self.delta!r}) is not between 0 and 1"
            raise DeclarationError(message, "Give a significance such as delta=0.002.")
        _whole("ADWIN", "clock", self.clock, 1)
        _whole("ADWIN", "max_buckets", self.max_buckets, 2)
        _whole("ADWIN", "min_window_length", self.min_window_length, 1)
        _whole("ADWIN", "grace_period", self.grace_period, 0)


@dataclass(frozen=True, slots=True)
class Monitor:
    """Declare how a pipeline's quality is measured and watched.

    Parameters
    ----------
    every
        Metrics are emitted each time so many more examples have been measured.
    last
        Length, in labels, of each group's window of newest labels; at most 200,000.
    detectors
        Drift detectors on the error; an empty tuple for none.
    max_groups
        How many slice values are measured apart; later ones are measured together as ``other`` of their column.

    Raises
    ------
    DeclarationError
        When a parameter is out of its range or a detector is not one.

    Examples
    --------
    >>> Monitor(every=500, detectors=())
    Monitor(every=500, last=10000, detectors=(), max_groups=1000)
    """

    every: int = 1000
    last: int = 10_000
    detectors: tuple[ADWIN, ...] = (ADWIN(),)
    max_groups: int = 1000

    def __post_init__(self) -> None:
        """Refuse parameters out of range."""
        _whole("Monitor", "every", self.every, 1)
        _whole("Monitor", "last", self.last, 1, LONGEST)
        _whole("Monitor", "max_groups", self.max_groups, 0, 100_000)
        if not _is(self.detectors, tuple) or not all(_is(one, ADWIN) for one in self.detectors):
            message = f"Monitor(detectors={self.detectors!r}) is not a tuple of detectors"
            raise DeclarationError(message, "Write detectors=(ADWIN(),), or detectors=() for none.")
