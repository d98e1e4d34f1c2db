"""Passes over a graph of ATen: what is one kernel of ours becomes one node.

Each pass edits the graph in place. The nodes that it makes call the functions of this package, which :data:`FUSED` lists.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx import Graph, Node

from portkernel.frontend import kernel_from_source

from . import norms, operators, pooling, products
from .pointwise import BINDS, Bound, Unbound, loaded, new, promoted, refuse_bound, specialised, tile_dtype
from .rules import TABLE, aten, refusal

MOST_OPERANDS = 10
"""Arrays that one fused elementwise kernel reads."""
MOST_NODES = 48


def meta(node: Node) -> Any:
    """The fake tensor, or tuple of them, that a node gives."""
    return node.meta.get("val")


def arguments(node: Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of ``node`` with fake tensors in the place of nodes."""
    args = torch.fx.node.map_arg(node.args, meta)
    kwargs = torch.fx.node.map_arg(node.kwargs, meta)
    return args, kwargs


def is_covered(node: Node) -> bool:
    """Whether the node is an ATen call that a rule takes."""
    target: Any = node.target
    rule = TABLE.get(target)
    if rule is None:
        return False
    args, kwargs = arguments(node)
    return not refusal(rule, args, kwargs)


def _getitems(node: Node) -> dict[int, Node] | None:
    """The users of a node by index, if all of them pick one result each."""
    found: dict[int, Node] = {}
    for user in node.users:
        if user.target is not operator.getitem or user.args[1] in found:
            return None
        found[int(user.args[1])] = user  # type: ignore[arg-type]  # an index
    return found


# --- results that nobody asks for ---------------------------------------------------------------------------

_FIRST_ONLY: dict[Any, Callable[..., Any]] = {
    aten.native_layer_norm.default: norms.layer_norm,
    aten.max_pool2d_with_indices.default: pooling.max_pool,
    aten._scaled_dot_product_flash_attention_for_cpu.default: products.attention,
}
"""How to compute the first result alone."""


def first_results(graph: Graph) -> None:
    """Calls of which only the first result is used compute no more."""
    for node in list(graph.nodes):
        alone = _FIRST_ONLY.get(node.target)
        if alone is None or not is_covered(node):
            continue
        users = _getitems(node)
        if users is None or set(users) != {0} or (alone is pooling.max_pool and meta(node)[0].ndim != 4):
            continue
        args, kwargs = node.args, dict(node.kwargs)
        if alone is pooling.max_pool:
            args = (*args, *((), 0, 1, False)[len(args) - 2 :])
        _replace(graph, users[0], alone, args, kwargs)
        graph.erase_node(node)


