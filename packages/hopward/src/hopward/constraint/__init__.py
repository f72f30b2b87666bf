"""Constraints on the arguments of a tool call: data-only conditions with an exact meet.

`satisfies` decides one constraint for one argument; a conjunction is a tuple of constraints that must all
hold. An absent argument, JSON null, an object and a value of another type satisfy nothing: `true` is not 1,
`"5"` is not 5 and `["a"]` is not `"a"`. All JSON numbers are one type: 5 and 5.0 are equal, and integers
and floats are compared by their exact values, never by rounding one to the other. A string with a lone
surrogate cannot be sent as UTF-8 and satisfies nothing. A constraint that `check` objects to, or the part
of it that is wrong, is satisfied by nothing.

    kinds         the constraints as values           location      paths and URLs, read strictly
    satisfaction  `satisfies`                         conjunction   `normal` and `meet`
    wording       `check` and `describe`              arguments     which argument a key names
"""

from hopward.constraint.conjunction import meet, normal
from hopward.constraint.kinds import (
    MISSING,
    NOTHING,
    Constraint,
    Equals,
    Length,
    Missing,
    OneOf,
    PathUnder,
    Pattern,
    Prefix,
    Range,
    Scalar,
    UrlHost,
)
from hopward.constraint.satisfaction import satisfies, satisfies_all
from hopward.constraint.wording import check, describe

__all__ = [
    "Constraint",
    "Equals",
    "Length",
    "MISSING",
    "Missing",
    "NOTHING",
    "OneOf",
    "PathUnder",
    "Pattern",
    "Prefix",
    "Range",
    "Scalar",
    "UrlHost",
    "check",
    "describe",
    "meet",
    "normal",
    "satisfies",
    "satisfies_all",
]
