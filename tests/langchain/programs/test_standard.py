"""LangChain's own suites for tools (`langchain-tests`), on guarded copies: they are tools like any other."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool, tool

from .till import Till

pytest.importorskip("langchain_tests", reason="langchain-tests is not installed")

from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests


class Looking(BaseTool):
    """A tool written as a class."""

    name: str = "look"
    description: str = "Looks something up."

    def _run(self, note: str) -> str:
        return f"found {note}"

    async def _arun(self, note: str) -> str:
        return f"found {note}"


@tool(response_format="content_and_artifact")
def look(note: str) -> tuple[str, dict[str, str]]:
    """Looks something up."""
    return f"found {note}", {"note": note}


async def look_later(note: str) -> str:
    """Looks something up."""
    return f"found {note}"


def look_now(note: str) -> str:
    """Looks something up."""
    return f"found {note}"


ORIGINALS: dict[str, BaseTool] = {
    "function": tool("look")(look_now),
    "both": StructuredTool.from_function(look_now, look_later, name="look"),
    "class": Looking(),
    "artifact": look,
}
"""Kinds of tools, each called `look`."""


class _Guarded:
    """A guarded copy of one kind of tool, inside a task."""

    kind = ""
    guarded: BaseTool

    @pytest.fixture(autouse=True)
    def inside(self, till: Till) -> Iterator[None]:
        type(self).guarded = till.hopward.install().protect([ORIGINALS[self.kind]])[0]
        with till.task():
            yield

    @property
    def tool_constructor(self) -> BaseTool:
        return self.guarded

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"note": "n1"}


class TestFunctionUnit(_Guarded, ToolsUnitTests):
    kind = "function"


class TestFunction(_Guarded, ToolsIntegrationTests):
    kind = "function"


class TestFunctionAndCoroutineUnit(_Guarded, ToolsUnitTests):
    kind = "both"


class TestFunctionAndCoroutine(_Guarded, ToolsIntegrationTests):
    kind = "both"


class TestClassUnit(_Guarded, ToolsUnitTests):
    kind = "class"


class TestClass(_Guarded, ToolsIntegrationTests):
    kind = "class"


class TestContentAndArtifactUnit(_Guarded, ToolsUnitTests):
    kind = "artifact"


class TestContentAndArtifact(_Guarded, ToolsIntegrationTests):
    kind = "artifact"
