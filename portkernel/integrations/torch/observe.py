"""The calls of a PyTorch program as ``portkernel coverage --model`` wants them: each ATen node run, compared, described."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch._ops import OpOverload
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import flop_registry

import portkernel as pk
from portkernel.runtime.observation import probing

from ..observed import Launch, Observed, State, noted
from .aten import kind_of, why_not
from .mode import dispatch

_TOLERANCE = {torch.float16: 1e-2, torch.bfloat16: 5e-2, torch.float32: 1e-3, torch.float64: 1e-6}


def observe(name: str, dims: Mapping[str, int]) -> Iterator[Observed]:
    """Every ATen node of a program, decomposed to PyTorch's core operators, on its example inputs.

    ``name`` is a ``.pt2`` file or ``package.module:factory``; the factory gives a module and a tuple of its inputs, or a
    module that has them as ``dummy_inputs`` or ``example_inputs``. ``dims`` is for models of other formats.
    """
    program, inputs, given = _program(name)
    watcher = _Watcher(program.module())
    with torch.no_grad():
        watcher.run(*tree_flatten((inputs, given))[0], enable_io_processing=False)
    yield from watcher.seen


def _program(name: str) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    if Path(name).suffix == ".pt2":
        program = torch.export.load(name)
        if program.example_inputs is None:
            raise pk.errors.ArgumentError(f"coverage: --model: expected example inputs in {name!r}, got none")
        args, kwargs = program.example_inputs
        return program.run_decompositions(), tuple(args), dict(kwargs)
    module, args, kwargs = _made(name)
    return torch.export.export(module.eval(), args, kwargs).run_decompositions(), args, kwargs


def _made(name: str) -> tuple[torch.nn.Module, tuple[Any, ...], dict[str, Any]]:
    """What the factory gives: the module, and inputs by position and by name."""
    where, _, attribute = name.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    found = getattr(import_module(where), attribute)()
    module, inputs = found if isinstance(found, tuple) else (found, None)
    if inputs is None:
        inputs = getattr(module, "example_inputs", None) or getattr(module, "dummy_inputs", None)
    if not isinstance(module, torch.nn.Module) or inputs is None:
        raise pk.errors.ArgumentError(
            f"coverage: --model: expected {name} to give a torch.nn.Module and its inputs, got {type(found).__name__}",
            hint="return (module, (input, …)) from the factory",
        )
    if isinstance(inputs, dict):
        return module, (), dict(inputs)
    return module, tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,), {}


class _Watcher(torch.fx.Interpreter):
    """Runs each node in PyTorch, whose results go on, and on our operators, which are compared."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: list[Observed] = []

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        wanted = super().call_function(target, args, kwargs)
        if isinstance(target, OpOverload):
            self._observe(target, args, kwargs, wanted)
        return wanted

    def _observe(self, target: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], wanted: Any) -> None:
        name, inputs, outputs = str(target), described((args, kwargs)), described(wanted)
        flops = operations(target, args, kwargs, wanted)
        if kind_of(target) != "compute":
            self.seen.append(Observed(name, inputs, outputs, "view", "untested", "", 0))
            return
        before = pk.stats().launches
        state, detail = _judge(target, args, kwargs, wanted)
        reason = why_not(target, args, kwargs)
        if reason and state == "wrong":  # a call without an operator may still be one of others
            self.seen.append(Observed(name, inputs, outputs, "uncovered", "unsupported", reason, flops))
            return
        route = next((b for (k, b), n in pk.stats().launches.items() if n > before.get((k, b), 0)), "")
        recorded: list[Launch] = []
        try:
            with probing(noted(recorded)), dispatch(strict=True):
                target(*args, **kwargs)
        except (pk.PortkernelError, RuntimeError):  # what is not computed may not serve as a number
            pass
        self.seen.append(Observed(name, inputs, outputs, "kernels", state, detail, flops, route, tuple(recorded)))


def _judge(target: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], wanted: Any) -> tuple[State, str]:
    try:
        with dispatch(strict=True):
            got = target(*args, **kwargs)
    except pk.PortkernelError as error:
        return "wrong", error.message
    pairs = zip(tree_flatten(got)[0], tree_flatten(wanted)[0], strict=True)
    tensors = [(g, w) for g, w in pairs if isinstance(w, torch.Tensor)]
    return ("native", "") if all(_agree(g, w) for g, w in tensors) else ("wrong", "the result differs from PyTorch's")


def _agree(got: torch.Tensor, want: torch.Tensor) -> bool:
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if not want.dtype.is_floating_point:
        return bool((got == want).all())
    tolerance = _TOLERANCE.get(want.dtype, 1e-3)
    finite = want[torch.isfinite(want)].abs().double()
    scale = float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(
        got.double(), want.double(), rtol=tolerance, atol=tolerance * max(scale, 1e-30), equal_nan=True
    )


def described(tree: Any) -> tuple[str, ...]:
    """The tensors of some arguments: ``float32[2, 3]``."""
    return tuple(
        f"{str(x.dtype).removeprefix('torch.')}[{', '.join(map(str, x.shape))}]"
        for x in tree_flatten(tree)[0]
        if isinstance(x, torch.Tensor)
    )


def operations(target: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], wanted: Any) -> int:
    """PyTorch's own formula where it has one, else one operation for each element."""
    formula = flop_registry.get(target.overloadpacket)
    if formula is not None:
        return int(formula(*args, **kwargs, out_val=wanted))
    sizes = [x.numel() for x in tree_flatten((args, kwargs, wanted))[0] if isinstance(x, torch.Tensor)]
    return max(sizes, default=0)
