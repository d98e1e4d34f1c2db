"""Random kernels on a backend against NumPy: ``python -m portkernel.testing.fuzz --examples 500 --backend opencl``."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from .. import config
from ..runtime import kernel_from_source
from .case import Launch
from .programs import Program, programs
from .suite import Launcher, launcher, run

TRIPS = 3


def check(program: Program, launch: Launcher) -> str:
    """What ``launch`` gets wrong of ``program``, the NumPy backend being right; empty if nothing."""
    kernel = kernel_from_source(program.text)
    want = program.arguments()
    kernel[program.grid](**want, n=TRIPS, backend="numpy")
    args = program.arguments()
    outputs = {name: np.asarray(want[name]) for name, _, _ in program.outputs}
    wrong = run(Launch(kernel, {**args, "n": TRIPS}, outputs, program.grid), launch)
    return f"{wrong}\n{program.text}" if wrong else ""


def property_of(launch: Launcher, examples: int, statements: int = 8, seed: int | None = None) -> Callable[[], None]:
    """A hypothesis test of ``examples`` random kernels; the same ones at every run unless ``seed`` says otherwise."""
    import hypothesis

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=seed is None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(programs(statements))
    def holds(program: Program) -> None:
        wrong = check(program, launch)
        assert not wrong, wrong

    return hypothesis.seed(seed)(holds) if seed is not None else holds


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m portkernel.testing.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="how many kernels")
    parser.add_argument("--backend", default="opencl", help="numpy, eager, opencl, triton or cuda")
    parser.add_argument("--device", help="as for a launch")
    parser.add_argument("--schedule", choices=("cpu", "gpu"), help="schedule of the OpenCL backend")
    parser.add_argument("--statements", type=int, default=8, help="statements in a kernel, at most")
    parser.add_argument("--seed", type=int, help="other kernels than the usual ones")
    given = parser.parse_args(arguments)
    with config.override(opencl_schedule=given.schedule):
        property_of(launcher(given.backend, given.device), given.examples, given.statements, given.seed)()
    print(f"{given.examples} random kernels agree with NumPy on {given.backend}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
