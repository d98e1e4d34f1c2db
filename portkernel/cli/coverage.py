"""``portkernel coverage``: every operator on every backend, device and compiler of this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .. import config
from ..backends import names as backend_names
from ..coverage import baseline as baselines
from ..coverage.document import from_document
from ..coverage.journal import Journal
from ..coverage.model import Report, Row
from ..coverage.outputs import FORMATS, SUFFIX, load, render
from ..coverage.outputs.markdown import TABLE, page_with, to_compact
from ..coverage.outputs.summary import to_summary
from ..coverage.outputs.terminal import console, print_report
from ..coverage.pool import ask
from ..coverage.rows import all_rows
from ..coverage.run import Options, Run
from ..coverage.worklist import Depth, Selection
from ..dtypes import BY_NAME
from ..errors import PortkernelError, SettingError
from . import program as programs

PLAIN_EVERY = 10
"""Percent between two lines of progress where there is no terminal to draw a bar on."""
_FILE = click.Path(dir_okay=False, path_type=Path)
_FILES = ("formats", "files", "update", "summary", "baseline")
_JUDGING = ("--details", "--fail-on", "--fail-under")
"""Options, besides those of files, that a report that was read takes as well."""
_OLD = click.Path(exists=True, dir_okay=False, path_type=Path)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _check(chosen: tuple[str, ...], known: set[str], what: str) -> None:
    for name in chosen:
        if name not in known:
            shown = ", ".join(sorted(known)[:40])
            raise click.BadParameter(f"expected {what} among {shown}{' …' if len(known) > 40 else ''}, got {name!r}")


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is written besides the table on the terminal."""

    formats: tuple[str, ...]
    files: tuple[Path, ...]
    update: Path | None
    summary: Path | None
    details: bool

    def pairs(self) -> list[tuple[str, Path | None]]:
        """Format and file: each ``--output`` takes the ``--format`` at its place, else the one its suffix names."""
        found: list[tuple[str, Path | None]] = []
        for i, file in enumerate(self.files):
            form = self.formats[i] if i < len(self.formats) else SUFFIX.get(file.suffix, "")
            if not form:
                raise click.BadParameter(f"expected a suffix among {', '.join(SUFFIX)} or --format, got {str(file)!r}")
            found.append((form, file))
        return [*found, *((form, None) for form in self.formats[len(self.files) :])]

    def check(self) -> None:
        """Refuse before a run what could not be written after it; folders of files are made."""
        for form, _ in self.pairs():
            load(form)
        for file in (*self.files, *([self.summary] if self.summary else [])):
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.open("a").close()
            except OSError as error:
                raise click.UsageError(f"expected a file that can be written, got {str(file)!r} ({error})") from None
        if self.update is not None:
            self._updated("")

    def _updated(self, text: str) -> str:
        assert self.update is not None
        try:
            return page_with(TABLE, text, self.update.read_text(encoding="utf-8"))
        except ValueError as error:
            raise click.UsageError(f"--update: {self.update}: {error}") from None

    def write(self, report: Report) -> None:
        pairs = self.pairs()
        if all(file is not None for _, file in pairs):
            print_report(report, console(), self.details)
        for form, file in pairs:
            text = render(report, form)
            if file is None:
                click.echo(text, nl=False)
            else:
                file.write_text(text, encoding="utf-8")
                click.echo(f"{form}: {file}", err=True)
        if self.update is not None:
            self.update.write_text(self._updated(to_compact(report)), encoding="utf-8")
        if self.summary is not None:
            self.summary.write_text(to_summary(report, report.comparison), encoding="utf-8")


EXAMPLES = """\b
Examples:
  portkernel coverage --quick
  portkernel coverage --ops matmul,conv2d --backends opencl --details
  portkernel coverage --output report.html --baseline old.json --fail-on regression
  portkernel coverage --target mthreads-s4000
  portkernel coverage --model model.onnx --dim batch=4
"""


