"""The house: which room may import which, checked on the syntax trees of all files."""

from __future__ import annotations

import ast
import graphlib
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "kn_edit"

# Rooms from the bottom up, and what each may import beside itself and FOR_EVERYONE.
# One arrow is not in the first drawing of the house: `models` turns prompts into tokens.
MAY_IMPORT: dict[str, set[str]] = {
    "untrusted": set(),
    "canonical": set(),
    "figures": set(),
    "later": set(),
    "plugins": set(),
    "atomic": set(),
    "safetext": set(),
    "credentials": {"untrusted"},
    "tensor_header": {"untrusted", "safetext"},
    "errors": {"safetext", "credentials"},
    "seeds": {"errors"},
    "neuron": set(),
    "progress": set(),
    "objects": set(),
    "facts": set(),
    "models": {"facts"},
    "neurons": {"facts", "models"},
    "edits": {"facts", "models"},
    "ledger": {"objects", "edits.delta", "edits.kept"},
    "checkpoints": {"edits", "models"},
    "evaluation": {"facts", "models", "neurons", "edits"},
    "hub": {
        "facts",
        "edits.changes",
        "edits.delta",
        "edits.kept",
        "models",
        "ledger.records",
        "ledger.history",
        "checkpoints",
        "evaluation.metric",
    },
    "engine": {"models", "neurons", "edits", "ledger.records"},
    "editing": {"facts", "models", "neurons", "edits", "ledger.records", "evaluation", "engine"},
    "workspace": {
        "objects",
        "facts",
        "models",
        "neurons",
        "edits",
        "ledger",
        "checkpoints",
        "evaluation",
        "engine",
        "editing",
        "hub",
    },
    "experiments": {
        "facts",
        "models",
        "neurons",
        "edits",
        "evaluation",
        "engine",
        "editing",
        "workspace",
    },
    "client": set(),
    "jobs": {"workspace", "ledger.dialect", "ledger.dialects", "ledger.sqlite_file"},
    "service": {"workspace", "client", "jobs", "experiments", "evaluation.protocols"},
    "mcp": {"workspace", "client", "jobs", "service"},
    "cli": {
        "objects.address",
        "workspace",
        "experiments",
        "checkpoints.forms",
        "evaluation.metric",
        "evaluation.protocols",
        "jobs",
        "service",
        "mcp",
    },
}
FOR_EVERYONE = {
    "errors",
    "neuron",
    "progress",
    "untrusted",
    "atomic",
    "canonical",
    "later",
    "plugins",
    "safetext",
    "credentials",
    "tensor_header",
    "seeds",
    "figures",
}

# Where packages that are somebody else's may be imported: in a room, or in one file of it.
AT_HOME: dict[str, set[str]] = {
    "alembic": {"ledger"},
    "sqlalchemy": {
        "ledger",
        "jobs",
        "service.keys",
        "service.proposals",
        "service.access.audit",
        "service.access.tables",
        "service.access.tokens",
    },
    "sqlite3": {"ledger.postgres_dump", "ledger.sqlite", "ledger.sqlite_file"},
    "psycopg": {"ledger.postgres", "ledger.postgres_server"},
    "click": {"cli"},
    "fastapi": {"service"},
    "starlette": {
        "service.pages.site",
        "service.problems",
        "service.openai.errors",
        "service.access.guard",
        "service.access.origins",
        "service.operations.requests",
    },
    "pydantic": {"service", "mcp.tools"},
    "mcp": {"mcp.server"},
    "mcp_types": {"mcp.server"},
    "uvicorn": {"cli.serve"},
    "prometheus_client": {"service.operations.metrics"},
    "rich": {"cli"},
    "huggingface_hub": {
        "models.source",
        "models.hub_http",
        "models.hub_failures",
        "checkpoints.folders",
        "hub",
    },
    "transformers": {"models"},
    "safetensors": {"models", "checkpoints.adapter", "checkpoints.patch"},
    "platformdirs": {"models.cache"},
    "obstore": {"objects.bucket"},
    "subprocess": {"models.demo", "jobs.children"},
    "huey": {"jobs.lanes"},
    "ray": {"engine.ray_workers"},
    "lm_eval": {"experiments.capability"},
    "matplotlib": {"evaluation.plots"},
    "jinja2": {"evaluation.report", "models.chat", "service.pages.rendering"},
}
LATER = "later"  # kn_edit.later names a module that is loaded when something of it is used
MOST_LATE = 33  # imports of the package that wait for a call, by whatever means
MOST_LINES = 140  # of the median file
HEAVY = {"torch", "transformers", "huggingface_hub", "numpy", "safetensors"}


