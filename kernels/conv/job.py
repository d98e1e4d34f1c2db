"""A convolution with all its arrays at hand: the kernel chosen and launched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import portkernel as pk
from portkernel.dtypes import dot_accumulator

from .. import arrays
from ..axes import contiguous
from .channelwise import MOST_TAPS, launch_channels
from .dense import conv, conv_pointwise
from .depthwise import conv_depthwise
from .geometry import Triple
from .sizes import product_tiles, whole_tiles
from .split import launch_phases, split
from .views import Array
from .windows import arranged, launch_windows, padded

_ROWS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
_FLAT = 128
"""Pixels of an image below which tiles take pixels of several images."""
_SLACK = 4096
"""Positions that a tile of one channel may take past its last."""
_ONE: Triple = (1, 1, 1)
Activation = str | Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A convolution ready to launch: arrays with three spatial axes.

    ``front`` is the padding before each axis; as it and ``dilation`` may be negative, this is also what a transposed
    convolution does to the outputs of one phase. ``weight`` is ``(C, O / groups, …)`` if ``transposed``.
    """

    x: Array
    weight: Array
    out: Array
    front: Triple
    stride: Triple
    dilation: Triple
    groups: int
    transposed: bool
    bias: Array | None
    residual: Array | None
    activation: Activation
    route: dict[str, str | None]

    def launch(self) -> None:
        """Nothing is launched for an empty result."""
        if 0 in self.out.shape:
            return
        if self._depthwise():
            if not self._launch_channels():
                self._launch_depthwise()
        elif not (self._launch_pointwise() or self._launch_windows() or self._launch_phases()):
            self._launch_dense()

    def _target(self) -> pk.targets.Target:
        return pk.target_of(self.x, **self.route)

    def _on_cpu(self) -> bool:
        """Whether a program is one thread, with caches of its own and vectors that like neighbours in memory."""
        if 0 in self.x.shape:
            return False
        target = self._target()
        return target.schedule == "cpu" and not target.has("whole_grid")

    def _epilogue(self) -> dict[str, Any]:
        return {
            "BIAS": self.bias is not None,
            "RESIDUAL": self.residual is not None,
            "ACTIVATION": self.activation,
            **self.route,
        }

    def _arrays(self) -> tuple[Array, Array, Array, Array, Array]:
        """Where there is no bias or residual, x stands in for it, unread."""
        x = self.x
        bias, residual = (x if a is None else a for a in (self.bias, self.residual))
        return x, self.weight, bias, residual, self.out

    def _depthwise(self) -> bool:
        return self.groups == self.x.shape[1] > 0 and self.out.shape[1] < 4 * self.groups

    def _launch_channels(self) -> bool:
        """Each channel from a padded copy, where programs are threads; several outputs of a channel one after the other."""
        kernel: Triple = tuple(self.weight.shape[2:])  # type: ignore[assignment]
        if 0 in kernel or self.stride != _ONE or kernel[2] > MOST_TAPS or not self._on_cpu():
            return False
        at = padded(tuple(self.x.shape), tuple(self.out.shape[2:]), kernel, self.front, self.dilation)
        if at is None:
            return False
        copy = arranged(self.x, at, _SLACK, self.route)
        count = self.out.shape[1] // self.groups
        for m in range(count):
            mine = (slice(None), slice(m, None, count))
            weight = self.weight[mine] if self.transposed else self.weight[mine[1:]]
            found = arrays.merge(2, 5, arrays.view(weight))
            if found is None:
                weight = contiguous(weight, range(5), **self.route)
                found = arrays.merge(2, 5, arrays.view(weight))
            assert found is not None
            launch_channels(
                copy, at, found[0].drop(1).array(), self.out[mine],
                (None if self.bias is None else self.bias[mine[1:]], None if self.residual is None else self.residual[mine]),
                self._target().units, self._epilogue(),
            )  # fmt: skip
        return True

    def _launch_depthwise(self) -> None:
        pixels, channels = self.out.shape[0] * prod(self.out.shape[2:]), self.out.shape[1]
        conv_depthwise[lambda meta: (pk.cdiv(pixels, meta["BN"]) * pk.cdiv(channels, meta["BM"]),)](
            *self._arrays(),
            *self.front,
            STRIDE=self.stride,
            DILATION=self.dilation,
            TRANSPOSED=self.transposed,
            **self._epilogue(),
        )

    def _launch_pointwise(self) -> bool:
        """A plain product, if the kernel is one pixel and the pixels of all arrays form one axis."""
        if tuple(self.weight.shape[2:]) != _ONE or self.stride != _ONE or any(self.front) or self.groups > 1:
            return False
        if tuple(self.x.shape[2:]) != tuple(self.out.shape[2:]):
            return False  # transposed, with a border that no tap reaches
        big = [self.x, self.out] + ([] if self.residual is None else [self.residual])
        found = _pixels(big)
        if found is None:
            return False
        x, out, residual = found[0], found[1], found[-1]
        weight = arrays.view(self.weight).drop(4).drop(3).drop(2)
        if self.transposed:
            weight = weight.swap()
        images, channels, pixels = out.shape
        sides: dict[str, int] = {}
        if self._on_cpu():
            if images > 1 and pixels < _FLAT:
                return False
            sides = product_tiles(channels, x.shape[1], images, pixels, self._accumulator().itemsize, self._target())
        conv_pointwise[lambda meta: (pk.cdiv(pixels, meta["BN"]) * pk.cdiv(channels, meta["BM"]) * images,)](
            x, weight.array(), x if self.bias is None else self.bias, residual if len(found) > 2 else x, out,
            **sides, **self._epilogue(),
        )  # fmt: skip
        return True

    def _accumulator(self) -> pk.DType:
        return dot_accumulator(arrays.dtype_of("x", self.x))

    def _launch_windows(self) -> bool:
        """Tiles of a padded copy, where programs are threads, the taps of neighbours are neighbours and all channels meet."""
        kernel: Triple = tuple(self.weight.shape[2:])  # type: ignore[assignment]
        strided = self.stride != _ONE
        if 0 in kernel or self.groups > 1 or (strided and (kernel != _ONE or any(self.front))) or not self._on_cpu():
            return False
        x, out, residual = self.x, self.out, self.residual
        if strided:
            x = x[(slice(None), slice(None), *(slice(None, None, s) for s in self.stride))]
        if kernel == _ONE and tuple(x.shape[2:]) != tuple(out.shape[2:]):
            return False
        at = padded(tuple(x.shape), tuple(out.shape[2:]), kernel, self.front, self.dilation)
        if at is None:
            return False
        weight = self._filters()
        taps = prod(kernel[1:])
        flat = None
        if kernel == _ONE:
            big = [arrays.view(a) for a in (out, *(() if residual is None else (residual,)))]
            flat = arrays.merge(2, 5, *big)
        used = at
        if flat is not None:
            out, *rest = (v.insert(2).insert(3).array() for v in flat)
            residual = rest[0] if rest else None
            used = replace(at, size=(1, 1, prod(at.size)))
        n, o, *size = out.shape
        sides = whole_tiles(o, x.shape[1], taps, (n, *size), used.size, self._accumulator().itemsize, self._target())
        copy = arranged(x, at, sides.columns, self.route)
        launch_windows(
            copy, used, weight, out, sides, self.transposed and kernel != _ONE, (self.bias, residual), self._epilogue()
        )
        return True

    def _launch_phases(self) -> bool:
        """Tiles of a copy that keeps the phases of the stride apart, where programs are threads and all channels meet."""
        kernel: Triple = tuple(self.weight.shape[2:])  # type: ignore[assignment]
        usual = 0 not in kernel and self.groups == 1 and not self.transposed and min(self.dilation) > 0
        if not usual or self.stride == _ONE or not self._on_cpu():
            return False
        o, c = self.weight.shape[:2]
        n, size = self.x.shape[0], tuple(self.out.shape[2:])
        at = split(tuple(self.x.shape), size, kernel, self.stride, self.front, self.dilation)
        if at is None:
            return False
        taps = prod(at.most[1:])
        sides = whole_tiles(o, c, taps, (n, *size), at.size, self._accumulator().itemsize, self._target())
        launch_phases(
            self.x, at, self.weight, self.out, sides, (self.bias, self.residual), self._epilogue(), self.route
        )
        return True

    def _filters(self) -> Array:
        """weight ``(O, C·taps)``; ``(O, C, KD, KH·KW)`` with more than one plane, and if transposed (O and C exchanged) with
        more than one tap."""
        if tuple(self.weight.shape[2:]) == _ONE:
            flat = arrays.view(self.weight).drop(4).drop(3).drop(2)
            return (flat.swap() if self.transposed else flat).array()
        first = 3 if self.transposed or self.weight.shape[2] > 1 else 1
        found = arrays.merge(first, 5, arrays.view(self.weight))
        if found is None:
            found = arrays.merge(first, 5, arrays.view(contiguous(self.weight, range(5), **self.route)))
        assert found is not None
        return found[0].array()

    def _launch_dense(self) -> None:
        pixels, per_group = self.out.shape[0] * prod(self.out.shape[2:]), self.out.shape[1] // self.groups
        sizes = {} if self.groups == 1 else {"BM": next((r for r in _ROWS if r >= per_group), _ROWS[-1])}
        conv[lambda meta: (pk.cdiv(pixels, meta["BN"]) * pk.cdiv(per_group, meta["BM"]) * self.groups,)](
            *self._arrays(),
            *self.front,
            STRIDE=self.stride,
            DILATION=self.dilation,
            GROUPS=self.groups,
            TRANSPOSED=self.transposed,
            FLAT=self.x.shape[1] // self.groups < 8,
            **sizes,
            **self._epilogue(),
        )


def _pixels(big: Sequence[Array]) -> list[Array] | None:
    """Every array as ``(N, C, P)``; as ``(1, C, N·P)`` where memory allows it; None if not even the first."""
    views = [arrays.view(a) for a in big]
    flat = arrays.merge(1, 5, *(v.permute(1, 0, 2, 3, 4) for v in views))
    if flat is not None:
        return [v.insert(0).array() for v in flat]
    flat = arrays.merge(2, 5, *views)
    if flat is None or prod(big[1].shape[2:]) < 16:
        return None
    return [v.array() for v in flat]
