"""``max_pool``, ``avg_pool``, their adaptive forms and the gradients of all four, in one to three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import portkernel as pk
from portkernel.errors import ArgumentError, ArgumentShapeError

from .. import arrays, reduce
from ..conv import geometry
from ..conv.geometry import Triple
from ..conv.views import Array, allocate, channels_first, channels_last, check_shape, spatial
from . import kernels

FLOATS = (pk.float32, pk.float64, pk.float16, pk.bfloat16)
INTEGERS = (pk.int8, pk.uint8, pk.int16, pk.int32, pk.int64)


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows along three spatial axes: those of the user, or such that divide the array if ``adaptive``.

    ``kernel`` is then the longest window. ``most`` is how many windows can hold one element.
    """

    kernel: Triple
    stride: Triple
    dilation: Triple
    front: Triple
    behind: Triple
    most: Triple
    size: Triple
    adaptive: bool = False

    def whole(self, image: Sequence[int]) -> bool:
        """Whether there is one window, of exactly the elements of ``image``: a plain reduction, which reads once."""
        return (
            self.size == (1, 1, 1)
            and self.front == self.behind == (0, 0, 0)
            and self.dilation == (1, 1, 1)
            and self.kernel == (*(1,) * (3 - len(image)), *image)
        )

    def constants(self, *names: str) -> dict[str, Any]:
        """Those of the kernels' constants that are asked for."""
        given = {
            "KERNEL": self.kernel,
            "STRIDE": self.stride,
            "DILATION": self.dilation,
            "FRONT": self.front,
            "BEHIND": self.behind,
            "WINDOWS": self.most,
        }
        return {"ADAPTIVE": self.adaptive} | {name: given[name] for name in names}


def _rank(where: str, shape: Sequence[int]) -> int:
    if not 3 <= len(shape) <= 5:
        raise ArgumentShapeError(f"{where}: expected an array of 3 to 5 axes, got shape {tuple(shape)}")
    if 0 in shape[1:]:
        raise ArgumentShapeError(f"{where}: expected channels and pixels, got shape {tuple(shape)}")
    return len(shape) - 2


