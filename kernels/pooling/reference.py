"""What poolings must compute, window by window in plain NumPy: float64, or exact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .host import Windows


@dataclass(frozen=True)
class Window:
    """Where one window lies: its output, the elements that it holds, and how many it counts."""

    output: tuple[int, ...]
    elements: tuple[np.ndarray, ...]
    count: int


def windows(image: tuple[int, ...], w: Windows, padded: bool = False) -> Iterator[Window]:
    """Every window over three spatial axes of shape ``image``, in the order of outputs."""
    axes = []
    for axis, n in enumerate(image):
        found = []
        for o in range(w.size[axis]):
            if w.adaptive:
                start, stop, step = o * n // w.size[axis], -(-(o + 1) * n // w.size[axis]), 1
            else:
                start, step = o * w.stride[axis] - w.front[axis], w.dilation[axis]
                stop = start + w.kernel[axis] * step
            at = np.arange(start, stop, step)
            inside = at[(at >= 0) & (at < n)]
            counted = at[at < n + w.behind[axis]] if padded else inside
            found.append((inside, len(counted)))
        axes.append(found)
    for output in np.ndindex(*w.size):
        parts = [axes[a][o] for a, o in enumerate(output)]
        yield Window(output, tuple(np.ix_(*(p[0] for p in parts))), parts[0][1] * parts[1][1] * parts[2][1])


def maxima(x: np.ndarray, w: Windows) -> tuple[np.ndarray, np.ndarray]:
    """The maxima of x ``(N, C, D, H, W)``, and where they are."""
    least = -np.inf if x.dtype.kind not in "iu" else np.iinfo(x.dtype).min
    out = np.full((*x.shape[:2], *w.size), least, x.dtype)
    indices = np.full(out.shape, -1, np.int64)
    flat = np.arange(np.prod(x.shape[2:])).reshape(x.shape[2:])
    for one in windows(x.shape[2:], w):
        block = x[(..., *one.elements)].reshape(*x.shape[:2], -1)
        if block.shape[-1]:
            best = block.argmax(-1)  # the first of equals or NaNs
            out[(..., *one.output)] = np.take_along_axis(block, best[..., None], -1)[..., 0]
            indices[(..., *one.output)] = flat[one.elements].reshape(-1)[best]
    return out, indices


def means(x: np.ndarray, w: Windows, padded: bool, divisor: int) -> np.ndarray:
    """The means of x ``(N, C, D, H, W)``, float64."""
    out = np.zeros((*x.shape[:2], *w.size))
    for one in windows(x.shape[2:], w, padded):
        out[(..., *one.output)] = x[(..., *one.elements)].sum((-1, -2, -3)) / (divisor or one.count)
    return out


def maxima_back(grad: np.ndarray, indices: np.ndarray, image: tuple[int, ...]) -> np.ndarray:
    """The gradient of :func:`maxima` for x of spatial shape ``image``."""
    out = np.zeros((*grad.shape[:2], int(np.prod(image))))
    n, c = (np.arange(s) for s in grad.shape[:2])
    at = (n[:, None, None], c[None, :, None], indices.reshape(*grad.shape[:2], -1))
    np.add.at(out, at, grad.reshape(*grad.shape[:2], -1))
    return out.reshape(*grad.shape[:2], *image)


def means_back(grad: np.ndarray, w: Windows, image: tuple[int, ...], padded: bool, divisor: int) -> np.ndarray:
    """The gradient of :func:`means` for x of spatial shape ``image``."""
    out = np.zeros((*grad.shape[:2], *image))
    for one in windows(image, w, padded):
        out[(..., *one.elements)] += grad[(..., *one.output)][..., None, None, None] / (divisor or one.count)
    return out
