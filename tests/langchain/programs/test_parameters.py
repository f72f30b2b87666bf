"""A function called by name, the usual way, is decided on as Python itself would bind it."""

from collections.abc import Callable
from typing import Any

import pytest

from langchain_hopward.form import UnreadableError
from langchain_hopward.parameters import Parameters


def _one(note: str) -> None: ...


def _several(note: str, times: int = 1, *, loud: bool = False, other: str | None = None) -> None: ...


def _rest(note: str, **more: int) -> None: ...


def _many(*notes: str, end: str = ".") -> None: ...


def _by_place(note: str, /, times: int = 2) -> None: ...


def _place_and_rest(amount: int | None = None, /, **more: int) -> None: ...


def _all_and_rest(*args: int, **kwargs: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "decided"),
    [
        (_one, (), {"note": "a"}, {"note": "a"}),
        (_one, ("a",), {}, {"note": "a"}),
        (_several, (), {"note": "a"}, {"note": "a", "times": 1, "loud": False}),
        (_several, (), {"loud": True, "note": "a"}, {"note": "a", "times": 1, "loud": True}),
        (_several, (), {"other": "b", "note": "a"}, {"note": "a", "times": 1, "loud": False, "other": "b"}),
        (_several, ("a", 2), {"loud": True}, {"note": "a", "times": 2, "loud": True}),
        (_rest, (), {"note": "a", "x": 1}, {"note": "a", "x": 1}),
        (_many, ("a", "b"), {}, {"notes": ["a", "b"], "end": "."}),
        (_many, (), {}, {"end": "."}),
        (_by_place, ("a",), {"times": 1}, {"note": "a", "times": 1}),
        (_place_and_rest, (500,), {"more": 1}, {"amount": 500, "more": 1}),
        (_all_and_rest, (), {"kwargs": 1}, {"kwargs": 1}),
    ],
)
def test_what_is_decided_on_is_what_python_binds(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], decided: dict[str, Any]
) -> None:
    assert Parameters(function).arguments(args, kwargs) == decided


@pytest.mark.parametrize("kwargs", [{}, {"note": "a", "unheard": 1}, {"unheard": 1}])
@pytest.mark.parametrize("function", [_one, _several])
def test_what_python_would_not_bind_is_not_decided_on(
    function: Callable[..., Any], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(UnreadableError):
        Parameters(function).arguments((), kwargs)


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (_place_and_rest, (500,), {"amount": 1}),
        (_place_and_rest, (), {"amount": 1}),
        (_all_and_rest, (500,), {"args": 1}),
    ],
)
def test_two_values_under_one_name_are_not_decided_on(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(UnreadableError):
        Parameters(function).arguments(args, kwargs)