def fixed(
    where: str, image: Sequence[int], kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Windows:
    """The windows for images of spatial shape ``image``, by PyTorch's rules."""
    rank = len(image)
    kernel = geometry.numbers(where, "kernel_size", kernel_size, rank, 1, 1)
    steps = kernel if stride is None else geometry.numbers(where, "stride", stride, rank, 1, 1)
    spread = geometry.numbers(where, "dilation", dilation, rank, 1, 1)
    pads = geometry.paddings(where, padding, kernel, steps, spread, rank)
    reach = tuple(d * (k - 1) + 1 for d, k in zip(spread, kernel, strict=True))
    if any(2 * max(p) > r for p, r in zip(pads, reach, strict=True)):
        raise ArgumentError(f"{where}: padding: expected at most half of the kernel, got {padding!r}")
    size = []
    for n, r, s, (before, after) in zip((*(1,) * (3 - rank), *image), reach, steps, pads, strict=True):
        room = n + before + after - r
        if room < 0:
            raise ArgumentShapeError(
                f"{where}: x: expected at least {r} elements along each padded axis, got {n + before + after}"
            )
        found = (-(-room // s) if ceil_mode else room // s) + 1
        size.append(found - (ceil_mode and (found - 1) * s >= n + before))  # a window begins inside, or in front
    most = tuple(-(-r // s) for r, s in zip(reach, steps, strict=True))
    front, behind = (tuple(p[i] for p in pads) for i in (0, 1))
    return Windows(kernel, steps, spread, front, behind, most, tuple(size))  # type: ignore[arg-type]


@lru_cache(maxsize=256)
def _longest(n: int, shares: int) -> int:
    """The longest of the overlapping shares of ``n`` elements; the most windows that hold one, the other way round."""
    whole, rest = divmod(
        n, shares
    )  # ⌈(i + 1)·rest / shares⌉ − ⌊i·rest / shares⌋ is 1, or 2 where it straddles a whole one
    return whole + (0 if not rest else 2 if shares % rest else 1)


def dividing(where: str, image: Sequence[int], output_size: Any) -> Windows:
    """Adaptive windows; an output size of None is the input's."""
    rank = len(image)
    given = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * rank
    if len(given) != rank:
        raise ArgumentError(f"{where}: output_size: expected an integer, or {rank} of them, got {output_size!r}")
    wanted = tuple(n if o is None else o for n, o in zip(image, given, strict=True))
    size = geometry.numbers(where, "output_size", wanted, rank, 1, 1)
    full: tuple[int, ...] = (*(1,) * (3 - rank), *image)
    kernel = tuple(_longest(n, o) for n, o in zip(full, size, strict=True))
    most = tuple(_longest(o, n) for n, o in zip(full, size, strict=True))
    one, none = (1, 1, 1), (0, 0, 0)
    return Windows(kernel, one, one, none, none, most, size, adaptive=True)  # type: ignore[arg-type]


def grid_of(out: Array) -> Any:
    """The grid of every pooling kernel for the array ``(N, C, D, H, W)`` that it writes."""
    pixels, channels = out.shape[0] * prod(out.shape[2:]), out.shape[1]
    return lambda meta: (pk.cdiv(pixels, meta["BN"]) * pk.cdiv(channels, meta["BM"]),)


def _result(where: str, x: Array, shape: tuple[int, ...], dtypes: Sequence[pk.DType], last: bool, out: Array | None) -> Array:  # fmt: skip
    """``out`` as ``(N, C, …)``, checked, or a new array in the layout of x ``(N, C, …)``."""
    if out is None:
        return allocate(x, shape[1], shape[2:], dtypes[0])
    out = arrays.result(where, out, x, (shape[0], *shape[2:], shape[1]) if last else shape, dtypes)
    return channels_first(out) if last else out


# --- forward ------------------------------------------------------------------------------------------------


def _max(
    where: str, x: Array, windows: Windows, return_indices: bool, last: bool, out: Array | None, route: dict[str, Any]
) -> Any:
    dtype = arrays.dtype_of(f"{where}: x", x)
    rank = len(x.shape) - 2
    shape = (x.shape[0], x.shape[1], *windows.size[3 - rank :])
    out = _result(where, x, shape, (dtype,), last, out)
    indices = allocate(x, x.shape[1], shape[2:], pk.int64) if return_indices else None
    deep = spatial(out, rank)
    if 0 not in shape and not return_indices and windows.whole(x.shape[2:]):
        reduce.max(x, tuple(range(2, rank + 2)), out, True, **route)
    elif 0 not in shape:
        kernels.max_pool[grid_of(deep)](
            spatial(x, rank),
            deep,
            spatial(x if indices is None else indices, rank),
            **windows.constants("KERNEL", "STRIDE", "DILATION", "FRONT"),
            INDICES=return_indices,
            **route,
        )
    found = [channels_last(a) if last and a is not None else a for a in (out, indices)]
    return tuple(found) if return_indices else found[0]


def max_pool(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False, *, channels_last: bool = False, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Any:  # fmt: skip
    """The largest element of each window, as ``torch.nn.functional.max_pool1d`` to ``3d``; exact.

    x is ``(N, C, …)`` with one to three spatial axes, or ``(N, …, C)`` with ``channels_last``; any strides, any float or
    signed integer dtype, uint8. Numbers are one for all axes or one for each; ``stride`` is ``kernel_size`` by default;
    ``padding`` also takes pairs (before, after), each at most half of the kernel. NaN wins. With ``return_indices``
    also where the elements are, int64, counted row-major over the spatial axes: the first of equals, or of NaNs.
    """
    x_first, where = _image("max_pool()", x, (*FLOATS, *INTEGERS), channels_last)
    windows = fixed(where, x_first.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    return _max(where, x_first, windows, return_indices, channels_last, out, {"backend": backend, "device": device})


def adaptive_max_pool(
    x: Array, output_size: Any, return_indices: bool = False, *, channels_last: bool = False, out: Array | None = None,
    backend: str | None = None, device: str | None = None,
) -> Any:  # fmt: skip
    """The largest elements of ``output_size`` windows that divide x, as ``torch.nn.functional.adaptive_max_pool1d`` to ``3d``.

    Window o of O along an axis of n goes from floor(o·n / O) to ceil((o + 1)·n / O). Else as :func:`max_pool`.
    """
    x_first, where = _image("adaptive_max_pool()", x, (*FLOATS, *INTEGERS), channels_last)
    windows = dividing(where, x_first.shape[2:], output_size)
    return _max(where, x_first, windows, return_indices, channels_last, out, {"backend": backend, "device": device})


def _image(where: str, x: Array, dtypes: Sequence[pk.DType], last: bool) -> tuple[Array, str]:
    """``x`` as ``(N, C, …)``, checked."""
    arrays.dtype_of(f"{where}: x", x, dtypes)
    x = channels_first(x) if last and 3 <= len(x.shape) <= 5 else x
    _rank(f"{where}: x", x.shape)
    return x, where


def _divisor(where: str, value: int | None) -> int:
    """0 stands for none."""
    if value is not None and (not isinstance(value, int) or value == 0):
        raise ArgumentError(f"{where}: divisor_override: expected an integer other than 0, got {value!r}")
    return value or 0


def _mean(where: str, x: Array, windows: Windows, padded: bool, divisor: int, last: bool, out: Array | None, route: dict[str, Any]) -> Array:  # fmt: skip
    dtype = arrays.dtype_of(f"{where}: x", x)
    rank = len(x.shape) - 2
    shape = (x.shape[0], x.shape[1], *windows.size[3 - rank :])
    out = _result(where, x, shape, (dtype, kernels.working(dtype)), last, out)
    deep = spatial(out, rank)
    if 0 not in shape and not divisor and windows.whole(x.shape[2:]):
        reduce.mean(x, tuple(range(2, rank + 2)), arrays.dtype_of(where, out), out, True, **route)
    elif 0 not in shape:
        kernels.avg_pool[grid_of(deep)](
            spatial(x, rank),
            deep,
            divisor,
            **windows.constants("KERNEL", "STRIDE", "FRONT", "BEHIND"),
            PADDED=padded,
            **route,
        )
    return channels_last(out) if last else out


def avg_pool(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None, *, channels_last: bool = False,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The mean of each window, as ``torch.nn.functional.avg_pool1d`` to ``3d``.

    Shapes, strides and numbers as :func:`max_pool`; float64, float32, float16, bfloat16. The padding counts as zeros
    unless ``count_include_pad`` is false; ``divisor_override`` divides instead of the count. Accumulates in float64 for
    float64, float32 else. Error: γ(K + 4)·(mean of |x|), K elements, then one rounding.
    """
    x_first, where = _image("avg_pool()", x, FLOATS, channels_last)
    windows = fixed(where, x_first.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    divisor, route = _divisor(where, divisor_override), {"backend": backend, "device": device}
    return _mean(where, x_first, windows, bool(count_include_pad), divisor, channels_last, out, route)


def adaptive_avg_pool(
    x: Array, output_size: Any, *, channels_last: bool = False, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """The means of ``output_size`` windows that divide x, as ``torch.nn.functional.adaptive_avg_pool1d`` to ``3d``.

    Windows as :func:`adaptive_max_pool`, else as :func:`avg_pool`.
    """
    x_first, where = _image("adaptive_avg_pool()", x, FLOATS, channels_last)
    windows = dividing(where, x_first.shape[2:], output_size)
    return _mean(where, x_first, windows, False, 0, channels_last, out, {"backend": backend, "device": device})


# --- gradients ----------------------------------------------------------------------------------------------


def _target(where: str, input_size: Sequence[int], grad_output: Array) -> tuple[tuple[int, ...], pk.DType]:
    """The shape of the input and the dtype of its gradient."""
    dtype = arrays.dtype_of(f"{where}: grad_output", grad_output, FLOATS)
    shape = arrays.integers(f"{where}: input_size", input_size)
    _rank(f"{where}: input_size", shape)
    return shape, dtype


def _max_back(
    where: str, shape: tuple[int, ...], grad: Array, indices: Array, windows: Windows, out: Array | None, route: dict[str, Any]
) -> Array:  # fmt: skip
    dtype, rank = arrays.dtype_of(where, grad), len(shape) - 2
    pooled = (*shape[:2], *windows.size[3 - rank :])
    check_shape(f"{where}: grad_output", grad, pooled)
    arrays.dtype_of(f"{where}: indices", indices, (pk.int64, pk.int32))
    check_shape(f"{where}: indices", indices, pooled)
    out = _result(where, grad, shape, (dtype, kernels.working(dtype)), False, out)
    if 0 not in shape:
        kernels.max_pool_gradient[grid_of(spatial(out, rank))](
            spatial(grad, rank),
            spatial(indices, rank),
            spatial(out, rank),
            **windows.constants("WINDOWS", "STRIDE", "FRONT"),
            **route,
        )
    return out


def max_pool_input(
    input_size: Sequence[int], grad_output: Array, indices: Array, kernel_size: Any, stride: Any = None,
    padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, *, out: Array | None = None,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient of :func:`max_pool` for its input of shape ``input_size``; ``indices`` are those it returned.

    Always summed in the same order: no atomics. Accumulates in float64 for float64, float32 else. Error: γ(K)·(sum of
    |grad_output|), K windows that hold an element, then one rounding.
    """
    where = "max_pool_input()"
    shape, _ = _target(where, input_size, grad_output)
    windows = fixed(where, shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    return _max_back(where, shape, grad_output, indices, windows, out, {"backend": backend, "device": device})


def adaptive_max_pool_input(
    input_size: Sequence[int], grad_output: Array, indices: Array, *, out: Array | None = None,
    backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient of :func:`adaptive_max_pool`; else as :func:`max_pool_input`."""
    where = "adaptive_max_pool_input()"
    shape, _ = _target(where, input_size, grad_output)
    windows = dividing(where, shape[2:], tuple(grad_output.shape[2:]))
    return _max_back(where, shape, grad_output, indices, windows, out, {"backend": backend, "device": device})


def _mean_back(
    where: str, shape: tuple[int, ...], grad: Array, windows: Windows, padded: bool, divisor: int, out: Array | None,
    route: dict[str, Any],
) -> Array:  # fmt: skip
    dtype, rank = arrays.dtype_of(where, grad), len(shape) - 2
    check_shape(f"{where}: grad_output", grad, (*shape[:2], *windows.size[3 - rank :]))
    out = _result(where, grad, shape, (dtype, kernels.working(dtype)), False, out)
    if 0 not in shape:
        kernels.avg_pool_gradient[grid_of(spatial(out, rank))](
            spatial(grad, rank),
            spatial(out, rank),
            divisor,
            **windows.constants("WINDOWS", "KERNEL", "STRIDE", "FRONT", "BEHIND"),
            PADDED=padded,
            **route,
        )
    return out


def avg_pool_input(
    input_size: Sequence[int], grad_output: Array, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None, *,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient of :func:`avg_pool` for its input of shape ``input_size``.

    Always summed in the same order: no atomics. Accumulates in float64 for float64, float32 else. Error: γ(K + 4)·(sum
    of |grad_output| / divisor), K windows that hold an element, then one rounding.
    """
    where = "avg_pool_input()"
    shape, _ = _target(where, input_size, grad_output)
    windows = fixed(where, shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    divisor, route = _divisor(where, divisor_override), {"backend": backend, "device": device}
    return _mean_back(where, shape, grad_output, windows, bool(count_include_pad), divisor, out, route)


def adaptive_avg_pool_input(
    input_size: Sequence[int], grad_output: Array, *, out: Array | None = None, backend: str | None = None,
    device: str | None = None,
) -> Array:  # fmt: skip
    """The gradient of :func:`adaptive_avg_pool`; else as :func:`avg_pool_input`."""
    where = "adaptive_avg_pool_input()"
    shape, _ = _target(where, input_size, grad_output)
    windows = dividing(where, shape[2:], tuple(grad_output.shape[2:]))
    return _mean_back(where, shape, grad_output, windows, False, 0, out, {"backend": backend, "device": device})
