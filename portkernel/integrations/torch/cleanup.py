"""Passes that take away what a graph of ATen does twice or for nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch._functorch.compile_utils import fx_graph_cse
from torch.fx import Graph, GraphModule, Node

from .rules import aten

_SAME: frozenset[Any] = frozenset(
    {
        aten.clone.default, aten.alias.default, aten.detach.default, aten._to_copy.default, aten.view.default,
        aten._unsafe_view.default, aten.expand.default, aten.lift_fresh_copy.default,
    }
)  # fmt: skip
"""Calls that may give back the elements of their first argument as they are."""


def clean(module: GraphModule) -> None:
    """Common subexpressions once, no copies of what is the same already."""
    module.graph.eliminate_dead_code()
    if not any(_is_mutable(n) for n in module.graph.nodes):
        untyped: Any = fx_graph_cse
        module.graph = untyped(module.graph)
    _drop_copies(module.graph)
    module.graph.eliminate_dead_code()


def _is_mutable(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _drop_copies(graph: Graph) -> None:
    (output,) = (n for n in graph.nodes if n.op == "output")
    results = set(output.all_input_nodes)
    for node in list(graph.nodes):
        if node.target not in _SAME or node in results or _written(node):
            continue
        source = node.args[0]
        a, b = source.meta.get("val"), node.meta.get("val")
        if (
            isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
            and (a.shape, a.stride(), a.dtype, a.device) == (b.shape, b.stride(), b.dtype, b.device)
            and not _written(source)
        ):  # fmt: skip
            node.replace_all_uses_with(source)
            graph.erase_node(node)


def _written(node: Node) -> bool:
    """Whether a later call writes to the node's memory: then a copy is one."""
    return any(_is_mutable(u) and u.args[0] is node for u in node.users)