@click.command(epilog=EXAMPLES, short_help="What runs where, how exactly, how fast, on what evidence.")
@click.option(
    "--ops", default="", help="Only these operators, or rows such as matmul[transposed]; separated by commas."
)
@click.option("--dtypes", default="", help="Only these dtypes, separated by commas.")
@click.option(
    "--backends", default="", help="Only these backends, or columns such as opencl/pocl; separated by commas."
)
@click.option("--cell", "cells", multiple=True, help="Only this cell: its test id. Repeatable.")
@click.option(
    "--from",
    "source",
    type=_OLD,
    help="Nothing is run: an earlier report (JSON), in other formats or against a baseline.",
)
@click.option(
    "--target", default="", help="Nothing is run: what could be emitted for this profile (portkernel targets list)."
)
@click.option("--model", help="A program in place of our operators: .onnx, .pt2, or package.module:factory. It is run.")
@click.option(
    "--dim", "dims", multiple=True, metavar="NAME=N", help="Size of an open dimension of --model. Repeatable."
)
@click.option(
    "--scan", type=click.Path(exists=True, path_type=Path), help="The GPU kernels of a source tree; none runs."
)
@click.option("--quick", is_flag=True, help="Under a minute: the plain call on one dtype, no times.")
@click.option("--full", is_flag=True, help="Every variant on every dtype and every architecture, all cases.")
@click.option(
    "--cases", default=3, type=click.IntRange(0), show_default=True, help="Cases of each cell to check; 0 for all."
)
@click.option(
    "--workers",
    default=2,
    type=click.IntRange(1),
    show_default=True,
    help="Worker processes; times are always taken alone.",
)
@click.option(
    "--seconds",
    default=60.0,
    type=click.FloatRange(0, min_open=True),
    show_default=True,
    help="Limit for each step; beyond it the cell is wrong.",
)
@click.option(
    "--budget",
    type=click.FloatRange(1),
    help="Seconds for the whole: 50 with --quick, 165 without, no end with --full.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(list(FORMATS)),
    help="Repeatable; without --output to standard output.",
)
@click.option(
    "--output", "files", multiple=True, type=_FILE, help="Repeatable: the report to a file, by its suffix or --format."
)
@click.option("--details", is_flag=True, help="A line for each cell on the terminal.")
@click.option("--update", type=_OLD, help="Write a table between the markers of this file, such as README.md.")
@click.option("--baseline", type=_OLD, help="Compare with an earlier report.")
@click.option("--summary", type=_FILE, help="Write Markdown for a pull request.")
@click.option(
    "--fail-on", multiple=True, type=click.Choice(list(baselines.CONDITIONS)), help="Repeatable; wrong if not given."
)
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    help="Percent of our operators that must be covered on every column tried.",
)
@click.option("--resume", is_flag=True, help="Go on with the run that was interrupted.")
def coverage(**options: Any) -> None:
    """Run, interpret or compile every operator everywhere, compare with NumPy, and say on what evidence each cell stands.

    Exits with 0 if all is well, 1 for wrong cells, 3 for a regression, 4 below --fail-under, 5 for untested cells (if
    --fail-on asks for it), 130 after Ctrl-C, which keeps what was measured; 2 for a mistake in the options.
    """
    if options["model"] or options["scan"]:
        _refuse_others(programs.TAKES["model" if options["model"] else "scan"], _written())
        programs.report(options)
        return
    outputs = Outputs(options["formats"], options["files"], options["update"], options["summary"], options["details"])
    try:
        outputs.check()
        before = baselines.read(options["baseline"]) if options["baseline"] else None
        rows = all_rows()
        selection = _selection(options, rows)
        report = _report(options, rows, selection)
    except PortkernelError as error:
        raise click.UsageError(str(error)) from None
    partial = bool(selection.operators or selection.dtypes or selection.backends or selection.cells)
    if before is not None:
        report = replace(report, comparison=baselines.compare(before, report, partial))
    comparison = report.comparison
    outputs.write(report)
    if comparison is not None:
        click.echo(f"against the baseline: {comparison.counts()}", err=True)
        for change in comparison.regressed:
            click.echo(f"regressed: {change}", err=True)
    status, reasons = baselines.verdict(report, comparison, options["fail_on"] or ("wrong",), options["fail_under"])
    for why in reasons:
        click.echo(f"coverage: {why}", err=True)
    sys.exit(status)