def _replace(graph: Graph, node: Node, target: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Node:
    """A node that calls ``target`` in the place of ``node``."""
    with graph.inserting_before(node):
        made = graph.call_function(target, args, kwargs)
    made.meta = dict(node.meta)
    node.replace_all_uses_with(made)
    graph.erase_node(node)
    return made


# --- normalisation folded into a convolution ----------------------------------------------------------------


def fold_batch_norms(graph: Graph) -> list[Node]:
    """Convolutions followed by a normalisation with given statistics; the nodes that make their weights are returned.

    Those depend on inputs of the graph alone: they need computing anew only where one of these has changed.
    """
    made: list[Node] = []
    for norm in list(graph.nodes):
        if norm.target is not aten._native_batch_norm_legit_no_training.default or not is_covered(norm):
            continue
        conv, gamma, beta, mean, variance = norm.args[:5]
        users = _getitems(norm)
        if users is None or set(users) != {0} or not isinstance(conv, Node):
            continue
        sources = [conv.args[1], conv.args[2], gamma, beta, mean, variance] if len(conv.args) > 2 else []
        if (
            conv.target is not aten.convolution.default
            or len(conv.users) > 1
            or not is_covered(conv)
            or conv.args[6]  # transposed: channels lie elsewhere
            or any(s is not None and not (isinstance(s, Node) and s.op == "placeholder") for s in sources)
        ):
            continue
        with graph.inserting_before(conv):
            pair = graph.call_function(norms.folded, (*sources[:2], mean, variance, gamma, beta, norm.args[6]))
            weight, bias = (graph.call_function(operator.getitem, (pair, i)) for i in range(2))
        weight.meta["val"], bias.meta["val"] = meta(conv.args[1]), meta(mean)  # type: ignore[arg-type]  # nodes
        pair.meta["val"] = (weight.meta["val"], bias.meta["val"])
        conv.args = (conv.args[0], weight, bias, *conv.args[3:])
        users[0].replace_all_uses_with(conv)
        graph.erase_node(users[0])
        graph.erase_node(norm)
        made.append(pair)
    return made


# --- epilogues ----------------------------------------------------------------------------------------------


def product(a: torch.Tensor, b: torch.Tensor, bias: Any = None, **fused: Any) -> Any:
    """``activation(a @ b + bias + residual)``."""
    return operators.call("matmul", a, b, None, bias=bias, **fused)


@dataclass(slots=True)
class _Epilogue:
    """What follows a product: the last node of the chain that goes into it, and what is fused on the way."""

    last: Node
    residual: Node | None = None
    activation: str = "none"


_ACTIVATIONS: dict[Any, str] = {
    aten.relu.default: "relu",
    aten.silu.default: "silu",
    aten.sigmoid.default: "sigmoid",
    aten.tanh.default: "tanh",
}
_VIEWS = frozenset({aten.view.default, aten._unsafe_view.default, aten.reshape.default})


def _activation(node: Node) -> str | None:
    if node.target is aten.gelu.default:
        return "gelu_tanh" if node.kwargs.get("approximate") == "tanh" else "gelu"
    return _ACTIVATIONS.get(node.target)


def _chain(node: Node, through_views: bool) -> _Epilogue:
    """The longest epilogue of ``node``: at most one addition, then at most one activation, views in between."""
    found = _Epilogue(node)
    at = node
    while len(at.users) == 1:
        (user,) = at.users
        if through_views and user.target in _VIEWS:
            at = user
            continue
        if user.target is aten.add.Tensor and found.residual is None and len(user.args) == 2 and not user.kwargs:
            other = user.args[1] if user.args[0] is at else user.args[0]
            if other is at or not isinstance(other, Node) or not _alike(other, at, user):
                break
            found.residual, found.last = other, user
        else:
            name = _activation(user)
            if name is None or meta(user).dtype != meta(at).dtype:
                break
            found.activation, found.last = name, user
            break
        at = user
    return found


def _alike(other: Node, at: Node, user: Node) -> bool:
    a, b, c = meta(other), meta(at), meta(user)
    return (
        isinstance(a, torch.Tensor) and a.shape == b.shape == c.shape and a.dtype == b.dtype == c.dtype
        and a.is_contiguous() and b.is_contiguous()
    )  # fmt: skip


def fuse_epilogues(graph: Graph) -> None:
    """Additions and activations go into the convolution or matrix product before them."""
    for node in list(graph.nodes):
        if node.target is aten.convolution.default:
            if is_covered(node) and meta(node).is_contiguous():
                _fuse(graph, node, products.convolution, tuple(node.args), _chain(node, False))
        elif node.target is aten.mm.default and is_covered(node):
            _fuse(graph, node, product, tuple(node.args), _chain(node, _static(meta(node))))
        elif node.target is aten.addmm.default and is_covered(node) and not node.kwargs:
            bias, a, b = node.args
            _fuse(graph, node, product, (a, b, bias), _chain(node, _static(meta(node))))


def _fuse(graph: Graph, node: Node, target: Callable[..., Any], args: Any, found: _Epilogue) -> None:
    if found.last is node:
        return
    fused: dict[str, Any] = {}
    shape = list(meta(node).shape)
    with graph.inserting_before(found.last):
        if found.residual is not None:
            residual = found.residual
            if list(meta(residual).shape) != shape:
                residual = graph.call_function(aten.view.default, (residual, shape))
                residual.meta["val"] = meta(node)
            fused["residual"] = residual
        if found.activation != "none":
            fused["activation"] = found.activation
        made = graph.call_function(target, args, fused)
        made.meta = dict(node.meta)
        result = made
        if list(meta(found.last).shape) != shape:
            result = graph.call_function(aten.view.default, (made, list(meta(found.last).shape)))
            result.meta = dict(found.last.meta)
    found.last.replace_all_uses_with(result)
    for dead in _upward(found.last, node):
        graph.erase_node(dead)


def _upward(last: Node, first: Node) -> list[Node]:
    """The nodes from ``last`` back to ``first``, which are used by nothing but each other."""
    order = {n: i for i, n in enumerate(first.graph.nodes)}
    found = [first]
    while found[-1] is not last:
        (user,) = found[-1].users
        found.append(user)
    return sorted(found, key=lambda n: -order[n])


# --- elementwise chains -------------------------------------------------------------------------------------


class Fused:
    """A function of tiles made of several, and how to launch it."""

    def __init__(
        self, fn: Callable[..., Any], shape: tuple[int, ...], strides: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        self.fn, self.shape, self.strides, self.dtype = fn, shape, strides, dtype
        self.__name__ = fn.__name__

    def __call__(self, *operands: torch.Tensor) -> torch.Tensor:
        out = new(operands[0], self.shape, self.dtype, self.strides)
        operators.call("elementwise", self.fn, *operands, out=out, dtype=tile_dtype(self.dtype))
        return out


def _bound(node: Node) -> Bound | None:
    """The node as a call of a function of tiles, its operands nodes and numbers; None for what is none or not covered."""
    target: Any = node.target
    bind = BINDS.get(target)
    if bind is None or not isinstance(meta(node), torch.Tensor):
        return None
    try:
        bound: Bound = bind(*node.args, **node.kwargs)
        fake = tuple(meta(x) if isinstance(x, Node) else x for x in bound.operands)
        exact = bind(*arguments(node)[0], **arguments(node)[1])  # some choose by the dtype of an argument
    except (Unbound, AttributeError):
        return None
    if refuse_bound(replace(bound, operands=fake), fake) or not all(_static(f) for f in fake):
        return None
    return replace(bound, fn=exact.fn, operands=bound.operands[: len(exact.operands)])


def _static(x: Any) -> bool:
    if isinstance(x, torch.Tensor):
        return all(isinstance(n, int) for n in (*x.shape, *x.stride()))
    return isinstance(x, (bool, int, float))


def fuse_chains(graph: Graph) -> None:
    """Elementwise nodes that nothing outside uses go into the one that uses them."""
    bounds = {n: b for n in graph.nodes if (b := _bound(n)) is not None}
    order = {n: i for i, n in enumerate(graph.nodes)}
    group_of: dict[Node, Node] = {}
    members: dict[Node, set[Node]] = {}
    for node in reversed(graph.nodes):
        if node not in bounds:
            continue
        roots = {group_of.get(u) for u in node.users}
        root = roots.pop() if len(roots) == 1 else None
        if root is not None and _joins(node, root, members[root], bounds):
            group_of[node] = root
            members[root].add(node)
        else:
            group_of[node] = node
            members[node] = {node}
    for root, group in members.items():
        if len(group) > 1:
            _emit(graph, root, sorted(group, key=order.__getitem__), bounds)


def _joins(node: Node, root: Node, group: set[Node], bounds: dict[Node, Bound]) -> bool:
    if meta(node).shape != meta(root).shape or len(group) >= MOST_NODES:
        return False
    together = {*group, node}
    outside = {x for n in together for x in bounds[n].operands if isinstance(x, Node) and x not in together}
    return len(outside) <= MOST_OPERANDS


def _emit(graph: Graph, root: Node, group: list[Node], bounds: dict[Node, Bound]) -> None:
    outside: list[Node] = []
    scope: dict[str, object] = {}
    lines: list[str] = []
    flight: dict[Node, tuple[str, torch.dtype]] = {}
    """The variable that holds a node's tile, and the tile's dtype."""
    for node in group:
        bound = bounds[node]
        fake = tuple(meta(x) if isinstance(x, Node) else x for x in bound.operands)
        computed, result = promoted(bound, fake)
        values = []
        for i, x in enumerate(bound.operands):
            if isinstance(x, Node):
                if x not in flight:
                    flight[x] = f"x{len(outside)}", loaded(meta(x).dtype)
                    outside.append(x)
                name, dtype = flight[x]
            else:
                name, dtype = f"n{len(scope)}", computed  # a number takes the dtype of the tiles beside it
                scope[name] = x
            if i in bound.keep or dtype == computed:
                values.append(name)
            else:
                values.append(f"pk.astype({name}, {_named(scope, tile_dtype(computed))})")
        function = _named(scope, specialised(bound.fn, computed))
        variable = f"t{len(lines)}"
        given = loaded(result)
        text = f"{function}({', '.join(values)})"
        if given != computed and given is not torch.bool:
            text = f"pk.astype({text}, {_named(scope, tile_dtype(given))})"
        lines.append(f"    {variable} = {text}\n")
        flight[node] = variable, given
    name = "_".join(dict.fromkeys(bounds[n].fn.__name__.strip("_") for n in group))[:60]
    head = f"def {name}({', '.join(flight[x][0] for x in outside)}):\n"
    fn = kernel_from_source(head + "".join(lines) + f"    return {flight[root][0]}\n", name, scope)
    value = meta(root)
    fused = Fused(fn, tuple(value.shape), tuple(value.stride()), value.dtype)
    _replace(graph, root, fused, tuple(outside), {})
    for node in reversed(group[:-1]):
        graph.erase_node(node)


def _named(scope: dict[str, object], value: object) -> str:
    """The name of ``value`` among the globals of the text."""
    for name, known in scope.items():
        if known is value:
            return name
    name = f"g{len(scope)}"
    scope[name] = value
    return name


FUSED: dict[Any, str] = {
    norms.layer_norm: "layer_norm",
    norms.folded: "fold_batch_norm",
    pooling.max_pool: "max_pool2d",
    products.attention: "scaled_dot_product_attention",
    products.convolution: "conv2d",
    product: "matmul",
}
"""The functions that passes put into graphs, and the operator that each launches."""
