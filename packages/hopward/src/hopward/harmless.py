"""Text from outside made harmless before a terminal or a person sees it.

Names, arguments and error texts in the decision log come from agents and servers, and a decision log may have
been tampered with. Shown raw they could move the cursor, forge lines or hide text, so control and formatting
characters are shown as escapes.
"""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_BLANK = (
    frozenset(map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180F, 0x2800, 0x3164, 0xFFA0)))
    | frozenset(map(chr, range(0x180B, 0x180E)))
    | frozenset(map(chr, range(0xFE00, 0xFE10)))
    | frozenset(map(chr, range(0xE0100, 0xE01F0)))
)
"""What no category tells: the rest of Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt), and
the Braille pattern without a dot."""


def is_unseen(char: str) -> bool:
    """Whether a character controls, or leaves nothing to be seen, other than a space."""
    return unicodedata.category(char) in _HIDDEN or char in _BLANK


def harmless(text: str) -> str:
    """The text on one line, every control or invisible character written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char.encode("unicode_escape").decode() if is_unseen(char) else char for char in text)


def harmless_lines(text: str) -> str:
    """The text with its line breaks, everything else as in `harmless`."""
    return "\n".join(map(harmless, text.split("\n")))