def _selection(options: dict[str, Any], rows: tuple[Row, ...]) -> Selection:
    operators, dtypes, backends = (_names(options[name]) for name in ("ops", "dtypes", "backends"))
    _check(operators, {row.name for row in rows} | {row.id for row in rows}, "operators")
    _check(dtypes, set(BY_NAME), "dtypes")
    _check(tuple(b.partition("/")[0] for b in backends), set(backend_names()), "backends")
    if options["quick"] and options["full"]:
        raise click.UsageError("expected --quick or --full, got both")
    depth = Depth.QUICK if options["quick"] else Depth.FULL if options["full"] else Depth.USUAL
    cases = 0 if depth is Depth.FULL else options["cases"]
    return Selection(operators, dtypes, backends, options["cells"], depth, cases)


def _report(options: dict[str, Any], rows: tuple[Row, ...], selection: Selection) -> Report:
    """Read, judged or measured, as the options say."""
    if not options["source"]:
        return _static(options["target"], rows, selection) if options["target"] else _measured(options, rows, selection)
    _refuse_others(("--from", *_JUDGING), _given())
    return _read(options["source"])


def _refuse_others(known: Sequence[str], given: Sequence[str]) -> None:
    """Raise for an option that says nothing beside ``known[0]``."""
    others = [option for option in given if option.partition("=")[0] not in known]
    if others:
        raise click.UsageError(f"expected nothing beside {known[0]} but {', '.join(known[1:])}, got {' '.join(others)}")


def _read(path: Path) -> Report:
    """An earlier report."""
    try:
        return from_document(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(
            f"--from: expected a report, got {path} ({type(error).__name__}: {error})",
            hint="portkernel coverage --output report.json writes one",
        ) from None


def _static(target: str, rows: tuple[Row, ...], selection: Selection) -> Report:
    """The report on a target profile: nothing runs."""
    from ..coverage.static import static_report

    with _progress(console()) as told:
        return static_report(target, rows, selection, lambda done, row: told(done, f"emit {row.id}"))


def journal_path() -> Path:
    """Where an interrupted run is kept."""
    folder = config.get().cache_dir or Path(".")
    return folder / "coverage" / "journal.jsonl"


def _given() -> tuple[str, ...]:
    """The options that the user wrote, for the record: results may depend on them, files written do not."""
    return _written(_FILES)


def _written(without: Sequence[str] = ()) -> tuple[str, ...]:
    """The options that the user wrote, as they are written."""
    context = click.get_current_context()
    found: list[str] = []
    for option in context.command.params:
        name = str(option.name)
        if name in without or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        for one in value if isinstance(value, tuple) else (value,):
            found.append(option.opts[0] if one is True else f"{option.opts[0]}={one}")
    return tuple(found)


@contextmanager
def _progress(out: Console) -> Iterator[Callable[[float, str], None]]:
    """A bar with an estimate of the time left, for the ``with`` block; told how far it is, from 0 to 1, and what comes."""
    columns = (TextColumn("{task.description:<48}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
               TextColumn("left:"), TimeRemainingColumn())  # fmt: skip
    said = 0
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("starting", total=1.0)

        def told(done: float, what: str) -> None:
            nonlocal said
            bar.update(task, completed=done, description=what[:48])
            percent = int(100 * done)
            if not out.is_terminal and percent >= said + PLAIN_EVERY:
                said = percent - percent % PLAIN_EVERY
                click.echo(f"{said} %", err=True)

        yield told


def _measured(options: dict[str, Any], rows: tuple[Row, ...], selection: Selection) -> Report:
    """The report of a run, whole or up to Ctrl-C."""
    journal = Journal(journal_path(), options["resume"])
    budget = selection.depth.value if options["budget"] is None else options["budget"]
    settings = Options(options["workers"], options["seconds"], budget, _given())
    run = Run(rows, ask(), selection, journal, settings)
    with _progress(console()) as told:
        try:
            run.perform(lambda done, step: told(done, f"{step.mode} {step.id}"))
        except KeyboardInterrupt:
            click.echo("interrupted: what was measured is kept", err=True)
    return run.report()
