"""The command line: ``portkernel bench | coverage | doctor | source | targets | tune | cache``."""

from __future__ import annotations

from typing import Any

import click

from .bench import bench
from .cache import cache
from .coverage import coverage
from .doctor import doctor
from .source import source
from .targets import targets
from .tune import tune


class _Commands(click.Group):
    def invoke(self, context: click.Context) -> Any:
        """A file that cannot be read or written is the user's to mend, and no defect."""
        try:
            return super().invoke(context)
        except OSError as error:
            if error.filename is None:
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror or error}") from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="portkernel")
def portkernel() -> None:
    """Write a kernel once; run it as CUDA C++, OpenCL C or Triton, with NumPy as the reference."""


for _command in (bench, coverage, doctor, source, targets, tune, cache):
    portkernel.add_command(_command)
