"""What is shipped: the source folders of the four distributions, which their wheels hold as they are."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def files() -> Iterator[Path]:
    """Every file that is shipped."""
    for source in (*ROOT.glob("packages/*/src"), *ROOT.glob("plugins/*/src")):
        yield from (path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc")


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Name and syntax tree of every module."""
    for path in files():
        if path.suffix == ".py":
            parts = path.with_suffix("").parts
            yield ".".join(parts[parts.index("src") + 1 :]), ast.parse(path.read_text("utf-8"))


def importing(names: set[str]) -> set[tuple[str, str]]:
    """Module and name of every import of one of these."""
    found: set[tuple[str, str]] = set()
    for module, tree in modules():
        for node in ast.walk(tree):
            match node:
                case ast.Import(names=imported):
                    found |= {(module, one.name) for one in imported}
                case ast.ImportFrom(module=str(origin), names=imported):
                    found |= {(module, origin), *((module, f"{origin}.{one.name}") for one in imported)}
                case _:
                    pass
    return {one for one in found if one[1] in names}


def mentioning(names: set[str]) -> set[tuple[str, str]]:
    """The same, and every attribute or name so called."""
    found = {
        (module, node.attr if isinstance(node, ast.Attribute) else node.id)
        for module, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name)
    }
    return importing(names) | {one for one in found if one[1] in names}
