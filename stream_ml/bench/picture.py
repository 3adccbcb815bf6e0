"""Pictures of a measurement: the percentiles of one rate, or the curve of a sweep up to its knee."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stream_ml.bench.figures import histogram_or_refuse
from stream_ml.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NINES = np.array([0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99])


def draw(path: Path, found: dict[str, Any]) -> Path:
    """Draw a measurement of latency into a PNG file.

    Parameters
    ----------
    path
        The file; its folder is made.
    found
        What `stream_ml.bench.latency.latency` returned.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError as error:
        cause = "matplotlib is not installed, so there is no picture"
        raise UsageError(cause, "pip install 'stream-ml[plots]'") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(8.0, 4.5), layout="constrained")
    axes = figure.subplots()
    if "knee" in found:
        _curve(axes, found)
    else:
        _spectrum(axes, found["steps"][0])
    axes.set_title(f"{found['pipeline']} on {found['engine']}, {found['partitions']} partitions, open loop")
    axes.set_ylabel("ms")
    axes.set_yscale("log")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    return path


def _spectrum(axes: Axes, step: dict[str, Any]) -> None:
    for name, label in (("latency_ms", "latency"), ("update_visible_ms", "update visible")):
        if not step[name]["n"]:
            continue
        histogram = histogram_or_refuse().decode(step[name]["hdr"])
        values = [histogram.get_value_at_percentile(share) / 1e3 for share in _NINES]
        axes.plot(1.0 / (1.0 - _NINES / 100.0), values, marker=".", label=f"{label}, {step['rate']:,.0f} events/s")
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 10, 100, 1_000, 10_000], ["0", "50", "90", "99", "99.9", "99.99"])
    axes.set_xlabel("percentile")


def _curve(axes: Axes, found: dict[str, Any]) -> None:
    steps = [one for one in found["steps"] if one["latency_ms"]["n"]]
    rates = [one["rate"] for one in steps]
    for share in ("p50", "p99"):
        axes.plot(rates, [one["latency_ms"][share] for one in steps], marker="o", label=share)
    if found["knee"] is not None:
        axes.axvline(found["knee"], color="tab:red", alpha=0.6, label=f"knee: {found['knee']:,.0f} events/s")
    axes.set_xlabel("offered load, events a second")
