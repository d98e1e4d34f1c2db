"""The speeds of a report as a bar chart, by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingDependencyError
from .model import Interval, Suite, against
from .report import shortest
from .run import Report

_FASTER, _SLOWER, _UNCERTAIN = "#2a9d76", "#c8744f", "#c9ced6"
_LEGEND = (
    (_FASTER, "faster than the peer"),
    (_SLOWER, "slower"),
    (_UNCERTAIN, "interval too wide: shortest runs"),
)
_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True)
class _Bar:
    """A case: its speed with the interval, or the ratio of shortest runs where that is too wide."""

    label: str
    length: float
    interval: Interval | None

    @property
    def colour(self) -> str:
        if self.interval is None:
            return _UNCERTAIN
        return _FASTER if self.length >= 1 else _SLOWER


def _bars(report: Report, suites: Mapping[str, Suite]) -> list[_Bar]:
    found = []
    for result in report.results:
        suite = suites[result.suite]
        speed, least = against(result, suite.peer), shortest(result, suite.peer)
        label = f"{result.suite}   {result.case}   ({suite.peer})"
        if speed is not None:
            found.append(_Bar(label, speed.median, speed))
        elif least is not None:
            found.append(_Bar(label, least, None))
    return found


def draw(report: Report, suites: Mapping[str, Suite], path: Path) -> None:
    """Write an SVG or PNG file. Raises :class:`~portkernel.errors.MissingDependencyError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ImportError:
        raise MissingDependencyError(
            "bench: a picture needs matplotlib, which is not installed", hint='pip install "portkernel[bench]"'
        ) from None
    bars = _bars(report, suites)
    figure = Figure(figsize=(10, 1.6 + 0.24 * max(len(bars), 1)), layout="constrained")
    axes: Any = figure.add_subplot()
    places = range(len(bars))
    axes.barh(places, [b.length for b in bars], color=[b.colour for b in bars], height=0.7)
    sure = [(i, b, b.interval) for i, b in enumerate(bars) if b.interval is not None]
    reach = [[b.length - s.low for _, b, s in sure], [s.high - b.length for _, b, s in sure]]
    axes.errorbar(
        [b.length for _, b, _ in sure], [i for i, _, _ in sure], xerr=reach, fmt="none", ecolor="#444", lw=0.9
    )
    for i, bar in enumerate(bars):
        end = bar.length if bar.interval is None else bar.interval.high
        axes.text(end * 1.04, i, f"{bar.length:.2f}", va="center", fontsize=7, color="#333")
    axes.axvline(1.0, color="#222", linewidth=1)
    axes.set_xscale("log")
    low, high = min([0.5, *(b.length for b in bars)]), max([2.0, *(b.length for b in bars)])
    axes.set_xlim(low / 1.3, high * 1.6)
    shown = [t for t in _TICKS if low / 1.3 <= t <= high * 1.6]
    axes.set_xticks(shown, [f"{t:g}" for t in shown])
    axes.minorticks_off()
    axes.set_yticks(places, [b.label for b in bars], fontsize=7.5)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.grid(axis="x", color="#e4e6ea", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("speed: the peer's time divided by ours, with its 95 % interval")
    axes.set_title(f"{report.machine} · {report.device} · {report.threads} threads · {report.day}", fontsize=9)
    patches = [Patch(color=colour, label=label) for colour, label in _LEGEND]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
