"""Names are nouns: few bindings are pronouns or participles, in every package.

Also how calls and functions read: no call passes six positional arguments, no function takes more
than seven parameters; except where a count of a package says so.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "kn_edit"

WORDS = """one some found made told seen own others other at what asked said spoke spoken known
given taken left shown kept near around apart whole same such those them this that it ones many
few more less"""
VAGUE = frozenset(WORDS.split())
MOST_POSITIONAL = 5
MOST_PARAMETERS = 7

# Of each package that is not at zero: the share of vague names in percent, calls of more than
# MOST_POSITIONAL positional arguments, functions of more than MOST_PARAMETERS parameters.
# They may fall, and never rise. Shares are of half a percent: new code may come between two counts.
ALLOWED: dict[str, tuple[float, int, int]] = {
    "": (0.5, 0, 0),
    "cli": (0.5, 0, 2),
    "editing": (0.5, 0, 0),
    "edits": (0.5, 0, 0),
    "engine": (0.5, 0, 0),
    "errors": (2.0, 0, 0),
    "hub": (0.5, 0, 0),
    "ledger": (0.5, 0, 0),
    "workspace": (0.5, 0, 0),
}


def bound_names(tree: ast.AST) -> Iterator[str]:
    """Every name that code binds, without the underscores around it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg.strip("_")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id.strip("_")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name.strip("_")


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The names of a function's parameters, without self and cls."""
    arguments = function.args
    names = [
        argument.arg
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    ]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def count(code: str) -> tuple[int, int, int, int]:
    """Names; vague ones; calls with too many positional arguments; functions that take too many."""
    tree = ast.parse(code)
    nodes = list(ast.walk(tree))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    functions = [
        node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    names = list(bound_names(tree))
    return (
        len(names),
        sum(name in VAGUE for name in names),
        sum(len(call.args) > MOST_POSITIONAL for call in calls),
        sum(len(parameters(function)) > MOST_PARAMETERS for function in functions),
    )


def packages() -> dict[str, list[Path]]:
    """The files of each package, and those beside the packages."""
    files: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        files.setdefault(parts[0] if len(parts) > 1 else "", []).append(path)
    return files


@pytest.mark.parametrize("package", sorted(packages()))
def test_no_package_has_more_vague_names_than_it_had(package):
    counts = [count(path.read_text(encoding="utf-8")) for path in packages()[package]]
    names, vague, calls, functions = map(sum, zip(*counts, strict=True))
    most_vague, most_calls, most_functions = ALLOWED.get(package, (0, 0, 0))
    assert 100 * vague <= most_vague * names, "say the noun: `edit`, `facts`, `path`"
    assert calls <= most_calls, "pass arguments by keyword"
    assert functions <= most_functions, "put parameters that travel together into a dataclass"


def test_every_bound_is_of_a_package_that_is_there():
    for package, allowed in ALLOWED.items():
        assert package in packages()
        assert any(allowed)


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        ("edit = 1", (0, 0, 0)),
        ("found, edit = 1, 2", (1, 0, 0)),
        ("_found_ = 1", (1, 0, 0)),
        ("print(found, found.other)", (0, 0, 0)),
        ("facts = [one for one in facts]", (1, 0, 0)),
        ("def told(some, *, at=lambda it: 0): pass", (4, 0, 0)),
        ("call(1, 2, 3, 4, 5)", (0, 0, 0)),
        ("call(1, 2, 3, 4, 5, 6)", (0, 1, 0)),
        ("call(1, 2, 3, 4, 5, e=6)", (0, 0, 0)),
        ("def f(self, a, b, c, d, *, e, g, h): pass", (0, 0, 0)),
        ("async def f(a, b, c, d, *, e, g, h, i): pass", (0, 0, 1)),
    ],
)
def test_what_counts(code, counts):
    assert count(code)[1:] == counts
