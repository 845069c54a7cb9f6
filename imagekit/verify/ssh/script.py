"""The collector as a script for an old Python: without annotations and docstrings, which it would not know or need."""

import ast
import inspect

from imagekit.verify.ssh import collect as ssh_collect


class _Plain(ast.NodeTransformer):
    """Removes annotations and docstrings, which an old Python would not understand or not need."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        for each in (*node.args.args, *node.args.kwonlyargs):
            each.annotation = None
        return self._visit_body(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._visit_body(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return None if node.value is None else ast.Assign([node.target], node.value, lineno=node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node

    def _visit_body(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        if ast.get_docstring(node) is not None and len(node.body) > 1:
            del node.body[0]
        return self.generic_visit(node)


def make_script(mark: str) -> bytes:
    """Return the collector as the Python 3.6 script that is sent, with ``mark`` before each of its answers."""
    tree = _Plain().visit(ast.parse(inspect.getsource(ssh_collect)))
    return f"{ast.unparse(tree)}\nserve({mark!r})\n".encode()
