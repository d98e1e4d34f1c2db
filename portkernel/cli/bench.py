"""``portkernel bench``: our kernels beside their peers."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..bench import picture, report
from ..bench.run import Report
from ..bench.run import bench as measure
from ..bench.suites import SUITES
from ..coverage.outputs.terminal import console
from ..errors import PortkernelError

_FILE = click.Path(dir_okay=False, path_type=Path)
_SECONDS = click.FloatRange(0, min_open=True)
_OLD = click.Path(exists=True, dir_okay=False, path_type=Path)


def _read(path: Path | None) -> Report | None:
    if path is None:
        return None
    try:
        return report.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError) as error:
        raise click.BadParameter(f"expected a file that bench --json wrote, got {path} ({error})") from None


@click.group(invoke_without_command=True, short_help="Time our kernels beside NumPy's, PyTorch's and CLBlast's.")
@click.option("--suite", "names", default="", help=f"Only these, separated by commas: {', '.join(SUITES)}.")
@click.option("--device", default=None, help="Part of a device's name or of its platform's.")
@click.option("--quick", is_flag=True, help="A few cases of each suite, a short time each.")
@click.option(
    "--seconds", default=None, type=_SECONDS, help="Time for each contestant of a case.  [default: 1, quick 0.3]"
)
@click.option("--threads", default=2, type=click.IntRange(1), show_default=True, help="Threads of every library.")
@click.option("--json", "json_file", type=_FILE, help="Also write everything that was measured, as JSON.")
@click.option("--markdown", "markdown_file", type=_FILE, help="Also write the table as Markdown.")
@click.option("--picture", "picture_file", type=_FILE, help="Also draw the speeds: an SVG or PNG file.")
@click.option("--baseline", type=_OLD, help="Compare with a JSON file of an earlier run.")
@click.pass_context
def bench(
    context: click.Context,
    names: str,
    device: str | None,
    quick: bool,
    seconds: float | None,
    threads: int,
    json_file: Path | None,
    markdown_file: Path | None,
    picture_file: Path | None,
    baseline: Path | None,
) -> None:
    """Time our kernels and their peers in one process, interleaved, and print how they compare.

    Exits with status 1 if a case failed, with 130 if Ctrl-C ended it early.
    """
    if context.invoked_subcommand is not None:
        return
    chosen = [part.strip() for part in names.split(",") if part.strip()] or list(SUITES)
    for name in chosen:
        if name not in SUITES:
            raise click.BadParameter(f"expected a suite among {', '.join(SUITES)}, got {name!r}")
    before = _read(baseline)
    out = console()
    columns = (TextColumn("{task.description:<48}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        found = measure(
            [SUITES[name] for name in chosen],
            device=device,
            quick=quick,
            seconds=seconds or (0.3 if quick else 1.0),
            threads=threads,
            progress=lambda done, total, label: bar.update(task, completed=done, total=total, description=label),
        )
    report.print_report(found, SUITES, out, before)
    if json_file is not None:
        json_file.write_text(report.to_json(found), encoding="utf-8")
    if markdown_file is not None:
        markdown_file.write_text(report.to_markdown(found, SUITES), encoding="utf-8")
    if picture_file is not None:
        try:
            picture.draw(found, SUITES, picture_file)
        except PortkernelError as error:
            raise click.ClickException(str(error)) from None
    if not found.complete:
        out.print("interrupted: these are the cases that were measured by then")
        raise SystemExit(130)
    if any(r.failure for r in found.results):
        raise SystemExit(1)


@bench.command(short_help="What a kernel, an operator and a capture add to the driver.")
@click.option("--device", default=None, help="Part of a device's name or of its platform's.")
@click.option("--seconds", default=3.0, type=_SECONDS, show_default=True, help="Time for all contestants together.")
@click.option("--json", "json_file", type=_FILE, help="Also write everything that was measured, as JSON.")
def overhead(device: str | None, seconds: float, json_file: Path | None) -> None:
    """Time one small launch made by the driver, a kernel, an operator and a capture, and print what each adds."""
    from ..bench.overhead import measure as measure_overhead

    try:
        found = measure_overhead(device, seconds)
    except PortkernelError as error:
        raise click.ClickException(str(error)) from None
    report.print_overhead(found, console())
    if json_file is not None:
        json_file.write_text(json.dumps(found.fields(), indent=1) + "\n", encoding="utf-8")
