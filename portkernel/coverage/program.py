"""``portkernel coverage --model``: which operators a program calls, on what, and which of the calls run on our kernels.

The program is run once, on inputs of its own shapes. Every call is computed by our kernels on this machine's route and
compared with the framework that the program comes from; for other backends the text of its kernels is emitted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from .. import backends as known
from .. import targets
from ..errors import ArgumentError, PortkernelError
from ..integrations.observed import Observed
from ..runtime.observation import Described
from .outputs.words import plain_table
from .states import State


@dataclass(slots=True)
class Call:
    """Calls of one operator on arguments of the same shapes and dtypes."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    how: str
    count: int = 0
    flops: int = 0
    states: dict[str, tuple[State, str]] = field(default_factory=dict)
    """State and reason on each backend."""

    @property
    def computes(self) -> bool:
        """False for views and control flow, which launch nothing themselves."""
        return self.how in ("kernels", "uncovered")


@dataclass(frozen=True, slots=True)
class Program:
    """A program's distinct calls, in the order of their first appearance; ``peer`` is what results were compared with."""

    name: str
    peer: str
    calls: tuple[Call, ...]

    def backends(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(b for c in self.calls for b in c.states))

    def share(self, backend: str) -> tuple[int, int, int, int]:
        """Calls covered and in all, FLOPs covered and in all, of those that compute."""
        mine = [c for c in self.calls if c.computes]
        good = [c for c in mine if _good(c.states.get(backend))]
        return (
            sum(c.count for c in good),
            sum(c.count for c in mine),
            sum(c.flops for c in good),
            sum(c.flops for c in mine),
        )


def _good(found: tuple[State, str] | None) -> bool:
    return found is not None and (found[0].covered or found[0] is State.EMITTED)


def examine(name: str, dims: Mapping[str, int], backends: Sequence[str] = (), target: str | None = None) -> Program:
    """The calls of an ONNX file (``.onnx``), a ``torch.export`` program (``.pt2``), or ``package.module:factory``.

    ``dims`` gives sizes to the named dimensions of a model that leaves them open. ``backends`` are those whose text is
    emitted: without them all but the reference, or the ones that lead to the profile ``target``. Raises ArgumentError for
    what is no program, MissingDependencyError where the package that reads it is absent, UnknownBackendError,
    UnknownTargetError. What a name names is imported and executed.
    """
    for backend in backends:
        known.find(backend)
    routes = [b for b in known.names() if b != "numpy"] if target is None else routes_to(target)
    backends = backends or routes
    source, peer = _source(name, dims)
    everything = list(source)
    route = next((seen.route for seen in everything if seen.route), "here")
    calls: dict[tuple[object, ...], Call] = {}
    emitted: dict[tuple[object, ...], str] = {}
    for seen in everything:
        key = (seen.operator, seen.inputs, seen.outputs, seen.how)
        call = calls.get(key)
        if call is None:
            call = calls[key] = Call(seen.operator, seen.inputs, seen.outputs, seen.how)
            if call.computes:
                call.states[route] = (State(seen.state), seen.detail)
                others = [b for b in backends if target is not None or b != route]
                call.states.update(_states(seen, others, target, emitted))
        elif call.computes and seen.state == State.WRONG.value:
            call.states[route] = (State.WRONG, seen.detail)
        call.count += 1
        call.flops += seen.flops
    return Program(name, peer, tuple(calls.values()))


def routes_to(target: str) -> tuple[str, ...]:
    """The backends whose text could reach a device of the profile ``target``."""
    profile = targets.chip(targets.record(target))
    return tuple(dict.fromkeys(r.backend for r in profile.routes if r.backend and r.is_open))


def _source(name: str, dims: Mapping[str, int]) -> tuple[Iterable[Observed], str]:
    """The calls of a program as they happen, and what they are compared with."""
    suffix = Path(name).suffix
    if suffix == ".onnx":
        reader, peer = import_module("portkernel.integrations.onnx.observe"), "onnxruntime or onnx.reference"
    elif suffix == ".pt2" or ":" in name:
        reader, peer = import_module("portkernel.integrations.torch.observe"), "PyTorch"
    else:
        raise ArgumentError(
            f"coverage: --model: expected a .onnx or .pt2 file, or package.module:factory, got {name!r}"
        )
    if ":" not in name and not Path(name).is_file():
        raise ArgumentError(f"coverage: --model: expected a file that exists, got {name!r}")
    observe: Callable[[str, Mapping[str, int]], Iterable[Observed]] = reader.observe
    return observe(name, dims), peer


