"""How long modules and functions may be, and how many parameters a function may take."""

from collections.abc import Iterator

import pytest

from .source import Module, functions, programs, shipped

MODULE_LINES = 500
FUNCTION_LINES = 60
PARAMETERS = 6

WIDE: dict[str, str] = {}
"""Functions that take more parameters, and why."""


def too_big(module: Module) -> Iterator[str]:
    """What in a module is over a limit."""
    lines = len(module.text.splitlines())
    if lines > MODULE_LINES:
        yield f"{module.name}: {lines} lines, over {MODULE_LINES}"
    for function in functions(module):
        name = f"{function.module}:{function.name}"
        if function.lines > FUNCTION_LINES:
            yield f"{name}: {function.lines} lines, over {FUNCTION_LINES}"
        if function.parameters > PARAMETERS and name not in WIDE:
            yield f"{name}: {function.parameters} parameters, over {PARAMETERS}"


def test_no_module_function_or_parameter_list_is_over_its_limit() -> None:
    assert [found for module in (*shipped(), *programs()) for found in too_big(module)] == []


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" * 501,
        "def f():\n" + "    x = 1\n" * 60,
        "class A:\n    async def f(self):\n" + "        x = 1\n" * 60,
        "def f(a, b, c, d, e, f, g): ...",
        "def f(a, b, /, c, d, *, e, f, g): ...",
        "def f(a, b, c, d, e, *f, **g): ...",
    ],
    ids=lambda text: text[:40],
)
def test_each_limit_refuses_what_is_over_it(text: str) -> None:
    assert len(list(too_big(Module("m", text)))) == 1


def test_what_is_just_within_every_limit_is_accepted() -> None:
    function = "def f(self, a, b, c, d, e, g):\n" + "    x = 1\n" * 59
    assert list(too_big(Module("m", function + "x = 1\n" * 440))) == []
