"""A report as a table on the terminal, as Markdown, as JSON; and against an older one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..coverage.outputs.words import duration
from .model import (
    Interval,
    Peaks,
    Result,
    Suite,
    against,
    compared,
    geometric_mean,
    is_disturbed,
    mean_speed,
    share_of_peak,
)
from .run import Report, decode_result

if TYPE_CHECKING:
    from .overhead import Overhead

COLUMNS = ("suite", "case", "time", "peer", "speed", "95 %", "of shortest", "of peak")
_LEGEND = (
    "speed: the peer's time divided by ours, the median over interleaved rounds; above 1 we are faster. "
    "Blank where its confidence interval is too wide to say, or one of the two usually took three times its shortest run.",
    "of shortest: the peer's shortest run divided by ours, which other load on the machine disturbs least.",
    "of peak: the least time that the measured peaks allow, as a part of the time taken.",
)


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _peer_time(result: Result, peer: str) -> str:
    times = {k: v.median for k, v in result.seconds.items() if k != "ours" and peer in (k, "fastest")}
    if not times:
        return ""
    name = min(times, key=lambda k: times[k])
    return f"{name} {duration(times[name])}"


def row(result: Result, suite: Suite, peaks: Peaks) -> tuple[str, ...]:
    """One case as the texts of :data:`COLUMNS`."""
    if result.failure:
        return suite.name, result.case, result.failure, "", "", "", "", ""
    speed: Interval | None = against(result, suite.peer)
    return (
        suite.name,
        result.case,
        duration(result.seconds["ours"].median),
        _peer_time(result, suite.peer),
        "" if speed is None else f"{speed.median:.2f}",
        "" if speed is None else spread(speed),
        "" if (least := shortest(result, suite.peer)) is None else f"{least:.2f}",
        percent(share_of_peak(result, peaks, suite.dtype)),
    )


@dataclass(frozen=True, slots=True)
class Mean:
    """A suite's geometric means over the ``count`` cases of ``total`` that have a speed: of medians and of shortest runs.

    ``least`` is the lowest of the speeds in which nobody was disturbed; where somebody was, there is no mean.
    """

    suite: Suite
    speed: Interval | None
    least: float | None
    shortest: float | None
    count: int
    total: int

    @property
    def median(self) -> float | None:
        return None if self.speed is None else self.speed.median


def shortest(result: Result, peer: str) -> float | None:
    """The peer's shortest run divided by ours."""
    times = [v for k, v in result.best.items() if k != "ours" and peer in (k, "fastest")]
    return min(times) / result.best["ours"] if times else None


def means(report: Report, suites: Mapping[str, Suite]) -> Iterator[Mean]:
    for name in dict.fromkeys(r.suite for r in report.results):
        suite, own = suites[name], [r for r in report.results if r.suite == name]
        found = [v for r in own if (v := compared(r, suite.peer)) is not None]
        ratios = [ratio for r in own if (ratio := shortest(r, suite.peer)) is not None]
        calm = [v for r in own if not is_disturbed(r, suite.peer) and (v := compared(r, suite.peer)) is not None]
        speed = mean_speed(found) if len(calm) == len(found) else None
        lowest = min((v.median for v in calm), default=None)
        yield Mean(suite, speed, lowest, geometric_mean(ratios), len(found), len(own))


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def spread(value: Interval | None) -> str:
    return "–" if value is None else f"{value.low:.2f}–{value.high:.2f}"


def _bar(suite: Suite, report: Report, text: str) -> str:
    """``text`` with the speed that is wanted of the suite on the report's device; empty where none is."""
    bar = suite.bars.get(report.place)
    return "" if bar is None else text.format(f"{bar:g}")


def facts(report: Report) -> str:
    """Where and with what it was measured, in one line."""
    peaks = ", ".join(f"{dtype} {value / 1e9:.0f} GFLOP/s" for dtype, value in report.peaks.flops.items())
    memory = f", {report.peaks.bandwidth / 1e9:.1f} GB/s" if report.peaks.bandwidth else ""
    packages = ", ".join(f"{name} {v}" for name, v in report.versions.items())
    return f"{report.machine} · {report.device} · {report.threads} threads · {report.day} · peaks: {peaks}{memory} · {packages}"


