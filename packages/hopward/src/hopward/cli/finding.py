"""One thing that `hopward doctor` has looked at."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["ok", "note", "broken"]
"""`broken` stops Hopward or undoes a guarantee; `note` is good enough for development, or not finished."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is, and what to do about it."""

    level: Level
    about: str
    sentence: str
    advice: str = ""
