"""``portkernel tune``: measure block sizes, and look at what was measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .. import config
from ..bench.suites import SUITES
from ..coverage.outputs.terminal import console
from ..coverage.outputs.words import duration
from ..errors import MissingDependencyError, PortkernelError
from ..tune import Choice, Store, stored, watching
from ..tune.store import export as exported
from ..tune.summary import Spread, spreads

_FILE = click.Path(dir_okay=False, path_type=Path)


def _store() -> Store:
    return stored(config.get().tune_dir)


@click.group(invoke_without_command=True, short_help="Measure block sizes, and store the best.")
@click.option(
    "--suite",
    "names",
    default="gemm-fp32",
    show_default=True,
    help=f"Of the bench, separated by commas: {', '.join(SUITES)}; or all.",
)
@click.option("--case", "part", default="", help="Only cases whose name contains this.")
@click.option(
    "--budget", default="full", show_default=True, help="Seconds for each kernel and shape, such as 5s; or full."
)
@click.option("--device", default=None, help="Part of a device's name or of its platform's.")
@click.pass_context
def tune(context: click.Context, names: str, part: str, budget: str, device: str | None) -> None:
    """Measure the block sizes of the cases of a bench suite, and store the best.

    Stored choices are used under PORTKERNEL_TUNE=cached. Interrupted, it keeps what was measured and goes on the next
    time. Each candidate compiles and runs in a child process and must compute what the analytic choice computes.
    """
    if context.invoked_subcommand is not None:
        return
    cases = [(name, case) for name in _suites(names) for case in SUITES[name].cases if part in case.label]
    if not cases:
        raise click.BadParameter(f"expected part of a case's name, got {part!r}", param_hint="--case")
    out = console()
    mode = "full" if budget == "full" else f"budget:{budget.removesuffix('s')}s"
    before = {choice.key for choice in _store().all()}
    failures: list[str] = []
    missing: list[str] = []
    try:
        with config.override(tune=mode), _bar(out) as bar:
            overall = bar.add_task("cases", total=len(cases))
            task = bar.add_task("starting", total=None)

            def watch(kernel: str, tried: int, candidates: int) -> None:
                bar.update(task, completed=tried, total=candidates, description=f"{suite} {case.label}: {kernel}")

            with watching(watch):
                for suite, case in cases:
                    bar.update(task, description=f"{suite} {case.label}", completed=0, total=None)
                    try:
                        case.make(device).ours()
                    except MissingDependencyError as error:
                        missing.append(f"{suite} {case.label}: {error}")
                    except PortkernelError as error:
                        failures.append(f"{suite} {case.label}: {error}")
                    bar.advance(overall)
    except PortkernelError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        out.print("interrupted: what was measured is stored; the same command goes on from there")
        _print(_store().all(), out)
        raise SystemExit(130) from None
    found = _store().all()
    _print(found, out)
    out.print(f"{len([c for c in found if c.key not in before])} new choices in {config.get().tune_dir or 'memory'}")
    for reason in missing + failures:
        out.print(f"not measured: {reason}", markup=False)
    if failures:
        raise SystemExit(1)


def _suites(names: str) -> list[str]:
    chosen = list(SUITES) if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in SUITES:
            raise click.BadParameter(f"expected a suite among {', '.join(SUITES)}, got {name!r}", param_hint="--suite")
    return chosen


def _bar(out: Console) -> Progress:
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=out, transient=True)


@tune.command(name="list", short_help="Print the stored choices, and what each gains.")
@click.option("--json", "as_json", is_flag=True, help="Everything, trials included, as JSON.")
def list_choices(as_json: bool) -> None:
    """Print the stored choices: the analytic one, the best one, and what it gains."""
    found = _store().all()
    if as_json:
        click.echo(json.dumps([asdict(c) for c in found], indent=1, ensure_ascii=False))
        return
    _print(found, console())


def _print(found: list[Choice], out: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="measured sizes")
    for name in ("kernel", "shapes", "device", "analytic", "best", "gain", "tried"):
        table.add_column(name, justify="right" if name in ("gain", "tried") else "left", overflow="fold")
    for choice in found:
        gain = choice.gain
        table.add_row(
            choice.facts["kernel"],
            choice.facts["shapes"].partition(", ")[0],
            choice.facts["device"],
            _shown(choice, 0),
            _shown(choice, choice.chosen),
            "" if gain is None else f"{gain:.2f}×",
            f"{choice.tried}{'' if choice.finished else ' so far'}",
        )
    out.print(table)
    _print_spreads(spreads(found), out)


def _print_spreads(found: list[Spread], out: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="analytic / best")
    for name in ("kernel", "choices", "tried", "median", "worst", "within 15 %"):
        table.add_column(name, justify="left" if name == "kernel" else "right")
    for s in found:
        cells = s.name, str(s.count), str(s.tried), f"{s.median:.2f}", f"{s.worst:.2f}", f"{s.near} of {s.count}"
        table.add_row(*cells)
    if found:
        out.print(table)


def _shown(choice: Choice, place: int) -> str:
    trial = choice.trials[place]
    sizes = " ".join(f"{name}={size}" for name, size in trial.sizes.items()) or f"configuration {trial.config}"
    return f"{sizes}: {duration(trial.seconds) if trial.seconds is not None else trial.reason}"


@tune.command()
def clear() -> None:
    """Remove every stored choice."""
    click.echo(f"removed {_store().clear()} choices")


@tune.command(short_help="Write the stored choices to FILE, as the package ships them.")
@click.argument("file", type=_FILE)
def export(file: Path) -> None:
    """Write the stored choices to FILE, one for all, in the form that ships with the package."""
    try:
        file.write_text(exported(_store().all()), encoding="utf-8")
    except PortkernelError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(_store().all())} choices written to {file}")
