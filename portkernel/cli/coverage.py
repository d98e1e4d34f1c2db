"""``portkernel coverage``: every kernel on every backend."""

from __future__ import annotations

from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .. import catalog
from ..coverage import report as reports
from ..coverage.model import Step
from ..coverage.plan import ROUTES
from ..coverage.run import cover
from ..dtypes import BY_NAME

PLAIN_EVERY = 50
"""Steps between two lines of progress where there is no terminal to draw a bar on."""
_FILE = click.Path(dir_okay=False, path_type=Path)


def _names(known: list[str], what: str, text: str) -> tuple[str, ...]:
    """The comma-separated names of ``text``, all of them ``known``."""
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in chosen:
        if name not in known:
            raise click.BadParameter(f"expected {what} among {', '.join(known)}, got {name!r}")
    return chosen


@click.command()
@click.option("--kernels", default="", help="Only these, separated by commas.")
@click.option("--backends", default="", help="Only these, separated by commas.")
@click.option("--dtypes", default="", help="Only these, separated by commas.")
@click.option("--quick", is_flag=True, help="One dtype of each kernel, one architecture of each backend.")
@click.option("--cases", default=3, show_default=True, help="Cases of each kernel to check; 0 for all.")
@click.option("--workers", default=2, show_default=True, help="Worker processes; measurements always run alone.")
@click.option("--seconds", default=60.0, show_default=True, help="Limit for each step of each cell.")
@click.option("--json", "json_file", type=_FILE, help="Also write everything that was found, as JSON.")
@click.option("--markdown", "markdown_file", type=_FILE, help="Also write the table as Markdown.")
@click.option("--update", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Write the Markdown table between the markers of this file, such as README.md.")  # fmt: skip
def coverage(
    kernels: str,
    backends: str,
    dtypes: str,
    quick: bool,
    cases: int,
    workers: int,
    seconds: float,
    json_file: Path | None,
    markdown_file: Path | None,
    update: Path | None,
) -> None:
    """Run, compile or emit every kernel for every backend, compare with NumPy, and print one table.

    Exits with status 1 if a result missed its bound, or a step failed, crashed or hung.
    """
    entries = catalog.all_entries()
    wanted = _names([e.name for e in entries], "kernels", kernels)
    chosen_backends = _names([r.backend for r in ROUTES], "backends", backends)
    chosen_dtypes = _names(list(BY_NAME), "dtypes", dtypes)
    out = reports.console()
    columns = (TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("looking for devices", total=None)

        def progress(done: int, total: int, step: Step) -> None:
            bar.update(task, completed=done, total=total, description=f"{step.kernel} {step.dtype} {step.backend}")
            if not out.is_terminal and done % PLAIN_EVERY == 0:
                click.echo(f"{done} of {total} steps", err=True)

        found = cover(
            [e for e in entries if not wanted or e.name in wanted],
            backends=chosen_backends, dtypes=chosen_dtypes, quick=quick, cases=cases, workers=workers, seconds=seconds, progress=progress,
        )  # fmt: skip
    reports.print_report(found, out)
    if json_file is not None:
        json_file.write_text(reports.to_json(found), encoding="utf-8")
    if markdown_file is not None:
        markdown_file.write_text(reports.to_markdown(found), encoding="utf-8")
    if update is not None:
        reports.write_between_markers(update, reports.to_markdown(found))
    if found.failed:
        raise SystemExit(1)
