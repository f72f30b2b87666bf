"""Text from outside made harmless before a terminal or a person sees it.

Names, arguments and error texts in the decision log come from agents and servers, and a decision log may have
been tampered with. Shown raw they could move the cursor, forge lines or hide text, so control and formatting
characters are shown as escapes.
"""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def harmless(text: str) -> str:
    """The text on one line, every control or invisible character written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _HIDDEN else char
        for char in text
    )


def harmless_lines(text: str) -> str:
    """The text with its line breaks, everything else as in `harmless`."""
    return "\n".join(map(harmless, text.split("\n")))
