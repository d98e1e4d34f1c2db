"""A stable text for a function: for ``kernel.ir()``, golden files and stage dumps."""

from __future__ import annotations

from .core import Block, Func, Op, Value, field_names


class _Namer:
    def __init__(self) -> None:
        self._names: dict[Value, str] = {}
        self._taken: dict[str, int] = {}

    def define(self, value: Value) -> str:
        base = value.hint if value.hint.isidentifier() else ""
        if base and base not in self._taken:
            self._taken[base] = 0
            name = base
        else:
            count = self._taken[base] = self._taken.get(base, -1) + 1
            name = f"{base}.{count}" if base else str(count)
        self._names[value] = name
        return f"%{name}"

    def use(self, value: Value) -> str:
        return "%" + self._names.get(value, f"<undefined {value.hint}>")


def print_func(func: Func) -> str:
    """The text of ``func``, one operation a line; byte-identical for equal functions."""
    names = _Namer()
    params = ", ".join(f"{names.define(p)}: {p.type}" for p in func.params)
    lines = [f"func {func.name}({params})"]
    lines += [f"  const {name} = {value!r}" for name, value in func.constants]
    _print_block(func.body, names, "  ", lines)
    return "\n".join(lines) + "\n"


def _print_block(block: Block, names: _Namer, indent: str, lines: list[str]) -> None:
    for op in block.ops:
        _print_op(op, names, indent, lines)
    if block.yields:
        lines.append(f"{indent}yield {', '.join(names.use(v) for v in block.yields)}")


def _print_op(op: Op, names: _Namer, indent: str, lines: list[str]) -> None:
    inputs = [_show_operand(getattr(op, name), name, names) for name in field_names(type(op), "operand")]
    inputs += [f"{name}={value!r}" for name, value in op.attributes()]
    text = f"{type(op).__name__}({', '.join(i for i in inputs if i)})"
    regions = [(name, getattr(op, name)) for name in field_names(type(op), "region")]
    bodies: list[str] = []
    for name, block in regions:
        if block is None:
            continue
        params = ", ".join(f"{names.define(p)}: {p.type}" for p in block.params)
        bodies.append(f"{indent}  {name}({params}):")
        _print_block(block, names, indent + "    ", bodies)
    if op.results:
        left = ", ".join(f"{names.define(r)}: {r.type}" for r in op.results)
        text = f"{left} = {text}"
    lines.append(indent + text)
    lines.extend(bodies)


def _show_operand(item: Value | tuple[Value, ...] | None, name: str, names: _Namer) -> str:
    if item is None:
        return ""
    if isinstance(item, tuple):
        return f"{name}=[{', '.join(names.use(v) for v in item)}]"
    return f"{name}={names.use(item)}"
