"""The recording servers and the running front of the proxy's own tests, shared with these."""

import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

_PROXIES = Path(__file__).parents[1] / "mcp" / "proxies"


def _load(name: str, path: Path) -> None:
    """Import the package under the name pytest gives it, whichever of the two is collected first."""
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


if "proxies" not in sys.modules:
    _load("proxies", _PROXIES / "__init__.py")

fronting = importlib.import_module("proxies.fronting")


@pytest.fixture
async def fronted(tmp_path: Path) -> AsyncIterator[object]:
    """`desk` and `other` behind the HTTP front, both recording."""
    async with fronting.front(tmp_path, ("desk", "other")) as running:
        yield running
