"""CUDA C++ in strings: the text of ``cupy.RawKernel`` and ``RawModule``, and which built-ins it uses, by a tokenizer."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from .scan import Found, Use
from .scan_names import THREAD, thread_word
from .scan_tiles import dotted, imported

_MAKERS = frozenset({"cupy.RawKernel", "cupy.RawModule"})
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
_WORD = re.compile(r"[A-Za-z_]\w*")
_CALLED = re.compile(r"([A-Za-z_]\w*)\s*(?:<[^<>;(){}]*>\s*)?\(")
_DEFINED = re.compile(r"(?:__global__|__device__)[^;{()]*?\b([A-Za-z_]\w*)\s*\(")
_KERNEL = re.compile(r"__global__[^;{()]*?\b([A-Za-z_]\w*)\s*\(")
_MACRO = re.compile(r"#\s*define\s+([A-Za-z_]\w*)")
_KEYWORDS = frozenset(
    {
        "if", "for", "while", "switch", "return", "sizeof", "static_cast", "reinterpret_cast", "const_cast", "defined",
        "do", "else", "new", "delete", "alignof", "decltype", "static_assert", "float", "double", "int",
        "unsigned", "char", "short", "long", "bool", "half", "size_t", "void", "catch", "operator",
    }
)  # fmt: skip
_PATTERN = re.compile(r"(?:__[a-z0-9_]+|atomic[A-Z]\w*)$")
"""What looks like a built-in: a double underscore before it, or an atomic."""


def texts(text: str, file: str) -> Iterator[Found]:
    """Every kernel in the strings that a module hands to CuPy. Raises SyntaxError."""
    tree = ast.parse(text)
    names = imported(tree)
    constants = _constants(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or dotted(node.func, names) not in _MAKERS:
            continue
        code = _argument(node, constants)
        if code is None:
            yield Found(file, node.lineno, "?", "cuda", (), "its text is not a constant of the module")
            continue
        plain = _STRING.sub('""', _COMMENT.sub(" ", code))
        for name in _KERNEL.findall(plain) or ["?"]:
            yield Found(file, node.lineno, name, "cuda", tuple(uses(plain)))


def _constants(tree: ast.AST) -> dict[str, str]:
    """Names that are bound to text, at any level of the module."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            value = _text(node.value, found)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and value is not None:
                    found[target.id] = value
    return found


def _text(node: ast.AST, constants: dict[str, str]) -> str | None:
    """The text of an expression; what a format puts into it is left out."""
    match node:
        case ast.Constant(value=str() as value):
            return value
        case ast.Name(id=name):
            return constants.get(name)
        case ast.JoinedStr(values=values):
            return "".join(v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            a, b = _text(left, constants), _text(right, constants)
            return None if a is None or b is None else a + b
        case ast.BinOp(left=left, op=ast.Mod()):
            return _text(left, constants)
        case ast.Call(func=ast.Attribute(value=value, attr=("format" | "replace" | "strip" | "substitute"))):
            return _text(value, constants)
        case _:
            return None


def _argument(call: ast.Call, constants: dict[str, str]) -> str | None:
    for keyword in call.keywords:
        if keyword.arg == "code":
            return _text(keyword.value, constants)
    return _text(call.args[0], constants) if call.args else None


def uses(plain: str) -> Iterator[Use]:
    """The built-ins of CUDA text without comments and strings; functions that it defines itself are none."""
    own = {*_DEFINED.findall(plain), *_MACRO.findall(plain), *_KEYWORDS}
    called = set(_CALLED.findall(plain))
    seen: Counter[str] = Counter()
    for word in _WORD.findall(plain):
        if word in own or word == "__global__":
            continue
        if (word in THREAD and (word in called or not word.islower() or word.startswith("__") or word in _SPACES)) or (
            word in called and (thread_word(word) is not None or _PATTERN.match(word))
        ):
            seen[word] += 1
    for name, count in sorted(seen.items()):
        yield Use(name, count, thread_word(name))


_SPACES = frozenset({"wmma", "cooperative_groups", "thrust", "cub", "asm", "threadIdx", "blockIdx"})
"""Words that are no calls: namespaces, and the statement asm."""
