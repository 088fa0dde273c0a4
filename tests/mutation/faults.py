"""The faults that can be planted in a module: one edit each, of the kinds that people make and reviews overlook."""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

Edit: TypeAlias = tuple[ast.AST, str]
"""A node, and the text that takes its place."""

TOLD = {"tell", "progress", "print", "echo", "phase", "warning", "info", "debug", "register_outputs"}
"""Calls that only tell a person something: what they say, or whether, is judged by reading."""

OTHER_SIDE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
TWINS = {"any": "all", "all": "any", "min": "max", "max": "min"}
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Fault:
    """Bytes of a module and what takes their place; the line, and both texts, for whoever reads of a survivor."""

    start: int
    end: int
    text: str
    line: int
    was: str
    now: str

    def plant(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


def faults_of(source: bytes) -> list[Fault]:
    """Every fault that leaves a module which compiles; none in docstrings, messages, annotations or progress."""
    tree = ast.parse(source)
    starts = _starts_of_lines(source)
    found = (_fault(source, starts, node, text) for node, text in _edits(tree))
    return sorted({f for f in found if f.text != f.was and _compiles(f.plant(source))}, key=lambda f: (f.start, f.text))


def _starts_of_lines(source: bytes) -> list[int]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _fault(source: bytes, starts: Sequence[int], node: ast.AST, text: str) -> Fault:
    start = starts[node.lineno - 1] + node.col_offset
    end = starts[node.end_lineno - 1] + node.end_col_offset
    return Fault(start, end, text, node.lineno, source[start:end].decode(), text)


def _compiles(source: bytes) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _edits(tree: ast.AST) -> Iterator[Edit]:
    for node in _that_matter(tree):
        for kind in KINDS:
            yield from kind(node)


def _that_matter(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run and do more than tell."""
    yield node
    for child in _children(node):
        if not _only_tells(child):
            yield from _that_matter(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    aside: set[ast.AST] = set()
    if isinstance(node, Function | ast.ClassDef):
        aside.update(node.decorator_list)
    if isinstance(node, Function) and node.returns:
        aside.add(node.returns)
    if isinstance(node, ast.AnnAssign):
        aside.add(node.annotation)
    if isinstance(node, ast.Raise) and node.exc:
        aside.add(node.exc)
    return (child for child in ast.iter_child_nodes(node) if child not in aside)


def _only_tells(node: ast.AST) -> bool:
    match node:
        case ast.arg() | ast.JoinedStr() | ast.Assert() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call() as call) | (ast.Call() as call):
            return _name_of(call.func) in TOLD
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name == "__all__" or "VERSION" in name
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
        case ast.keyword(arg=name):
            return name in {"help", "description", "title"}
    return False


def _name_of(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


# Kinds of faults ---------------------------------------------------------------------------------------------------


def negated_conditions(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield test, f"(not ({ast.unparse(test)}))"
        case ast.comprehension(ifs=tests):
            for test in tests:
                yield test, "True"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, f"({ast.unparse(operand)})"


def other_comparisons(node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
        yield node, f"({left} {OTHER_SIDE[type(node.ops[0])]} {right})"


def dropped_operands(node: ast.AST) -> Iterator[Edit]:
    """One side of an and, an or, a union, a difference; and the other word between them."""
    match node:
        case ast.BoolOp(op=op, values=values):
            other = " or " if isinstance(op, ast.And) else " and "
            yield node, "(" + other.join(f"({ast.unparse(value)})" for value in values) + ")"
            word = " and " if isinstance(op, ast.And) else " or "
            for left_out in values:
                rest = word.join(f"({ast.unparse(value)})" for value in values if value is not left_out)
                yield node, f"({rest})"
        case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub(), right=right) if not _of_types(node):
            yield node, f"({ast.unparse(left)})"
        case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=int()) as right):
            yield node, f"({ast.unparse(left)} - {ast.unparse(right)})"


def _of_types(node: ast.BinOp) -> bool:
    """int | None, in a cast or an alias."""
    return isinstance(node.right, ast.Constant) and node.right.value is None


def dropped_statements(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.Expr(value=ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom()):
            yield node, "pass"
        case ast.Raise() | ast.Break() | ast.Continue() | ast.Delete() | ast.AugAssign():
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass"
        case ast.With(items=items):
            for item in items:
                if item.optional_vars is None and not _only_tells(item.context_expr):
                    yield item.context_expr, '__import__("contextlib").nullcontext()'


def other_answers(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.Return(value=ast.Constant(value=bool() as value)):
            yield node, f"return {not value}"
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield node, "return None"
        case ast.Constant(value=bool() as value):
            yield node, f"{not value}"
        case ast.Constant(value=int() as value) if abs(value) <= 2 or 200 <= value < 600:
            yield node, f"{value + 1}"
        case ast.Call(func=ast.Name(id=name) as called) if name in TWINS:
            yield called, TWINS[name]
        case ast.Call(func=ast.Name(id="sorted"), args=[first]):
            yield node, f"list({ast.unparse(first)})"


def shortened_loops(node: ast.AST) -> Iterator[Edit]:
    """Only the first is taken; an error is not swallowed any more; a function ends before it begins."""
    match node:
        case ast.For(body=[*_, last]) if not isinstance(last, ast.Return | ast.Raise | ast.Break | ast.Continue):
            yield last, f"{_text(last)}\n{' ' * node.body[0].col_offset}break"
        case ast.ExceptHandler(body=[first, *_]) if not isinstance(first, ast.Raise):
            yield first, "raise"
        case ast.FunctionDef(returns=ast.Constant(value=None), body=body) if _does_something(body):
            first = body[1] if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) else body[0]
            yield first, f"return\n{' ' * first.col_offset}{_text(first)}"


def _does_something(body: Sequence[ast.stmt]) -> bool:
    """More than a docstring, a pass or an ellipsis; and no generator, which must go on yielding."""
    told = all(isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in body)
    return not told and not any(isinstance(n, ast.Yield | ast.YieldFrom) for s in body for n in ast.walk(s))


def _text(node: ast.stmt) -> str:
    """A statement as it would be written again, its further lines indented as its first."""
    return ast.unparse(node).replace("\n", "\n" + " " * node.col_offset)


def lost_arguments(node: ast.AST) -> Iterator[Edit]:
    """A keyword that was not passed on."""
    if not isinstance(node, ast.Call) or len(node.keywords) + len(node.args) < 2:
        return
    for left_out in node.keywords:
        if left_out.arg is not None and not _only_tells(left_out):
            kept = [keyword for keyword in node.keywords if keyword is not left_out]
            yield node, ast.unparse(ast.Call(node.func, node.args, kept))


def swapped_arguments(node: ast.AST) -> Iterator[Edit]:
    """Two arguments of one type, each in the other's place: the types are those that the function's own have."""
    if not isinstance(node, Function):
        return
    types = {arg.arg: ast.unparse(arg.annotation) for arg in node.args.args if arg.annotation}
    for call in (n for n in ast.walk(node) if isinstance(n, ast.Call) and _name_of(n.func) not in TOLD):
        for at, (one, other) in enumerate(pairwise(call.args)):
            if _are_of_one_type(one, other, types):
                args = [*call.args[:at], other, one, *call.args[at + 2 :]]
                yield call, ast.unparse(ast.Call(call.func, args, call.keywords))


def _are_of_one_type(one: ast.expr, other: ast.expr, types: dict[str, str]) -> bool:
    match one, other:
        case ast.Name(id=first), ast.Name(id=second) if first != second:
            return first in types and types[first] == types.get(second)
    return False


KINDS: tuple[Callable[[ast.AST], Iterator[Edit]], ...] = (
    negated_conditions,
    other_comparisons,
    dropped_operands,
    dropped_statements,
    other_answers,
    shortened_loops,
    lost_arguments,
    swapped_arguments,
)