def print_report(report: Report, suites: Mapping[str, Suite], out: Console, baseline: Report | None = None) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="portkernel bench")
    for name in (*COLUMNS, *(("before",) if baseline is not None else ())):
        table.add_column(name, justify="left" if name in COLUMNS[:2] else "right", no_wrap=name != "time")
    old = {} if baseline is None else {(r.suite, r.case): r for r in baseline.results}
    before = ""
    for result in report.results:
        texts = list(row(result, suites[result.suite], report.peaks))
        if baseline is not None:
            texts.append(change(result, old.get((result.suite, result.case))))
        if before and before != result.suite:
            table.add_section()
        elif before:
            texts[0] = ""
        before = result.suite
        table.add_row(*(escape(t) for t in texts))
    out.print(table)
    for mean in means(report, suites):
        suite = mean.suite
        out.print(
            f"[bold]{suite.name}[/]: geometric mean [bold]{number(mean.median)}[/] of {suite.peer} "
            f"({spread(mean.speed)}) over {mean.count} of {mean.total} cases, the least {number(mean.least)}; "
            f"{number(mean.shortest)} by shortest runs{_bar(suite, report, ' (bar {})')}"
        )
    for line in (facts(report), *_LEGEND):
        out.print(f"[dim]{escape(line)}[/]")


def change(now: Result, then: Result | None) -> str:
    """How much faster our shortest run is than in the baseline; the shortest is what other load disturbs least."""
    if then is None or "ours" not in now.best or "ours" not in then.best:
        return ""
    return f"{then.best['ours'] / now.best['ours']:.2f}×"


def to_markdown(report: Report, suites: Mapping[str, Suite]) -> str:
    lines = [facts(report), "", "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(row(r, suites[r.suite], report.peaks)) + " |" for r in report.results]
    head = ("suite", "peer", "bar", "geometric mean", "95 %", "least", "cases", "by shortest runs")
    lines += ["", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for m in means(report, suites):
        numbers = " | ".join(
            (
                number(m.median),
                spread(m.speed),
                number(m.least),
                f"{m.count} of {m.total}",
                number(m.shortest),
            )
        )
        lines.append(f"| {m.suite.name} | {m.suite.peer} | {_bar(m.suite, report, '{}') or '–'} | {numbers} |")
    return "\n".join([*lines, "", *(f"* {line}" for line in _LEGEND)]) + "\n"


def to_json(report: Report) -> str:
    return json.dumps(dataclasses.asdict(report), indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> Report:
    """The report that :func:`to_json` wrote. Raises ``ValueError``, ``KeyError`` or ``TypeError`` for anything else."""
    fields = json.loads(text)
    fields["peaks"] = Peaks(**fields["peaks"])
    fields["results"] = tuple(decode_result(r) for r in fields["results"])
    return Report(**fields)


def print_overhead(found: Overhead, out: Console) -> None:
    """The ways to make one launch, and the parts of what they add to it."""
    names = list(dict.fromkeys(part for r in found.rows for part in r.parts))
    table = Table(
        box=box.SIMPLE_HEAD, title=f"One launch on {found.device} ({found.machine}, {found.day}), microseconds"
    )
    table.add_column("call")
    for name in ("time", "above the driver", "budget", *names):
        table.add_column(name, justify="right")
    for r in found.rows:
        shown = ["" if n not in r.parts else f"{r.parts[n]:.2f}" for n in names]
        budget = "" if r.budget is None else f"{r.budget:.0f}"
        table.add_row(escape(r.name), f"{r.wall:.1f}", f"{r.above:.1f}", budget, *shown)
    out.print(table)
    out.print("above the driver: CPU time of the calling thread, less that of the driver's two calls.")
    wall, cpu = found.first_use
    out.print(
        f"import portkernel and a first call, compiled before: {wall:.0f} ms, of them {cpu:.0f} ms CPU (budget 100 ms)"
    )
