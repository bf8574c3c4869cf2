"""The picture of a scenario: pods, requests, errors and latency over time, with the marks of what happened when."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gameday.evidence import PodCount, percentile
from load.samples import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARK_COLOURS = {
    "injected": "#d1495b",
    "effect_seen": "#e07a1f",
    "detected": "#8f6bd1",
    "decided": "#3f7fd1",
    "acted": "#1f9e9e",
    "healthy": "#7a9e1f",
    "recovered": "#2f9e44",
}
_INK = "#010203"  # replaced by currentColor, so that the picture follows the page's light or dark ink
_LINE = "#4a7fb5"
_BIN_SECONDS = 0.5
WINDOW_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time, seconds since the start of the scenario; None where there was nothing to measure."""

    times: list[float]
    values: list[float | None]


def rolling(
    samples: Sequence[Sample],
    start_seconds: float,
    end_seconds: float,
    measure: Callable[[list[Sample]], float | None],
) -> Series:
    """A measure of the samples of the last two seconds, every half second. Pure."""
    times: list[float] = []
    values: list[float | None] = []
    moment = start_seconds + _BIN_SECONDS
    while moment <= end_seconds:
        first = moment - WINDOW_SECONDS
        times.append(moment - start_seconds)
        values.append(measure([s for s in samples if first <= s.intended_seconds < moment]))
        moment += _BIN_SECONDS
    return Series(times, values)


def scenario_svg(
    samples: Sequence[Sample],
    pods: Sequence[PodCount],
    marks: dict[str, float],
    start_seconds: float,
    end_seconds: float,
    *,
    latency_limit_seconds: float,
    name: str,
) -> str:
    """The picture as an SVG element to be put into a page. Times are monotonic seconds."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(8.6, 6.2), layout="constrained")
        axes = figure.subplots(4, 1, sharex=True, height_ratios=[1, 1, 1, 1])
        _draw_pods(axes[0], pods, start_seconds, end_seconds)
        _draw(axes[1], _rate(samples, start_seconds, end_seconds), "requests/s")
        _draw_errors(axes[2], samples, start_seconds, end_seconds)
        _draw(axes[3], _latency(samples, start_seconds, end_seconds), "P95 (s)")
        _draw_latency_limit(axes[3], latency_limit_seconds)
        axes[3].set_xlabel("seconds since the scenario began")
        axes[3].set_xlim(0, max(end_seconds - start_seconds, 1.0))
        for axis in axes:
            axis.grid(axis="y", color=_INK, alpha=0.12, linewidth=0.6)
            axis.set_axisbelow(True)
        _draw_marks(axes, marks, start_seconds, end_seconds - start_seconds)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue().replace(_INK, "currentColor")
    return text[text.index("<svg") :]


def _rate(samples: Sequence[Sample], start: float, end: float) -> Series:
    return rolling(samples, start, end, lambda seen: len(seen) / WINDOW_SECONDS if seen else 0.0)


def _latency(samples: Sequence[Sample], start: float, end: float) -> Series:
    return rolling(
        samples, start, end, lambda seen: percentile([s.latency_seconds for s in seen if s.outcome == "ok"], 0.95)
    )


def _draw_pods(axis: Axes, pods: Sequence[PodCount], start: float, end: float) -> None:
    from matplotlib.ticker import MaxNLocator

    before = [count for count in pods if count.at_seconds <= start][-1:]
    inside = [*before, *(count for count in pods if start < count.at_seconds <= end)]
    times = [max(count.at_seconds - start, 0.0) for count in inside]
    ready = [count.ready for count in inside]
    desired = [count.desired for count in inside]
    if times:
        times, ready, desired = [*times, end - start], [*ready, ready[-1]], [*desired, desired[-1]]
    axis.step(times, desired, where="post", color=_INK, alpha=0.35, linewidth=1.0, linestyle="--")
    axis.step(times, ready, where="post", color=_LINE, linewidth=1.6)
    axis.fill_between(times, ready, step="post", color=_LINE, alpha=0.15)
    axis.set_ylabel("ready pods")
    axis.set_ylim(0, max([1, *desired]) + 0.6)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))


def _draw_errors(axis: Axes, samples: Sequence[Sample], start: float, end: float) -> None:
    def share(outcome: Callable[[Sample], bool]) -> Callable[[list[Sample]], float | None]:
        return lambda seen: 100 * sum(map(outcome, seen)) / len(seen) if seen else None

    errors = rolling(samples, start, end, share(lambda s: s.failed))
    refused = rolling(samples, start, end, share(lambda s: s.outcome == "refused"))
    _draw(axis, errors, "% of requests", colour="#d1495b", label="errors")
    if any(refused.values):
        _draw(axis, refused, "% of requests", colour="#e0a11f", label="refused (model disabled)")
    highest = max((v or 0.0) for v in (*errors.values, *refused.values)) if errors.values else 0.0
    axis.set_ylim(0, max(highest * 1.15, 5.0))
    axis.legend(loc="upper right", frameon=False, fontsize=8)


def _draw(axis: Axes, series: Series, label_y: str, *, colour: str = _LINE, label: str | None = None) -> None:
    values = [float("nan") if v is None else v for v in series.values]
    axis.plot(series.times, values, color=colour, linewidth=1.6, label=label)
    axis.fill_between(series.times, values, color=colour, alpha=0.12)
    axis.set_ylabel(label_y)
    axis.set_ylim(bottom=0)


def _draw_latency_limit(axis: Axes, limit_seconds: float) -> None:
    _, top = axis.get_ylim()
    if top > limit_seconds * 0.5:
        axis.axhline(limit_seconds, color="#d1495b", linewidth=1.0, linestyle=":")


def _draw_marks(axes: Sequence[Axes], marks: dict[str, float], start: float, span: float) -> None:
    ordered = sorted((at - start, name) for name, at in marks.items() if name in MARK_COLOURS)
    level, last = 0, float("-inf")
    for number, (at, name) in enumerate(ordered, start=1):
        level = level + 1 if at - last < span * 0.025 else 0
        last = at
        for axis in axes:
            axis.axvline(at, color=MARK_COLOURS[name], linewidth=1.1, alpha=0.8)
        axes[0].annotate(
            str(number),
            (at, 1.04 + 0.2 * level),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=8,
            color="white",
            bbox={"boxstyle": "circle,pad=0.22", "facecolor": MARK_COLOURS[name], "edgecolor": "none"},
            annotation_clip=False,
        )
