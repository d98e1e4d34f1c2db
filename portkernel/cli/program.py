"""``portkernel coverage --model`` and ``--scan``: coverage of a user's program, or of a tree of kernels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..coverage import program, scan
from ..coverage.outputs import SUFFIX
from ..errors import PortkernelError

TAKES = {
    "model": ("--model", "--dim", "--backends", "--target", "--format", "--output"),
    "scan": ("--scan", "--format", "--output"),
}
"""The options that each takes, itself first."""
_FORMATS = ("json",)


def report(options: dict[str, Any]) -> None:
    """Print, or write to ``--output``, what ``--model`` or ``--scan`` asks for; ``--format json`` in place of a table."""
    formats, files = list(options["formats"]), list[Path](options["files"])
    asked = [*formats, *(SUFFIX[file.suffix] for file in files if file.suffix in SUFFIX)]
    if set(asked) - set(_FORMATS):
        raise click.UsageError(f"expected JSON or plain text with --model and --scan, got {', '.join(asked)}")
    try:
        render = _scanned(options) if options["scan"] else _examined(options)
    except PortkernelError as error:
        raise click.UsageError(str(error)) from None
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(render("json" in formats or file.suffix == ".json"), encoding="utf-8")
    if not files:
        click.echo(render("json" in formats), nl=False)


def _scanned(options: dict[str, Any]) -> Callable[[bool], str]:
    found = scan.scan(options["scan"])
    return lambda as_json: scan.as_json(found) if as_json else scan.as_text(found)


def _examined(options: dict[str, Any]) -> Callable[[bool], str]:
    dims = dict(_dim(text) for text in options["dims"])
    named = tuple(b.strip() for b in options["backends"].split(",") if b.strip())
    found = program.examine(options["model"], dims, named, options["target"] or None)
    return lambda as_json: program.as_json(found) if as_json else program.as_text(found)


def _dim(text: str) -> tuple[str, int]:
    name, _, size = text.partition("=")
    if not name or not size.isdigit():
        raise click.BadParameter(f"expected NAME=N for --dim, got {text!r}")
    return name, int(size)