@dataclass(frozen=True)
class Import:
    """One import: from which module, of which, and whether only for type checkers."""

    file: str  # without the package: "ledger.blobs"
    target: str  # "kn_edit.edits.delta", "torch"
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.file} imports {self.target}"


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, modules: set[str]) -> Iterator[Import]:
    """Every import of a file, inside functions too, by the module that it reaches."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = guarded_by_type_checking(tree)
    own = module_of(path).removeprefix(f"{PACKAGE}.")
    for node in ast.walk(tree):
        for target in targets(node, modules):
            yield Import(own, target, node in guarded)


def guarded_by_type_checking(tree: ast.AST) -> set[ast.AST]:
    """What only type checkers read."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }


def targets(node: ast.AST, modules: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute here"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in modules else str(node.module)
    elif isinstance(node, ast.Call) and calls(node, LATER):
        yield ast.literal_eval(node.args[0])


def calls(node: ast.AST, name: str) -> bool:
    """Whether a node calls a function of this name, whatever that is taken from."""
    function = getattr(node, "func", None)
    return getattr(function, "id", getattr(function, "attr", None)) == name


FILES = sorted((ROOT / PACKAGE).rglob("*.py"))
MODULES = {module_of(path) for path in FILES}
IMPORTS = [one for path in FILES for one in imports_of(path, MODULES)]
OWN = [one for one in IMPORTS if one.target.startswith(f"{PACKAGE}.")]


def room(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.").partition(".")[0]


def allowed(one: Import) -> bool:
    here, inner = room(one.file), one.target.removeprefix(f"{PACKAGE}.")
    there = room(inner)
    return there in {here} | FOR_EVERYONE | MAY_IMPORT[here] or inner in MAY_IMPORT[here]


def at_home(one: Import) -> bool:
    homes = AT_HOME[one.target.partition(".")[0]]
    return one.file in homes or room(one.file) in homes


def test_the_table_names_the_rooms_that_there_are():
    assert {room(module) for module in MODULES if module != PACKAGE} == MAY_IMPORT.keys()
    assert len(OWN) > 100  # the walk sees the imports, those inside functions too
    assert Import("ledger.opened", "kn_edit.edits.delta", False) in OWN
    assert Import("ledger.opened", "kn_edit.edits.delta", True) in OWN


def test_the_table_itself_has_no_arrow_up():
    order = list(MAY_IMPORT)
    for number, rooms in enumerate(MAY_IMPORT.values()):
        assert {room(other) for other in rooms} <= set(order[:number])


def test_no_room_imports_what_the_table_does_not_allow():
    assert [str(one) for one in OWN if not one.typing_only and not allowed(one)] == []


def test_not_even_for_type_checkers():
    assert [str(one) for one in OWN if one.typing_only and not allowed(one)] == []


def test_no_two_files_import_each_other_by_any_way_round():
    graph: dict[str, set[str]] = {}
    for one in OWN:
        if not one.typing_only:
            graph.setdefault(f"{PACKAGE}.{one.file}", set()).add(one.target)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the way


def late_imports(tree: ast.AST) -> int:
    """How many imports of the package by itself wait until a function runs, or a name is used.

    Counted are import statements in functions, modules that are named to `later`, and calls that
    import by a name.
    """
    functions = (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    inside = {inner for function in functions for inner in ast.walk(function)}
    statements = (
        isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == PACKAGE
        for node in inside
    )
    by_name = (
        calls(node, name)
        for node in ast.walk(tree)
        for name in (LATER, "import_module", "__import__")
    )
    return sum(statements) + sum(by_name)


def test_few_imports_wait_for_a_call():
    counts = {
        module_of(path): late_imports(ast.parse(path.read_text(encoding="utf-8"))) for path in FILES
    }
    waiting = {module: count for module, count in counts.items() if count}
    assert sum(waiting.values()) <= MOST_LATE, waiting


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("from kn_edit.facts import Case", 0),
        ("def f():\n    from kn_edit.facts import Case, Fact", 1),
        ("def f():\n    from torch import nn", 0),
        ("async def f():\n    def g():\n        from kn_edit import facts", 1),
        ("facts = later('kn_edit.facts')", 1),
        ("def f():\n    importlib.import_module(name)", 1),
    ],
)
def test_which_imports_wait(code, count):
    assert late_imports(ast.parse(code)) == count


def loaded_later(tree: ast.AST) -> list[tuple[str, str]]:
    """Each name that is bound to a module that is loaded later, with that module."""
    return [
        (ast.unparse(node.targets[0]), *targets(node.value, MODULES))
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and calls(node.value, LATER)
    ]


def checked_as(tree: ast.AST) -> set[tuple[str, str]]:
    """Each name that is imported for type checkers, with the module that it stands for."""
    return {
        (alias.asname or alias.name, f"{node.module}.{alias.name}")
        for node in guarded_by_type_checking(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_a_module_that_is_loaded_later_is_checked_as_the_same_module():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
    later = {path: loaded_later(tree) for path, tree in trees.items()}
    assert sum(map(len, later.values())) > 5
    for path, tree in trees.items():
        assert {*later[path]} <= checked_as(tree), path
        assert len(later[path]) == sum(calls(node, LATER) for node in ast.walk(tree)), path
        assert {module for _, module in later[path]} <= MODULES, path


def test_half_of_the_files_are_short():
    lengths = [path.read_text(encoding="utf-8").count("\n") for path in FILES]
    assert statistics.median(lengths) <= MOST_LINES


def test_packages_of_others_stay_in_their_rooms():
    seen = [one for one in IMPORTS if one.target.partition(".")[0] in AT_HOME]
    assert [str(one) for one in seen if not at_home(one)] == []
    for name, homes in AT_HOME.items():
        users = {one.file for one in seen if one.target.partition(".")[0] == name}
        for home in homes:  # else the table allows what nobody does
            assert any(user == home or room(user) == home for user in users), (name, home)


def test_only_the_modules_of_sqlite_speak_its_sql():
    """What another database would not understand stays behind the port `Dialect`."""
    words = ("exec_driver_sql", "PRAGMA", "sqlite_master", "BEGIN IMMEDIATE")
    speakers = {
        module_of(path).removeprefix(f"{PACKAGE}.")
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if any(word in spoken(node) for word in words)
    }
    assert speakers == {
        "ledger.sqlite",
        "ledger.sqlite_file",
        "ledger.statistics",
        "ledger.structure",
    }


def test_rows_of_a_ledger_go_through_the_connection_of_one_workspace():
    """`select` and `Connection` of SQLAlchemy know no workspaces; ours are in ledger.connection."""
    below = {
        "connection",
        "database",
        "dialect",
        "migrating",
        "postgres",
        "postgres_dump",
        "postgres_server",
        "postgres_shape",
        "sqlite",
        "sqlite_file",
        "statistics",
        "structure",
    }
    users = {
        module_of(path).removeprefix(f"{PACKAGE}.")
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "sqlalchemy"
        if {alias.name for alias in node.names} & {"select", "insert", "Connection"}
    }
    apart = {  # of tables of their own
        "jobs.callers",
        "jobs.database",
        "jobs.pruning",
        "jobs.in_folder",
        "jobs.lanes",
        "jobs.in_postgres",
        "jobs.place",
        "jobs.rows",
        "service.access.audit",
        "service.access.tokens",
    }
    assert users <= {f"ledger.{name}" for name in below} | apart
    whole = [path for path in FILES if "import sqlalchemy" in path.read_text(encoding="utf-8")]
    assert {path.stem for path in whole} <= {"columns", "connection", "database"}


def spoken(node: ast.AST) -> str:
    """What a node of a syntax tree says to a database: a text that is no docstring, a method."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
        return node.value
    return node.attr if isinstance(node, ast.Attribute) else ""


def test_every_package_that_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    lines = [*project["dependencies"], *extras]
    declared = {re.split(r"[>\[]", line)[0].replace("-", "_") for line in lines}
    declared |= {"yaml"} & {line.removeprefix("py") for line in declared}
    roots = {one.target.partition(".")[0] for one in IMPORTS}
    assert roots - sys.stdlib_module_names - {PACKAGE} <= declared


def test_the_table_of_packages_lists_each_below_what_it_may_import():
    page = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    lines = page.split("## The packages")[1].split("## Terms")[0].splitlines()
    rows = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in lines if line.startswith("| `")]
    listed = [package for row in rows for package in row]
    assert sorted(listed) == sorted(MAY_IMPORT)
    for package, others in MAY_IMPORT.items():
        above = {one.partition(".")[0] for one in others}
        assert above <= set(listed[: listed.index(package)]), package


def test_only_the_command_line_prints():
    calls = [
        (module_of(path), node)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
    ]
    assert [f"{at}:{call.lineno}" for at, call in calls if room(at) != "cli"] == []


def test_digests_are_taken_by_the_ground_floor():
    users = {one.file for one in IMPORTS if one.target == "hashlib"}
    assert users == {
        "canonical",
        "hub.parts",  # git's sha1
        "ledger.archive",  # while it copies
        "ledger.coverage",  # of many events, in one pass
        "ledger.recipes",  # goes on from states that it keeps
    }


def test_ids_are_shortened_in_one_place():
    slices = [
        (module_of(path), node.lineno)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Slice) and ast.unparse(node) == ":12"
    ]
    assert slices == []  # `kn_edit.canonical.short`


def test_migrations_know_the_tables_only_and_the_shim_the_command_line():
    migrations = sorted((ROOT / "migrations").rglob("*.py"))
    reached = {one.target for path in migrations for one in imports_of(path, MODULES)}
    assert {target for target in reached if target.startswith(PACKAGE)} == {"kn_edit.ledger.tables"}
    shim = {one.target for one in imports_of(ROOT / "cli.py", MODULES)}
    assert shim == {"__future__", "kn_edit.cli"}


@pytest.mark.parametrize("module", ["kn_edit.workspace", "kn_edit.cli", "kn_edit.ledger"])
def test_what_starts_a_command_needs_no_torch(module):
    script = f"import sys, {module}; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
