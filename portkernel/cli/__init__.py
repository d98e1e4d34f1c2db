"""The command line: ``portkernel bench | coverage | doctor | source | targets | tune | cache``."""

from __future__ import annotations

import click

from .bench import bench
from .cache import cache
from .coverage import coverage
from .doctor import doctor
from .source import source
from .targets import targets
from .tune import tune


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="portkernel")
def portkernel() -> None:
    """Write a kernel once; run it as CUDA C++, OpenCL C or Triton, with NumPy as the reference."""


for _command in (bench, coverage, doctor, source, targets, tune, cache):
    portkernel.add_command(_command)
