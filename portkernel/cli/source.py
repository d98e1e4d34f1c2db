"""``portkernel source``: the text that a kernel becomes."""

from __future__ import annotations

from typing import Any

import click

from .. import catalog
from ..coverage.trials import arguments, make_problem
from ..dtypes import as_dtype
from ..errors import PortkernelError


@click.command()
@click.argument("kernel")
@click.option(
    "--backend", required=True, help="numpy, opencl, triton, cuda, hip, musa, or one that another package adds."
)
@click.option("--target", default=None, help="A target profile, such as nvidia-h100; by default the backend's own.")
@click.option("--dtype", default=None, help="By default the first dtype of the kernel.")
@click.option("--ir", "show_ir", is_flag=True, help="Print the tile IR instead.")
def source(kernel: str, backend: str, target: str | None, dtype: str | None, show_ir: bool) -> None:
    """Print what KERNEL, a name of the kernel library, becomes. Needs no device.

    The signature is that of the kernel's first case in the library.
    """
    entries = {entry.name: entry for entry in catalog.all_entries()}
    if kernel not in entries:
        raise click.BadParameter(f"expected one of {', '.join(entries)}, got {kernel!r}", param_hint="KERNEL")
    entry = entries[kernel]
    try:
        chosen = entry.dtypes[0] if dtype is None else as_dtype(dtype)
        problem = make_problem(entry, entry.cases[0], chosen.name)
        launchable: Any = entry.kernel
        specs = arguments(entry, problem)
        if show_ir:
            click.echo(launchable.ir(*specs, **problem.constants))
        else:
            click.echo(launchable.source(*specs, backend=backend, target=target, **problem.constants))
    except PortkernelError as error:
        raise click.ClickException(str(error)) from error
