"""Turns a refused `hopward.toml` into lines a person can act on. Imported only when something is wrong."""

import re
from functools import partial

from msgspec import inspect

from hopward.config.lines import line_map, line_of
from hopward.config.placement import belonging
from hopward.config.problem import Problem, Table, spelled
from hopward.config.shape import misshapen

_TOML_PLACE = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)", re.DOTALL)


def located(text: str, document: Table, broken: list[Problem], expected: type, told: str) -> list[str]:
    """Every mistake as `LINE: KEY: what is wrong`, in the order of the file.

    `told` is what the conversion said; it stands in when the walk over the types finds nothing.
    """
    shape = inspect.type_info(expected)
    problems = [*map(partial(_placed, shape), misshapen(document, shape)), *broken]
    lines = line_map(text)
    found = sorted({(line_of(lines, problem.path), _sentence(problem)) for problem in problems})
    if not found and told:
        found = [(1, told)]
    return [f"{line}: {sentence}" for line, sentence in found]


def syntax_problem(told: str, text: str) -> str:
    """A message of `tomllib` as `LINE: what is wrong`."""
    place = _TOML_PLACE.fullmatch(told)
    if place is None:
        return f"1: {told}"
    line = int(place["line"]) if place["line"] else text.count("\n") + 1
    what = place["what"]
    return f"{line}: is not TOML: {what[:1].lower()}{what[1:]}"


def _placed(shape: inspect.Type, problem: Problem) -> Problem:
    """A stray key, with the table in which it belongs if there is one."""
    where = belonging(str(problem.path[-1]), shape) if problem.stray else ""
    return problem._replace(text=f"unknown key; {where}") if where else problem


def _sentence(problem: Problem) -> str:
    return f"{spelled(problem.path)}: {problem.text}" if problem.path else problem.text
