"""``torch.compile(model, backend="portkernel")``: the model's graphs, forward and backward, on our operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch._decomp import core_aten_decompositions, decomposition_table
from torch._dynamo.backends.common import aot_autograd
from torch.fx import GraphModule

from portkernel import config

from .cleanup import clean
from .fusion import first_results, fold_batch_norms, fuse_chains, fuse_epilogues
from .program import Program
from .rules import TABLE, aten


def decompositions() -> dict[Any, Callable[..., Any]]:
    """PyTorch's decompositions into core ATen, but for what has an operator as a whole."""
    table: Any = core_aten_decompositions()
    also = {op: decomposition_table[op] for op in (aten.native_dropout.default, aten.native_dropout_backward.default)}
    return {op: fn for op, fn in {**table, **also}.items() if op not in TABLE}


def prepare(module: GraphModule, *, inference: bool) -> list[torch.fx.Node]:
    """Rewrite a graph of ATen in place, by every pass; the nodes that depend on inputs alone are returned."""
    clean(module)
    graph = module.graph
    folded = fold_batch_norms(graph) if inference else []
    first_results(graph)
    fuse_epilogues(graph)
    fuse_chains(graph)
    graph.eliminate_dead_code()
    graph.lint()
    return folded


def compiler(strict: bool, inference: bool) -> Callable[[GraphModule, Sequence[Any]], Callable[..., Any]]:
    """What makes a :class:`Program` of a graph of ATen."""

    def compile_graph(module: GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        once = prepare(module, inference=inference)
        program = Program(module, strict, once)

        def run(args: list[Any]) -> Any:
            return program(args)

        run._boxed_call = True  # type: ignore[attr-defined]  # AOTAutograd hands its arguments over in a list
        return run

    return compile_graph


def portkernel(
    module: GraphModule, inputs: Sequence[Any], *, options: Mapping[str, object] | None = None, **ignored: Any
) -> Callable[..., Any]:
    """The backend of ``torch.compile``. ``options={"strict": True}`` makes a node without an operator a FallbackError.

    So does ``pk.use(strict=True)`` while it compiles.
    """
    strict = bool((options or {}).get("strict", False)) or config.get().strict
    backend = aot_autograd(
        fw_compiler=compiler(strict, False),
        bw_compiler=compiler(strict, False),
        inference_compiler=compiler(strict, True),
        decompositions=decompositions(),
    )
    made: Callable[..., Any] = backend(module, inputs)
    return made
