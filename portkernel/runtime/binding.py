"""Arguments to parameters: what a launch was given, told apart into arrays, scalars, constants and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from inspect import Parameter
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import BY_NAME, DType, Scalar, float64
from ..errors import ArgumentDTypeError, ArgumentError, ArgumentTypeError
from ..ir import Tensor, Tile
from .arguments import ArrayRef, as_array, as_scalar, tensor_type
from .route import route_name
from .specs import Config, Options, TensorSpec, positive

if TYPE_CHECKING:
    from ..frontend import ParamSpec

RESERVED = ("backend", "device", "num_warps", "num_stages")
"""Options of every launch; no parameter of a kernel has such a name."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A launch's arguments by parameter, in the order of the parameters."""

    runtime: dict[str, Any]
    constants: dict[str, object]
    given: frozenset[str]
    """The constants that the caller named, which no configuration changes."""
    backend: str | None
    device: str | None
    options: Options


@dataclass(frozen=True, slots=True)
class Typed:
    """The run-time arguments as the compiler sees them (``types``) and as the launch does."""

    types: dict[str, Tensor | Tile]
    refs: dict[str, ArrayRef]
    values: dict[str, Scalar]
    dims: dict[str, tuple[int, ...]]


def bind(
    kernel: str,
    params: Sequence[ParamSpec],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    configs: Sequence[Config] = (),
) -> Bound:
    """Raises :class:`~portkernel.errors.ArgumentError` for a missing, unknown or doubled argument.

    A constant that every one of ``configs`` names needs no default.
    """
    if len(args) > len(params):
        raise ArgumentError(
            f"{kernel}(): expected at most {len(params)} arguments, got {len(args)}", hint=_shown(kernel, params)
        )
    found: dict[str, Any] = {p.name: a for p, a in zip(params, args, strict=False)}
    options: dict[str, Any] = {}
    known = {p.name for p in params}
    for name, value in kwargs.items():
        if name in RESERVED:
            options[name] = value
        elif name not in known:
            near = get_close_matches(name, [*known, *RESERVED], n=1)
            hint = f"did you mean {near[0]}?" if near else _shown(kernel, params)
            raise ArgumentError(
                f"{kernel}(): {name}: expected a parameter of the kernel, got an unknown name", hint=hint
            )
        elif name in found:
            raise ArgumentError(f"{kernel}(): {name}: expected one value, got two", hint=_shown(kernel, params))
        else:
            found[name] = value
    given = frozenset(found)
    for p in params:
        if p.name not in found:
            values = [dict(c.constants)[p.name] for c in configs if p.name in dict(c.constants)]
            if p.constexpr and values and len(values) == len(configs):
                found[p.name] = values[0]
            elif p.default is not Parameter.empty:
                found[p.name] = p.default
            else:
                raise ArgumentError(f"{kernel}(): {p.name}: expected a value, got none", hint=_shown(kernel, params))
    runtime = {p.name: found[p.name] for p in params if not p.constexpr}
    constants = {p.name: found[p.name] for p in params if p.constexpr}
    return Bound(
        runtime,
        constants,
        given & constants.keys(),
        route_name(f"{kernel}()", "backend", options.get("backend")),
        route_name(f"{kernel}()", "device", options.get("device")),
        Options(_count(kernel, "num_warps", options), _count(kernel, "num_stages", options)),
    )


def _count(kernel: str, option: str, options: Mapping[str, Any]) -> int | None:
    return positive(f"{kernel}(): {option}", options.get(option))


def _shown(kernel: str, params: Sequence[ParamSpec]) -> str:
    shown = [p.name if p.default is Parameter.empty else f"{p.name}={p.default!r}" for p in params]
    return f"the parameters are {kernel}[grid]({', '.join(shown)})"


def type_arguments(kernel: str, runtime: Mapping[str, Any]) -> Typed:
    """The types of arrays and scalars. Raises the ArgumentTypeError, -DTypeError or -ShapeError of what is neither."""
    refs: dict[str, ArrayRef] = {}
    for name, value in runtime.items():
        ref = as_array(value, f"{kernel}(): {name}")
        if ref is not None:
            refs[name] = ref
    double = any(ref.dtype is float64 for ref in refs.values())
    types: dict[str, Tensor | Tile] = {}
    values: dict[str, Scalar] = {}
    for name, value in runtime.items():
        if name in refs:
            types[name] = tensor_type(refs[name])
        else:
            dtype, values[name] = _scalar(f"{kernel}(): {name}", value, double)
            types[name] = Tile((), dtype)
    return Typed(types, refs, values, {name: ref.shape for name, ref in refs.items()})


