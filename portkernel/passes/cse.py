"""Common subexpressions: a pure operation equal to one that dominates it gives way to that one."""

from __future__ import annotations

from dataclasses import replace

from ..ir import Block, Effect, Func, Op, Reduce, Scan, Value, rebuild

Key = tuple[object, ...]


def eliminate_common(func: Func) -> Func:
    """Pure operations are equal if class, operands, attributes and result types are. Loads never are: memory changes."""
    return replace(func, body=_block(func.body, [], {}))


def _block(block: Block, outer: list[dict[Key, Op]], known: dict[Value, Value]) -> Block:
    tables = [*outer, {}]
    kept: list[Op] = []
    for old in block.ops:
        # a combine function stays self-contained: some backends emit it as a function of its own
        inner = [] if isinstance(old, (Reduce, Scan)) else tables
        op = rebuild(old, lambda v: known.get(v, v), lambda b, tables=inner: _block(b, tables, known))  # type: ignore[misc]
        if op.effect is Effect.PURE and not op.regions:
            key = _key(op)
            same = next((t[key] for t in tables if key in t), None)
            if same is not None:
                known.update(zip(op.results, same.results, strict=True))
                continue
            tables[-1][key] = op
        kept.append(op)
    return Block(block.params, tuple(kept), tuple(known.get(v, v) for v in block.yields))


def _key(op: Op) -> Key:
    # repr tells 0.0 from -0.0 and 1 from True, which are equal to Python
    return (type(op), op.operands, repr(tuple(op.attributes())), tuple(r.type for r in op.results))
