"""Recurrent networks: each step a product and a few elementwise kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from portkernel import ops
from portkernel.errors import ArgumentShapeError, UncoveredOperatorError

from ..registry import operator
from . import formulas
from .arrays import Array, along, one_of
from .elementwise import ACTIVATIONS, of_formula

Step = Callable[[Array, list[Array]], list[Array]]


_PLAIN = frozenset({"tanh", "sigmoid", "relu", "softplus", "softsign"})
_BY_NUMBERS: dict[str, tuple[Callable[..., Array], tuple[float, ...]]] = {
    "affine": (of_formula(formulas.affine), (1.0, 0.0)),
    **{
        name.lower(): (ACTIVATIONS[name][0], tuple(ACTIVATIONS[name][1].values()))
        for name in ("LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Elu")
    },
}


def _function(name: str, alpha: float | None, beta: float | None) -> Callable[[Array], Array]:
    """An activation of a recurrent network. Raises UncoveredOperatorError for one that has no function here."""
    name = name.lower()
    if name in _PLAIN:
        return ops.find(name)
    if name not in _BY_NUMBERS:
        raise UncoveredOperatorError(f"onnx: recurrent network: expected a known activation, got {name!r}")
    function, defaults = _BY_NUMBERS[name]
    numbers = [d if g is None else g for d, g in zip(defaults, (alpha, beta), strict=False)]
    return lambda x: function(x, *numbers)


def _functions(given: dict[str, Any], defaults: Sequence[str], direction: int) -> list[Callable[[Array], Array]]:
    count = len(defaults)
    names = (given.get("activations") or list(defaults) * (direction + 1))[direction * count :][:count]
    alphas = (given.get("activation_alpha") or [])[direction * count :][:count]
    betas = (given.get("activation_beta") or [])[direction * count :][:count]
    pad = [None] * count
    each = zip(names, [*alphas, *pad], [*betas, *pad], strict=False)
    return [_function(n, a, b) for n, a, b in each]


def _clipped(x: Array, limit: float | None) -> Array:
    return x if limit is None else ops.clip(x, -limit, limit)


def _run(
    x: Array, lengths: Array | None, states: list[Array], step: Step, reverse: bool
) -> tuple[list[Array], list[Array]]:
    """The first state after each step, and all of them at the end; a sequence that is over keeps its state."""
    steps = x.shape[0]
    outputs: list[Array] = [states[0]] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        new = step(x[t], states)
        if lengths is not None and bool((np.asarray(lengths) <= t).any()):
            going = along(np.asarray(lengths) > t, 0, 2)
            outputs[t] = ops.where(going, new[0], np.zeros((), x.dtype))
            states = [ops.where(going, n, o) for n, o in zip(new, states, strict=True)]
        else:
            states, outputs[t] = new, new[0]
    return outputs, states


def _network(
    x: Array,
    w: Array,
    lengths: Array | None,
    first: Sequence[Array | None],
    make: Callable[[int], Step],
    given: dict[str, Any],
) -> tuple[Array, ...]:
    """(Y, the last states), for both directions where asked for, in the layout asked for."""
    direction = one_of("direction", given.get("direction", "forward"), ("forward", "reverse", "bidirectional"))
    layout = given.get("layout", 0)
    if w.shape[0] != 1 + (direction == "bidirectional"):
        raise ArgumentShapeError(
            f"onnx: W: expected weights for direction {direction!r} alone, got {w.shape[0]} of them"
        )
    x = x.transpose(1, 0, 2) if layout else x
    hidden = given["hidden_size"]
    rows, finals = [], []
    for d in range(w.shape[0]):
        starts = [None if s is None else (s.transpose(1, 0, 2) if layout else s)[d] for s in first]
        states = [ops.zeros((x.shape[1], hidden), x.dtype) if s is None else s for s in starts]
        outputs, last = _run(x, lengths, states, make(d), direction == "reverse" or d == 1)
        rows.append(ops.stack(outputs))
        finals.append(last)
    y = ops.stack(rows, 1)  # (T, D, B, H)
    ends = [ops.stack([f[i] for f in finals]) for i in range(len(first))]
    if layout:
        return y.transpose(2, 0, 1, 3), *(e.transpose(1, 0, 2) for e in ends)
    return y, *ends


@operator("RNN")
def rnn(
    x: Array, w: Array, r: Array, bias: Array | None = None, lengths: Array | None = None, h: Array | None = None,
    **given: Any,
) -> tuple[Array, ...]:  # fmt: skip
    given.setdefault("hidden_size", r.shape[-1])
    limit = given.get("clip")

    def make(d: int) -> Step:
        (f,) = _functions(given, ["Tanh"], d)
        shift = None if bias is None else ops.add(*np.split(bias[d], 2))

        def step(xt: Array, states: list[Array]) -> list[Array]:
            part = ops.matmul(xt, w[d].T, bias=shift)
            return [f(_clipped(ops.matmul(states[0], r[d].T, residual=part), limit))]

        return step

    return _network(x, w, lengths, [h], make, given)


@operator("LSTM")
def lstm(
    x: Array, w: Array, r: Array, bias: Array | None = None, lengths: Array | None = None, h: Array | None = None,
    c: Array | None = None, peepholes: Array | None = None, **given: Any,
) -> tuple[Array, ...]:  # fmt: skip
    n = given.setdefault("hidden_size", r.shape[-1])
    limit, coupled = given.get("clip"), given.get("input_forget", 0)

    def make(d: int) -> Step:
        f, g, last = _functions(given, ["Sigmoid", "Tanh", "Tanh"], d)
        shift = None if bias is None else ops.add(*np.split(bias[d], 2))
        peeps = None if peepholes is None else np.split(peepholes[d], 3)  # input, output, forget

        def gate(part: Array, peep: int, cell: Array) -> Array:
            if peeps is not None:
                part = ops.elementwise(formulas.multiplied_add, peeps[peep], cell, part)
            return f(_clipped(part, limit))

        def step(xt: Array, states: list[Array]) -> list[Array]:
            hidden, cell = states
            parts = ops.matmul(hidden, r[d].T, residual=ops.matmul(xt, w[d].T, bias=shift))
            i, o, forget, new = (parts[:, k * n : (k + 1) * n] for k in range(4))
            enter = gate(i, 0, cell)
            keep = ops.subtract(np.ones((), x.dtype), enter) if coupled else gate(forget, 2, cell)
            update = ops.multiply(enter, g(_clipped(new, limit)))
            cell = ops.elementwise(formulas.multiplied_add, keep, cell, update)
            return [ops.multiply(gate(o, 1, cell), last(cell)), cell]

        return step

    return _network(x, w, lengths, [h, c], make, given)


@operator("GRU")
def gru(
    x: Array, w: Array, r: Array, bias: Array | None = None, lengths: Array | None = None, h: Array | None = None,
    linear_before_reset: int = 0, **given: Any,
) -> tuple[Array, ...]:  # fmt: skip
    n = given.setdefault("hidden_size", r.shape[-1])
    limit = given.get("clip")

    def make(d: int) -> Step:
        f, g = _functions(given, ["Sigmoid", "Tanh"], d)
        gates = enter = back = None
        if bias is not None:
            first, second = np.split(bias[d], 2)
            gates, enter, back = ops.add(first[: 2 * n], second[: 2 * n]), first[2 * n :], second[2 * n :]

        def step(xt: Array, states: list[Array]) -> list[Array]:
            (hidden,) = states
            part = ops.matmul(xt, w[d][: 2 * n].T, bias=gates)
            zr = f(_clipped(ops.matmul(hidden, r[d][: 2 * n].T, residual=part), limit))
            z, reset = zr[:, :n], zr[:, n:]
            new = ops.matmul(xt, w[d][2 * n :].T, bias=enter)
            if linear_before_reset:
                inner = ops.matmul(hidden, r[d][2 * n :].T, bias=back)
                new = ops.elementwise(formulas.multiplied_add, reset, inner, new)
            else:
                new = ops.matmul(ops.multiply(reset, hidden), r[d][2 * n :].T, bias=back, residual=new)
            return [ops.elementwise(formulas.mixed, z, hidden, g(_clipped(new, limit)))]

        return step

    return _network(x, w, lengths, [h], make, given)