def _states(
    seen: Observed, backends: Sequence[str], target: str | None, emitted: dict[tuple[object, ...], str]
) -> dict[str, tuple[State, str]]:
    found: dict[str, tuple[State, str]] = {}
    for backend in backends:
        column = backend if target is None else f"{backend} to {target}"
        if not seen.launches:
            found[column] = (State.UNSUPPORTED if seen.how == "uncovered" else State.UNTESTED, seen.detail)
            continue
        problems = [_emission(launch, backend, target, emitted) for launch in seen.launches]
        problem = next((p for p in problems if p), "")
        found[column] = (State.UNSUPPORTED, problem) if problem else (State.EMITTED, "")
    return found


def _emission(launch: Described, backend: str, target: str | None, emitted: dict[tuple[object, ...], str]) -> str:
    """Why the text of a launch cannot be written for ``backend``; nothing if it can."""
    shapes = tuple(
        (tuple(a.shape), str(a.dtype), tuple(getattr(a, "strides", ()) if not callable(getattr(a, "stride", None)) else a.stride()))
        if hasattr(a, "shape") and hasattr(a, "dtype") else type(a)
        for a in launch.args
    )  # fmt: skip
    key = (id(launch.kernel), shapes, repr(sorted(launch.constants.items(), key=lambda i: i[0])), backend, target)
    if key not in emitted:
        try:
            launch.kernel.source(*launch.args, **launch.constants, backend=backend, target=target)
            emitted[key] = ""
        except PortkernelError as error:
            emitted[key] = f"{launch.kernel.name}: {error.message}"
    return emitted[key]


# --- what to do, and renderings -----------------------------------------------------------------------------


def advice(call: Call) -> str:
    """What to do about a call that is not covered somewhere."""
    for backend, (state, reason) in call.states.items():
        match state:
            case State.WRONG:
                return f"report it: on {backend} {reason}"
            case State.UNSUPPORTED if call.how == "uncovered":
                return f"{reason}; write it as a kernel and register it, or leave it to the framework (fallback)"
            case State.UNSUPPORTED:
                return f"on {backend}: {reason}"
            case State.FALLBACK:
                return f"on {backend} something else computes it: {reason}"
            case _:
                pass
    return ""


def as_json(program: Program) -> str:
    whole = {
        "program": program.name,
        "compared_with": program.peer,
        "shares": {b: dict(zip(_SHARES, program.share(b), strict=True)) for b in program.backends()},
        "calls": [
            {
                "operator": c.operator, "inputs": list(c.inputs), "outputs": list(c.outputs), "how": c.how,
                "count": c.count, "flops": c.flops, "advice": advice(c),
                "states": {b: {"state": s.value, "detail": d} for b, (s, d) in c.states.items()},
            }
            for c in program.calls
        ],
    }  # fmt: skip
    return json.dumps(whole, indent=1) + "\n"


_SHARES = ("calls_covered", "calls", "flops_covered", "flops")


def as_text(program: Program) -> str:
    """A row for each distinct call, then a line for each backend with its denominators."""
    backends = program.backends()
    total = max(1, sum(c.flops for c in program.calls if c.computes))
    calls = max(1, sum(c.count for c in program.calls if c.computes))
    rows = [("operator", "inputs", "calls", "% calls", "% FLOP", *backends)]
    for c in sorted((c for c in program.calls if c.computes), key=lambda c: -c.flops):
        states = [c.states[b][0].value if b in c.states else "—" for b in backends]
        rows.append((c.operator, " ".join(c.inputs), str(c.count), f"{100 * c.count / calls:.1f}", f"{100 * c.flops / total:.1f}", *states))  # fmt: skip
    lines = [program.name, "", plain_table(rows, 60), ""]
    views = sum(c.count for c in program.calls if not c.computes)
    lines.append(f"{views} more calls are views, shapes and control flow, which compute nothing.")
    for b in backends:
        covered, all_calls, flops, all_flops = program.share(b)
        percent = 100 * flops / all_flops if all_flops else 100.0
        lines.append(f"{b}: {covered} of {all_calls} calls that compute, {percent:.1f} % of {all_flops:.3g} FLOP.")
    todo = dict.fromkeys(f"{c.operator}: {advice(c)}" for c in program.calls if c.computes and advice(c))
    if todo:
        lines += ["", "What is not covered:", *(f"* {t}" for t in todo)]
    lines += [
        "",
        f"native: ran on our kernels here, and agrees with {program.peer}. emitted: the text of all its kernels was "
        "written; nothing was compiled or run.",
    ]
    return "\n".join(lines) + "\n"
