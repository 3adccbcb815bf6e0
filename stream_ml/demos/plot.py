"""A picture of quality over time: one panel a metric, one line a window or rival, alarms as vertical lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stream_ml.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES = 11.0
PANEL_INCHES = 2.6
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel: its name in the legend, moments in epoch milliseconds and a value for each."""

    name: str
    at_ms: Sequence[int]
    values: Sequence[float]


def draw(
    path: Path, title: str, panels: Mapping[str, Sequence[Line]], alarms_ms: Sequence[int] = (), called: str = "alarms"
) -> Path:
    """Draw quality over time into a PNG file.

    Parameters
    ----------
    path
        The file; its folder is made if it is not there.
    title
        Stands above the uppermost panel.
    panels
        Lines by the metric's name, one panel each, from top to bottom.
    alarms_ms
        Moments of alarms in epoch milliseconds, drawn into every panel.
    called
        What they are called in the legend.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    UsageError
        matplotlib is not installed.

    Examples
    --------
    >>> import tempfile
    >>> line = Line("last 10,000", [1_357_000_000_000, 1_358_000_000_000], [0.70, 0.73])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = draw(Path(folder) / "quality.png", "flights", {"ROC AUC": [line]}, [1_357_500_000_000])
    ...     path.read_bytes()[1:4]
    b'PNG'
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  (an extra: everything else runs without it)
    except ImportError as error:
        cause = "matplotlib is not installed, so there is no picture"
        raise UsageError(cause, "Install it with: pip install 'stream-ml[plots]'") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(WIDTH_INCHES, 0.8 + PANEL_INCHES * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    for axes, (metric, lines) in zip(rows[:, 0], panels.items(), strict=True):
        _panel(axes, metric, lines, alarms_ms, called)
    rows[0, 0].set_title(title)
    figure.savefig(path, dpi=110)
    return path


def _panel(axes: Axes, metric: str, lines: Sequence[Line], alarms_ms: Sequence[int], called: str) -> None:
    for number, alarm in enumerate(_days(alarms_ms)):
        label = f"{called} ({len(alarms_ms)})" if number == 0 else None
        axes.axvline(alarm, color="tab:red", alpha=0.5, linewidth=0.8, label=label)
    for line in lines:
        axes.plot(_days(line.at_ms), list(line.values), label=line.name, linewidth=1.4)
    axes.xaxis_date("UTC")
    axes.set_ylabel(metric)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _days(at_ms: Sequence[int]) -> list[float]:
    """Return days since 1970, as matplotlib counts dates."""
    return [moment / DAY_MS for moment in at_ms]
