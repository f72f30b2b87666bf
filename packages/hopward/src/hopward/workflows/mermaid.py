"""A workflow as a Mermaid flowchart."""

import re
from collections.abc import Iterator, Sequence

from hopward.model import Step
from hopward.steps import does

_PLAIN = re.compile(r"[A-Za-z0-9 _.,/:()-]")


def mermaid(title: Sequence[str], steps: Sequence[Step]) -> str:
    """The flowchart, `title` line by line on top.

    It has a box for each step, an arrow to what may follow, and a dotted one to what is ruled out.
    """
    return "\n".join(_lines(title, steps)) + "\n"


def _lines(title: Sequence[str], steps: Sequence[Step]) -> Iterator[str]:
    names = {step.name: f"step{number}" for number, step in enumerate(steps, 1)}
    yield "flowchart TD"
    told = "<br>".join(map(_text, title))
    yield f'  opened(["{told}"])'
    for step in steps:
        label = "<br>".join(map(_text, label_of(step)))
        yield f'  {names[step.name]}["{label}"]'
    for step in steps:
        for before in step.after:
            yield f"  {names[before]} --> {names[step.name]}"
        if not step.after:
            yield f"  opened --> {names[step.name]}"
    for step in steps:
        for other in step.unless:
            yield f"  {names[other]} -. rules out .-> {names[step.name]}"


def label_of(step: Step) -> tuple[str, ...]:
    """What stands in the box of a step: its name, how often it may come, who does what, and with what."""
    times = f" (up to {step.times} times)" if step.times > 1 else ""
    given = [f"{name} = {{{parameter}}}" for name, parameter in step.bound.items()]
    name = () if step.name == step.tool else (step.name + times,)
    approval = [f"approval by {step.approval}"] if step.approval else []
    return (*name, does(step), *([", ".join(given)] if given else []), *approval)


def _text(text: str) -> str:
    """Text that no reader of Mermaid takes for anything else: all but plain characters by their number."""
    return "".join(sign if _PLAIN.fullmatch(sign) else f"#{ord(sign)};" for sign in text)
