"""Regular expressions whose matching takes time linear in the text (RE2), whoever has written either."""

from collections.abc import Callable
from typing import Protocol, cast

import re2  # pyright: ignore[reportMissingTypeStubs]  (google-re2 ships no types)


class Program(Protocol):
    """A compiled RE2 expression."""

    def fullmatch(self, text: bytes, /) -> object | None:
        """A match of the whole text, or None."""
        ...

    def search(self, text: str, /) -> object | None:
        """The first match anywhere in the text, or None."""
        ...

    def findall(self, text: str, /) -> list[str]:
        """Every match in the text, one after the other."""
        ...


Options = re2.Options
"""How an expression is read; see RE2::Options."""

compile_expression = cast(Callable[[str, re2.Options], Program], re2.compile)  # pyright: ignore[reportUnknownMemberType]
"""Compile an expression; raises `ExpressionError`."""

ExpressionError = cast(type[Exception], re2.error)  # pyright: ignore[reportUnknownMemberType]
"""What is wrong with an expression: its first argument says so, as bytes."""
