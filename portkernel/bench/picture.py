"""The speeds of a report as a bar chart, by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import MissingDependencyError
from .model import Suite, against
from .run import Report


def draw(report: Report, suites: Mapping[str, Suite], path: Path) -> None:
    """Write an SVG or PNG file. Raises :class:`~portkernel.errors.MissingDependencyError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(
            "bench: a picture needs matplotlib, which is not installed", hint='pip install "portkernel[bench]"'
        ) from None
    rows = [(r, suites[r.suite], against(r, suites[r.suite].peer)) for r in report.results]
    shown = [(f"{r.suite}  {r.case}", suite, speed) for r, suite, speed in rows if speed is not None]
    figure = Figure(figsize=(9, 1 + 0.28 * max(len(shown), 1)), layout="constrained")
    axes = figure.add_subplot()
    places = list(range(len(shown)))
    middle = [speed.median for _, _, speed in shown]
    reach = [[s.median - s.low for _, _, s in shown], [s.high - s.median for _, _, s in shown]]
    axes.barh(
        places, middle, xerr=reach, color=["#3b7" if m >= 1 else "#c75" for m in middle], ecolor="#555", height=0.7
    )
    axes.axvline(1.0, color="#333", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(places, [f"{label}  ({suite.peer})" for label, suite, _ in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("speed: the peer's time divided by ours")
    axes.set_title(f"{report.machine} · {report.device} · {report.day}", fontsize=9)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
