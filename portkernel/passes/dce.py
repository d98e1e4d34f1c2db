"""Dead code: operations without effect whose results nobody uses, and carried values that nobody needs."""

from __future__ import annotations

from dataclasses import replace

from ..ir import Block, Effect, For, Func, If, Op, Value, While

Live = set[Value]


def eliminate_dead(func: Func) -> Func:
    """Drop pure operations and reads without a use, and results of loops and branches without one."""
    return replace(func, body=_block(func.body, tuple(range(len(func.body.yields))), set()))


def _block(block: Block, needed: tuple[int, ...], live: Live) -> Block:
    """``block`` yielding only ``needed``; adds every value that it uses to ``live``."""
    yields = tuple(block.yields[i] for i in needed)
    live.update(yields)
    kept: list[Op] = []
    for op in reversed(block.ops):
        if not _has_effect(op) and not any(r in live for r in op.results):
            continue
        match op:
            case For() | While():
                op = _loop(op, live)
            case If():
                op = _if(op, live)
            case _:
                for inner in op.regions:
                    _block(inner, tuple(range(len(inner.yields))), live)
        live.update(op.operands)
        kept.append(op)
    return Block(block.params, tuple(reversed(kept)), yields)


def _has_effect(op: Op) -> bool:
    """Whether running ``op`` may write, print or report; of control flow, whether anything inside may."""
    if isinstance(op, (For, While, If)):
        return any(_has_effect(inner) for region in op.regions for inner in region.ops)
    return op.effect is Effect.WRITE


def _if(op: If, live: Live) -> If:
    needed = tuple(i for i, r in enumerate(op.results) if r in live)
    return replace(
        op,
        results=tuple(op.results[i] for i in needed),
        then=_block(op.then, needed, live),
        orelse=_block(op.orelse, needed, live),
    )


def _loop(op: For | While, live: Live) -> For | While:
    """Only what is used after the loop, or feeds such a value or an effect, is carried."""
    needed = tuple(i for i, r in enumerate(op.results) if r in live)
    while True:
        used: Live = set()
        if isinstance(op, For):
            params = op.body.params[1:]
            body = _block(op.body, needed, used)
        else:
            params = op.body.params
            condition = _block(op.cond, (0,), used)
            body = _block(op.body, needed, used)
        carried = [(p, *((op.cond.params[i],) if isinstance(op, While) else ())) for i, p in enumerate(params)]
        wanted = tuple(i for i, ps in enumerate(carried) if i in needed or any(p in used for p in ps))
        if wanted == needed:
            break
        needed = wanted
    live.update(used)
    results = tuple(op.results[i] for i in needed)
    inits = tuple(op.inits[i] for i in needed)
    kept = tuple(params[i] for i in needed)
    if isinstance(op, For):
        return replace(op, results=results, inits=inits, body=replace(body, params=(op.body.params[0], *kept)))
    cond = replace(condition, params=tuple(op.cond.params[i] for i in needed))
    return replace(op, results=results, inits=inits, cond=cond, body=replace(body, params=kept))
