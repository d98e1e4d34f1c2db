"""``portkernel targets list | show | diff``: the target profiles, with their sources."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .. import targets as known
from ..coverage.outputs.terminal import console
from ..errors import PortkernelError
from ..targets import text
from ..targets.facts import Fact, Profile
from ..targets.runs import Executed, recorded

_RUN = click.Path(exists=True, dir_okay=False, path_type=Path)


def _print_json(data: object) -> None:
    json.dump(data, sys.stdout, indent=1, ensure_ascii=False)
    click.echo()


def _executed(files: tuple[Path, ...]) -> dict[str, list[Executed]]:
    found: dict[str, list[Executed]] = {}
    for file in files:
        for run in recorded(file):
            found.setdefault(run.target, []).append(run)
    return found


@click.group(short_help="What is known of the devices that code is emitted for.")
def targets() -> None:
    """What is known of the devices that code can be emitted for, fact by fact with its source."""


@targets.command("list")
@click.option("--vendor", default="", help="Only this vendor's.")
@click.option(
    "--route", default="", help="Only those that this route leads to: cuda, cuda-renamed, hip, opencl, triton."
)
@click.option(
    "--run", "runs", multiple=True, type=_RUN, help="A coverage report (JSON): what it executed is shown. Repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")  # fmt: skip
def list_targets(vendor: str, route: str, runs: tuple[Path, ...], as_json: bool) -> None:
    """One line for each profile."""
    try:
        executed = _executed(runs)
    except PortkernelError as error:
        raise click.ClickException(str(error)) from None
    profiles = known.records().values()
    _check("--vendor", vendor, {p.vendor for p in profiles})
    _check("--route", route, {r.name for p in profiles for r in p.routes})
    chosen = [
        p for p in profiles if (not vendor or p.vendor == vendor) and (not route or known.chip(p).route(route).is_open)
    ]
    if as_json:
        _print_json([_summary(p, executed) for p in chosen])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("profile", "device", "lanes", "local memory", "float64", "routes", "executed"):
        table.add_column(name, justify="right" if name in ("lanes", "local memory") else "left")
    for profile in chosen:
        found = _summary(profile, executed)
        texts = [str(found[k]) for k in ("name", "title", "lanes", "local_bytes", "float64")]
        ran = "; ".join(found["executed"]) or "no recorded run"
        table.add_row(*map(escape, texts), escape(", ".join(found["routes"])), escape(ran))
    out = console()
    out.print(table)
    out.print(f"{len(chosen)} profiles; ? is unknown. Whether anything ran on a device comes from --run alone.")


def _check(option: str, given: str, known_ones: set[str]) -> None:
    if given and given not in known_ones:
        raise click.BadParameter(f"expected one of {', '.join(sorted(known_ones))}, got {given!r}", param_hint=option)


def _summary(profile: Profile, executed: dict[str, list[Executed]]) -> dict[str, Any]:
    chips = [known.record(name) for name in profile.chips] or [profile]
    chip = chips[0]
    return {
        "name": profile.name,
        "title": profile.title,
        "vendor": profile.vendor,
        "kind": profile.kind,
        "chips": list(profile.chips),
        "lanes": _either([c.facts.get("lanes") for c in chips]),
        "local_bytes": _either([c.facts.get("local_bytes") for c in chips]),
        "float64": " or ".join(dict.fromkeys(c.dtype("float64").state for c in chips)),
        "routes": [r.name + (f" ({r.fork})" if r.fork else "") for r in chip.routes if r.is_open],
        "executed": [str(run) for run in executed.get(profile.name, [])],
    }


def _either(facts: list[Fact | None]) -> Any:
    """The value; of a system with several chips each that occurs."""
    values = list(dict.fromkeys("?" if f is None or f.value is None else f.value for f in facts))
    return values[0] if len(values) == 1 else " or ".join(map(str, values))


@targets.command()
@click.argument("name")
@click.option(
    "--run", "runs", multiple=True, type=_RUN, help="A coverage report (JSON): what it executed is shown. Repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")  # fmt: skip
def show(name: str, runs: tuple[Path, ...], as_json: bool) -> None:
    """Everything that is known of NAME, and what the compiler makes of it.

    The unique beginning of a name will do: mthreads-s4000.
    """
    try:
        profile, executed = known.record(name), _executed(runs)
    except PortkernelError as error:
        raise click.ClickException(str(error)) from None
    ran = executed.get(profile.name, [])
    if as_json:
        _print_json(
            {
                **text.plain(profile),
                "target": text.plain(known.find(profile.name)),
                "executed": [text.plain(r) for r in ran],
            }
        )
        return
    out = console()
    out.print(f"[bold]{escape(profile.name)}[/]  {escape(profile.title)} ({profile.vendor}, {profile.kind})")
    for note in profile.notes:
        out.print(f"  {escape(note)}")
    if profile.kind == "system":
        out.print(f"  made of {', '.join(profile.chips)}: their facts count for its kernels")
    sections: list[tuple[str, tuple[str, ...], Callable[[Profile], Iterator[tuple[str, ...]]]]] = [
        ("facts", ("fact", "value", "evidence", "source"), text.fact_rows),
        ("dtypes", ("dtype", "usage", "state", "evidence", "source"), text.dtype_rows),
        ("peaks (dense unless it says sparse)", ("dtype", "usage", "peak", "evidence", "source"), text.peak_rows),
        ("routes", ("route", "state", "our text", "compiler", "how", "source"), text.route_rows),
        ("claims of the press, apart from the facts", ("claim", "source", "how to check it"), text.claim_rows),
    ]
    for title, head, made in sections:
        _print_section(out, title, head, list(made(profile)))
    _print_section(
        out,
        "what the compiler takes for granted",
        ("field", "value", "not from the profile"),
        list(text.compiler_rows(profile.name)),
    )
    out.print(
        "[bold]executed[/]: " + escape("; ".join(map(str, ran)) or "no recorded run was given (--run REPORT.json)")
    )


def _print_section(out: Console, title: str, head: tuple[str, ...], lines: list[tuple[str, ...]]) -> None:
    if not lines:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=escape(title), title_justify="left")
    for name in head:
        table.add_column(name, overflow="fold")
    for line in lines:
        table.add_row(*map(escape, line))
    out.print(table)


@targets.command()
@click.argument("first")
@click.argument("second")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def diff(first: str, second: str, as_json: bool) -> None:
    """What differs between two profiles."""
    try:
        a, b = known.record(first), known.record(second)
    except PortkernelError as error:
        raise click.ClickException(str(error)) from None
    found = text.difference(known.chip(a), known.chip(b))
    if as_json:
        _print_json([{"what": what, a.name: left, b.name: right} for what, left, right in found])
        return
    if not found:
        click.echo(f"{a.name} and {b.name} say the same")
        return
    _print_section(console(), "", ("", a.name, b.name), list(found))
