"""The rules of the house that no linter holds: floors, circles, sizes, doors."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
MODULES = sorted(
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")
    for path in SRC.rglob("*.py")
)
PACKAGES = [name for name in MODULES if (SRC / name.replace(".", "/") / "__init__.py").exists()]

# Imports run downwards only, to a lower number or within a part. The agent is apart: of the
# floors below it, it knows only what travels and where sessions live.
GROUND = {"errors", "_types", "_version", "_settings", "_redaction", "_telemetry"}
GROUND |= {"portal", "_portal_guard", "_portal_loop", "_cancellation", "_fork_lock", "_notebook"}
FLOORS = {
    "wire": 1,
    "openrouter": 2,
    "sessions": 2,
    "tools": 3,
    "mcp": 4,
    "agent": 5,
    "agent_server": 6,
    "durable": 6,
    "local": 6,
    "testing": 6,
    "serving": 7,
    "inspector": 8,
    "fastapi": 9,
    "cli": 10,
    "notebook": 11,
    "__main__": 11,
}
AGENT_KNOWS = {"agent", "wire", "sessions"}

# Slow or optional: they are imported where they are used.
LATE = {"dbos", "mcp", "mcp_types", "httpx2", "opentelemetry", "psycopg", "redis"}
LATE |= {"rich", "typer", "xllamacpp"}

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60


@dataclass(frozen=True)
class Import:
    """One imported module, and where."""

    module: str
    names: tuple[str, ...]
    line: int
    typing_only: bool
    late: bool


def path_of(module: str) -> Path:
    folder = SRC / module.replace(".", "/")
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text(encoding="utf-8"))


@cache
def imports_of(module: str) -> tuple[Import, ...]:
    return tuple(_imports(tree_of(module), typing_only=False, late=False))


def _imports(node: ast.AST, *, typing_only: bool, late: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, (), child.lineno, typing_only, late)
        elif isinstance(child, ast.ImportFrom):
            names = tuple(alias.name for alias in child.names)
            yield Import(child.module or "", names, child.lineno, typing_only, late)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            branch = ast.Module(body=child.body, type_ignores=[])
            other = ast.Module(body=child.orelse, type_ignores=[])
            yield from _imports(branch, typing_only=True, late=late)
            yield from _imports(other, typing_only=typing_only, late=late)
        else:
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, typing_only=typing_only, late=late or inner)


def own_imports(module: str) -> Iterator[tuple[str, Import]]:
    """The modules of mbxai that a module names, submodules given by `from` included."""
    for found in imports_of(module):
        if found.module.split(".")[0] != "mbxai":
            continue
        inside = [f"{found.module}.{name}" for name in found.names]
        submodules = [name for name in inside if name in MODULES]
        for target in submodules or [found.module]:
            yield target, found


def part_of(module: str) -> str:
    """The folder or file directly under `mbxai`; empty for the package itself."""
    return module.split(".")[1] if "." in module else ""


def is_ground(module: str) -> bool:
    return part_of(module) in GROUND


def is_excused(module: str) -> bool:
    """Whether type hints may look up: a package's late names, and the values that errors carry."""
    return module in PACKAGES or module.startswith("mbxai.errors")


def may_import(module: str, target: str) -> bool:
    here, there = part_of(module), part_of(target)
    if here == "":
        return True
    if there == "":
        return here == "cli"  # the top is nobody's source, except for the program that shows it
    if is_ground(target):
        return True
    if is_ground(module):
        return False
    if here == "agent":
        return there in AGENT_KNOWS
    return here == there or FLOORS[there] < FLOORS[here]


def test_every_part_has_its_floor():
    parts = {part_of(module) for module in MODULES if part_of(module)}
    assert parts <= FLOORS.keys() | GROUND


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards_only(module):
    upward = [
        f"line {found.line}: {target}"
        for target, found in own_imports(module)
        if not (found.typing_only and is_excused(module)) and not may_import(module, target)
    ]
    assert upward == []


def test_no_modules_import_each_other_in_a_circle():
    arrows = {
        module: {
            target
            for target, found in own_imports(module)
            if target != module and not (found.typing_only and is_excused(module))
        }
        for module in MODULES
    }
    circle: list[str] = []
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle == []


@pytest.mark.parametrize("module", MODULES)
def test_slow_and_optional_libraries_are_imported_where_they_are_used(module):
    early = [
        f"line {found.line}: {found.module}"
        for found in imports_of(module)
        if found.module.split(".")[0] in LATE and not found.late and not found.typing_only
    ]
    assert early == []


@pytest.mark.parametrize("module", MODULES)
def test_no_file_is_too_long(module):
    lines = len(path_of(module).read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_FILE_LINES


@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_too_long(module):
    long = [
        f"{node.name}: {length}"
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := length_of(node)) > MAX_FUNCTION_LINES
    ]
    assert long == []


def length_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    length = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        assert first.end_lineno is not None
        length -= first.end_lineno - first.lineno + 1
    return length


@pytest.mark.parametrize("module", PACKAGES)
def test_a_package_lists_its_names_in_order_and_has_no_logic(module):
    tree = tree_of(module)
    [names] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and node.value is not None
        and ast.unparse(getattr(node, "target", None) or node.targets[0]) == "__all__"
    ]
    assert isinstance(names, list)
    assert names == sorted(set(names), key=reading_order)
    if module != "mbxai":  # the top loads its names late
        allowed = ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.Expr | ast.If
        assert [ast.unparse(node) for node in tree.body if not isinstance(node, allowed)] == []


def reading_order(name: str) -> tuple[object, ...]:
    """Constants, classes, the rest; as the linter sorts them, digits by their value."""
    bare = name.strip("_")
    kind = 0 if len(bare) > 1 and bare.isupper() else 1 if bare[:1].isupper() else 2
    pieces = re.split(r"(\d+)", name)
    return kind, [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pieces]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module):
    assert ast.get_docstring(tree_of(module))


def test_nothing_is_named_after_nothing():
    vague = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert [name for name in MODULES if vague & set(name.replace("_", ".").split("."))] == []


def test_only_the_portal_runs_a_thread_or_a_loop_of_its_own():
    doors = {"mbxai._portal_loop", "mbxai.portal"}
    owners = [
        module
        for module in MODULES
        if part_of(module) not in {"testing", "local", "cli"} and module not in doors
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node)
        in {"threading.Thread", "asyncio.new_event_loop", "asyncio.run", "anyio.run"}
    ]
    assert owners == []
