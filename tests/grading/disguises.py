"""What somebody might do to a file so that it looks like another one: a copy in disguise."""

from __future__ import annotations

import ast
import builtins
import random


def disguised(source: str, seed: int = 3, added: int = 0) -> str:
    """The same code under other names, without comments and hints, its functions in another order.

    With `added`, each function has so many statements more, anywhere in it.
    """
    tree = ast.parse(source)
    chance = random.Random(seed)
    tree = _Renamed(_fixed_names(tree)).visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            chance.shuffle(node.body)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for _ in range(added):
                statement = chance.choice(
                    ["print('here', x1)", "x9 = 0", "log.info('x')", "assert x7 is not None"]
                )
                node.body.insert(chance.randrange(len(node.body) + 1), ast.parse(statement).body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def _fixed_names(tree: ast.AST) -> set[str]:
    """The names that cannot be others: builtins, what is imported, classes and public methods."""
    fixed = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            fixed |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            fixed |= set() if node.name.startswith("_") else {node.name}
    return fixed


class _Renamed(ast.NodeTransformer):
    def __init__(self, fixed: set[str]) -> None:
        self._fixed = fixed
        self._new: dict[str, str] = {}

    def _name(self, old: str) -> str:
        if old in self._fixed or old.startswith("__"):
            return old
        return self._new.setdefault(old, f"v{len(self._new)}_x")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._name(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self._name(node.arg), None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        return ast.Assign([node.target], node.value) if node.value else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr.startswith("_"):
            node.attr = self._name(node.attr)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if node.name.startswith("_"):
            node.name = self._name(node.name)
        node.returns = None
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node
