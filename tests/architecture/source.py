"""The source tree as the architecture tests read it: modules, their syntax trees, and what they import."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]

SOURCES = {
    "hopward": ROOT / "packages" / "hopward" / "src",
    "hopward_authority": ROOT / "packages" / "authority" / "src",
    "hopward_mcp": ROOT / "plugins" / "mcp" / "src",
    "langchain_hopward": ROOT / "plugins" / "langchain" / "src",
}
"""Import package -> the source folder of its distribution."""


@dataclass(frozen=True)
class Module:
    """One Python file. `name` is dotted; a package's `__init__` has the package's name."""

    name: str
    text: str
    is_package: bool = False
    tree: ast.Module = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", ast.parse(self.text, self.name))


@dataclass(frozen=True)
class Import:
    """One import of a module: a statement run at once or in a function, or `import_module` on demand."""

    importer: str
    imported: str
    line: int
    when: Literal["at once", "in a function", "on demand"] = "at once"

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


@cache
def shipped() -> tuple[Module, ...]:
    """Every module of the four distributions."""
    return tuple(module for source in SOURCES.values() for module in read(source))


@cache
def names() -> frozenset[str]:
    """The dotted names of all shipped modules."""
    return frozenset(module.name for module in shipped())


def read(source: Path) -> Iterator[Module]:
    """The modules under a source folder."""
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        yield Module(".".join(parts[:-1] if is_package else parts), path.read_text("utf-8"), is_package)


@cache
def programs() -> tuple[Module, ...]:
    """The scripts beside the distributions: examples and benchmarks, named by their path."""
    paths = (path for folder in ("examples", "bench") for path in sorted((ROOT / folder).rglob("*.py")))
    return tuple(Module(str(path.relative_to(ROOT)), path.read_text("utf-8")) for path in paths)


@cache
def written() -> dict[str, str]:
    """Every text file that people write, by its path: what git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    paths = {name: ROOT / name for name in sorted(filter(None, listed))}
    contents = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
    return {name: data.decode("utf-8", "replace") for name, data in contents.items() if b"\0" not in data}


def imports(module: Module, known: frozenset[str]) -> Iterator[Import]:
    """What a module imports, anywhere in it; `known` tells `from package import module` from a mere name."""
    for node, inside in _walk(module.tree, inside=False):
        when = "on demand" if isinstance(node, ast.Call) else "in a function" if inside else "at once"
        for name in _imported(node, module, known):
            yield Import(module.name, name, getattr(node, "lineno", 0), when)


def _walk(node: ast.AST, *, inside: bool) -> Iterator[tuple[ast.AST, bool]]:
    yield node, inside
    inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, inside=inside)


def _imported(node: ast.AST, module: Module, known: frozenset[str]) -> Iterator[str]:
    match node:
        case ast.Import(names=aliases):
            yield from (alias.name for alias in aliases)
        case ast.ImportFrom(names=aliases):
            base = _base(node, module)
            for alias in aliases:
                inner = f"{base}.{alias.name}"
                yield inner if inner in known else base
        case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
            yield name
        case ast.Call(
            func=ast.Name(id="__import__" | "import_module"), args=[ast.Constant(value=str(name)), *_]
        ):
            yield name
        case _:
            return


def _base(node: ast.ImportFrom, module: Module) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".")
    up = node.level - 1 if module.is_package else node.level
    package = package[: len(package) - up]
    return ".".join([*package, node.module] if node.module else package)


@dataclass(frozen=True)
class Function:
    """A function or method, by the name it has inside its module: `Guard.authorize`."""

    module: str
    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def lines(self) -> int:
        """From `def` to the last line, docstring included."""
        return (self.node.end_lineno or 0) - self.node.lineno + 1

    @property
    def parameters(self) -> int:
        """How many parameters it takes besides `self` or `cls`."""
        arguments = self.node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [extra for extra in (arguments.vararg, arguments.kwarg) if extra]
        return len([one for one in every if one.arg not in ("self", "cls")])


def functions(module: Module) -> Iterator[Function]:
    """Every function of a module, nested ones too."""
    for name, node in named(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(module.name, name, node)


def named(node: ast.AST, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ast.AST]]:
    """Every node with the name of the function or class that it is, or stands in."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        path = (*path, node.name)
    yield ".".join(path), node
    for child in ast.iter_child_nodes(node):
        yield from named(child, path)
