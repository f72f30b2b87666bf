"""A task as a tree: what each agent asked for, each hop a branch, and what followed."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from rich.text import Text
from rich.tree import Tree

from hopward.cli.output import console, styled
from hopward.cli.rows import call_text, consequence, inner
from hopward.cli.wording import hop_usage
from hopward.model import Hop, Task, Usage
from hopward.record import Row

Known = tuple[Hop, Usage, str]
"""A hop, what it has used, and its state in a word."""


class Branches:
    """Grows a task's tree from the rows of its log, oldest first.

    A row belongs to the last hop of its chain. What a tampered row names and nobody knows hangs on the task.
    """

    def __init__(self, task: Task, hops: Mapping[str, Known]) -> None:
        top = f"{task.id} {task.state}: {task.purpose} ({task.subject} -> {task.agent})"
        self.tree = Tree(styled(top, "bold"))
        self._hops = hops
        self._branches: dict[str, Tree] = {}
        self._decisions: dict[str, Tree] = {}

    def add(self, row: Row) -> None:
        """Put one row where it belongs."""
        if row.kind == "hop":
            self._hop(row)
        elif row.kind == "decision":
            before = str(inner(row.record, "delegation", "continues"))
            if row.verdict != "permit" or inner(row.record, "delegation") is None:
                self._decisions[row.decision] = self._place(row).add(call_text(row))
            elif before in self._branches:
                self._decisions[row.decision] = self._branches[before].add(Text("goes on: ") + call_text(row))
            else:
                # Its branch comes with the row of the hop, right after this one.
                self._decisions[row.decision] = self._place(row)
        else:
            self._decisions.get(row.decision, self._place(row)).add(consequence(row))

    def _hop(self, row: Row) -> None:
        hop_id = str(inner(row.record, "hop", "id"))
        if inner(row.record, "event") != "opened" or hop_id in self._branches:
            return
        above = self._decisions.get(row.decision, self.tree)
        branch = above.add(self._label(row, hop_id))
        self._branches[hop_id] = self._decisions[row.decision] = branch

    def _place(self, row: Row) -> Tree:
        hops = inner(row.record, "chain", "hops")
        last = cast("list[Any]", hops)[-1] if isinstance(hops, list) and hops else ""
        return self._branches.get(str(last), self.tree)

    def _label(self, row: Row, hop_id: str) -> Text:
        said = {name: str(inner(row.record, "hop", name)) for name in ("delegator", "agent", "purpose")}
        text = Text.assemble(
            "hop ", styled(f"{said['delegator']} -> {said['agent']}", "bold"), styled(f": {said['purpose']}")
        )
        known = self._hops.get(hop_id)
        if known is not None:
            hop, used, state = known
            text.append_text(styled(f" {state}, {hop_usage(hop, used)}"))
        text.append_text(styled(f" {hop_id}", "dim"))
        return text


def show_chain(task: Task, rows: Sequence[Row], hops: Mapping[str, Known]) -> None:
    """A task, the agents that worked on it, what each asked for and what followed."""
    branches = Branches(task, hops)
    for row in rows:
        branches.add(row)
    console().print(branches.tree)