def _scalar(where: str, value: object, double: bool) -> tuple[DType, Scalar]:
    found = as_scalar(value, double)
    if found is not None:
        return found
    if isinstance(value, int):
        raise ArgumentDTypeError(f"{where}: expected an integer of at most 64 bits, got {value}")
    dtype = getattr(value, "dtype", None)
    if dtype is not None:
        raise ArgumentDTypeError(
            f"{where}: expected a scalar of a kernel dtype, got {dtype}", hint="the dtypes are " + ", ".join(BY_NAME)
        )
    if isinstance(value, (list, tuple, bytearray, memoryview)) or hasattr(value, "buffer_info"):
        hint = "pass numpy.asarray(x)"
    else:
        hint = "pass float(x)" if hasattr(value, "__float__") else "declare it as pk.constexpr[...]"
    raise ArgumentTypeError(f"{where}: expected an array or a scalar, got {type(value).__name__}", hint=hint)


def type_specs(kernel: str, specs: Mapping[str, Any]) -> Typed:
    """As :func:`type_arguments`, where a :class:`TensorSpec` stands for an array and a dtype for a scalar of it."""
    real = {name: s for name, s in specs.items() if not isinstance(s, (TensorSpec, DType))}
    double = any(isinstance(s, TensorSpec) and s.dtype is float64 for s in specs.values())
    typed = type_arguments(kernel, {n: s for n, s in real.items() if not isinstance(s, float)})
    double = double or any(r.dtype is float64 for r in typed.refs.values())
    types: dict[str, Tensor | Tile] = {}
    dims = dict(typed.dims)
    for name, spec in specs.items():
        if isinstance(spec, TensorSpec):
            types[name], dims[name] = spec.type, spec.dims
        elif isinstance(spec, DType):
            types[name] = Tile((), spec)
        elif isinstance(spec, float):
            types[name] = Tile((), _scalar(f"{kernel}(): {name}", spec, double)[0])
        else:
            types[name] = typed.types[name]
    return Typed(types, typed.refs, typed.values, dims)


def constants_key(constants: Mapping[str, object]) -> tuple[object, ...]:
    """A hashable stand-in that tells apart 1, 1.0 and True, and 0.0 and -0.0."""
    return tuple((name, constant_key(value)) for name, value in constants.items())


def constant_key(value: object, outer: tuple[object, ...] = ()) -> object:
    """A hashable stand-in for a compile-time constant, equal for constants that make the same kernel.

    >>> constant_key(1) == constant_key(1.0), constant_key(0.0) == constant_key(-0.0)
    (False, False)

    A function stands for its code and what it closes over, so that one made anew by each call is compiled once; ``outer`` are
    the functions that are being looked at, for those that close over themselves.
    """
    if isinstance(value, float):
        return float, value.hex()
    if isinstance(value, np.generic):
        return type(value), value.tobytes()
    if isinstance(value, (tuple, list)):
        return type(value), tuple(constant_key(v, outer) for v in value)
    if isinstance(value, dict):
        return dict, tuple((constant_key(k, outer), constant_key(v, outer)) for k, v in value.items())
    if isinstance(value, FunctionType):
        return _freeze_function(value, outer)
    if is_dataclass(value) and not isinstance(value, (type, DType)):
        return type(value), tuple(constant_key(getattr(value, f.name), outer) for f in fields(value))
    try:
        hash(value)
    except TypeError:
        return type(value), repr(value)
    return type(value), value


def _freeze_function(fn: FunctionType, outer: tuple[object, ...]) -> object:
    if fn in outer:
        return FunctionType, outer.index(fn)
    inside = (*outer, fn)
    cells: list[object] = []
    for cell in fn.__closure__ or ():
        try:
            cells.append(constant_key(cell.cell_contents, inside))
        except ValueError:  # a variable that is assigned later
            return FunctionType, fn
    defaults = (constant_key(fn.__defaults__, inside), constant_key(fn.__kwdefaults__, inside))
    return FunctionType, fn.__code__, id(fn.__globals__), tuple(cells), defaults
