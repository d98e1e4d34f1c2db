"""Convolutions: the distinct layers of ResNet-50, depthwise, one and three dimensions; their gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

from ..model import Case, Contest, Suite
from .library import Array, bars, normal, operator, peer_module

Which = Literal["forward", "input", "weight"]


@dataclass(frozen=True, slots=True)
class Layer:
    """``image`` is (C, spatial…); the padding keeps the size where the stride is 1."""

    image: tuple[int, ...]
    channels: int
    kernel: tuple[int, ...]
    stride: int = 1
    groups: int = 1

    def __str__(self) -> str:
        image, taps = ("×".join(map(str, t)) for t in (self.image, self.kernel))
        more = (f", stride {self.stride}" if self.stride > 1 else "") + (
            f", {self.groups} groups" if self.groups > 1 else ""
        )
        return f"{image} → {self.channels}, {taps}{more}"


def _square(size: int, inputs: int, outputs: int, k: int, stride: int = 1) -> Layer:
    return Layer((inputs, size, size), outputs, (k, k), stride)


RESNET_50 = (
    _square(224, 3, 64, 7, 2),
    *(_square(56, *t) for t in ((64, 64, 1), (64, 64, 3), (64, 256, 1), (256, 64, 1), (256, 128, 1, 2), (256, 512, 1, 2))),
    *(_square(28, *t) for t in ((128, 128, 3), (128, 512, 1), (512, 128, 1), (512, 256, 1, 2), (512, 1024, 1, 2))),
    *(_square(14, *t) for t in ((256, 256, 3), (256, 1024, 1), (1024, 256, 1), (1024, 512, 1, 2), (1024, 2048, 1, 2))),
    *(_square(7, *t) for t in ((512, 512, 3), (512, 2048, 1), (2048, 512, 1))),
)  # fmt: skip
"""He et al. 2015, with the stride in the first convolution of a block: 20 layers."""
OTHERS = (
    Layer((144, 56, 56), 144, (3, 3), groups=144),
    Layer((384, 14, 14), 384, (3, 3), groups=384),
    Layer((128, 4096), 128, (3,)),
    Layer((64, 8, 28, 28), 64, (3, 3, 3)),
)


def _contest(layer: Layer, batch: int, which: Which, device: str | None) -> Contest:
    rank = len(layer.kernel)
    x = normal((batch, *layer.image))
    weight = normal((layer.channels, layer.image[0] // layer.groups, *layer.kernel))
    padding = tuple(k // 2 for k in layer.kernel)
    pixels = ((n - 1) // layer.stride + 1 for n in layer.image[1:])
    grad = normal((batch, layer.channels, *pixels))
    ours: Array = np.zeros_like({"forward": grad, "input": x, "weight": weight}[which])
    options = (layer.stride, padding, 1, layer.groups)
    name = f"conv{rank}d" + ("" if which == "forward" else f"_{which}")
    function = operator(name)
    route: dict[str, Any] = {"out": ours, "backend": "opencl", "device": device}
    given: dict[str, tuple[Any, ...]] = {
        "forward": (x, weight, None),
        "input": (x.shape, weight, grad),
        "weight": (x, weight.shape, grad),
    }
    run = lambda: function(*given[which], *options, **route)  # noqa: E731
    peers, error = _torch(name, given[which], options, ours)
    used = {"forward": (x, weight), "input": (weight, grad), "weight": (x, grad)}[which]
    flops = 2.0 * grad.size * prod(weight.shape[1:])
    return Contest(run, peers, float(ours.nbytes + sum(a.nbytes for a in used)), flops, error)


def _torch(
    name: str, given: tuple[Any, ...], options: tuple[Any, ...], ours: Array
) -> tuple[dict[str, Callable[[], object]], Callable[[], float] | None]:
    torch = peer_module("torch")
    if torch is None:
        return {}, None
    functions = torch.nn.grad if "_" in name else torch.nn.functional
    theirs, held = getattr(functions, name), {}
    tensors = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in given]

    def run() -> None:
        held["result"] = theirs(*tensors, *options)

    def error() -> float:
        want: Array = held["result"].numpy()
        return float(np.abs(ours - want).max() / max(float(np.abs(want).max()), 1e-30) / 1e-4)

    return {"torch": run}, error


def _case(layer: Layer, batch: int, which: Which, quick: bool = False) -> Case:
    what = "" if which == "forward" else f"gradient for {which}, "
    return Case(f"{what}{batch}×{layer}", lambda device: _contest(layer, batch, which, device), quick)


_QUICK = (RESNET_50[0], RESNET_50[2], RESNET_50[3], RESNET_50[12])
SUITES = (
    Suite(
        "conv", "convolution", "torch", bars(0.7, 0.8),
        (
            *(_case(layer, batch, "forward", batch == 1 and layer in _QUICK) for batch in (1, 8) for layer in RESNET_50),
            *(_case(layer, 1, "forward", layer is OTHERS[0]) for layer in OTHERS),
        ),
    ),
    Suite(
        "conv-gradients", "gradients of convolution", "torch", bars(0.5, 0.6),
        tuple(
            _case(layer, 1, which, layer is RESNET_50[2])
            for layer in (*RESNET_50, *OTHERS)
            for which in ("input", "weight")
        ),
    ),
)  # fmt: skip
