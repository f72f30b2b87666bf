"""What the proxy's own tests and those of the LangChain plugin run, shared with these."""

import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[1]
_SHARED = {"proxies": _TESTS / "mcp" / "proxies", "programs": _TESTS / "langchain" / "programs"}


def _load(name: str, path: Path) -> None:
    """Import the package under the name pytest gives it, whichever of the two is collected first."""
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


for _name, _folder in _SHARED.items():
    if _name not in sys.modules:
        _load(_name, _folder / "__init__.py")

fronting = importlib.import_module("proxies.fronting")
programs = importlib.import_module("programs.conftest")
hooks, installed, till = programs.hooks, programs.installed, programs.till


@pytest.fixture
async def fronted(tmp_path: Path) -> AsyncIterator[object]:
    """`desk` and `other` behind the HTTP front, both recording."""
    async with fronting.front(tmp_path, ("desk", "other")) as running:
        yield running
