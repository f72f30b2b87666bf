"""A suggestion as text: what becomes of `hopward.toml`, and the policies beside it."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from hopward import money
from hopward.classification import entry_of
from hopward.config.lines import span_map
from hopward.errors import ConfigError
from hopward.model import Capability, plain
from hopward.suggestion.grants import HEADROOM, Grant, Proposed, Spent

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\n]*)?\n?")
_NO_ID = re.compile(r"[^A-Za-z0-9]+")

Edit = tuple[int, int, str]
"""From where to where, and what stands there instead."""


class Editing:
    """Edits to one `hopward.toml`, made all at once; what is not edited stays as it was, to the byte."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._spans = span_map(text)
        self._edits: list[Edit] = []
        self._behind: list[str] = []

    def result(self) -> str:
        """The text with every edit made."""
        text = self._text
        for start, end, new in sorted(self._edits, reverse=True):
            text = text[:start] + new + text[end:]
        if not self._behind:
            return text
        return "\n".join([text.rstrip("\n"), *self._behind]) + "\n"

    def capabilities(self, workflow: str, grants: Sequence[Grant], kept: Iterable[int]) -> None:
        """Put grants in the place of a workflow's capabilities, other than those that are kept."""
        path = ("workflows", workflow, "capabilities")
        kept = sorted(kept)
        if path in self._spans:
            start, end = self._spans[path]
            lines = [f"    {self._piece((*path, index))},\n" for index in kept]
            lines += [f"    # {_comment(one)}\n    {inline(one.capability)},\n" for one in grants]
            self._edits.append((start, end, f"capabilities = [\n{''.join(lines)}]"))
            return
        blocks = [one for one in self._spans if one[:3] == path and len(one) == 4]
        gone = [one for one in blocks if one[3] not in kept]
        if not blocks:
            raise _unwritable(f"workflows.{workflow}.capabilities")
        written = "\n\n".join(_block(".".join(map(_key, path)), one) for one in grants)
        first = gone[0] if gone else blocks[-1]
        for one in gone:
            start, end = self._lines(one)
            self._edits.append((start, end, f"{written}\n" if one == first else ""))
        if not gone:
            _, end = self._lines(first)
            self._edits.append((end, end, f"\n{written}\n"))

    def ceiling(self, agent: str, grants: Sequence[Grant]) -> None:
        """Add grants to the ceiling of an agent."""
        path = ("agents", agent, "ceiling")
        if path in self._spans:
            entries = [one for one in self._spans if one[:3] == path and len(one) == 4]
            written = "".join(f"\n    # {_comment(one)}\n    {inline(one.capability)}," for one in grants)
            if entries:
                # The comma or bracket behind the last entry stays behind the last of these.
                end = self._spans[max(entries, key=lambda one: one[3])][1]
                self._edits.append((end, end, f",{written.removesuffix(',')}"))
            else:
                start, end = self._spans[path]
                self._edits.append((start, end, f"ceiling = [{written}\n]"))
            return
        blocks = [one for one in self._spans if one[:3] == path and len(one) == 4]
        if not blocks:
            raise _unwritable(f"agents.{agent}.ceiling")
        _, end = self._lines(blocks[-1])
        written = "\n".join(f"\n{_block('.'.join(map(_key, path)), one)}" for one in grants)
        self._edits.append((end, end, f"{written}\n"))

    def budget(self, spent: Spent) -> None:
        """Put a budget in the place of a workflow's; of bytes and destinations, where it bounds them."""
        place, most, new = ("workflows", spent.workflow, "budget"), spent.most, spent.budget
        for name, value in (("calls", new.calls), ("writes", new.writes)):
            if (*place, name) not in self._spans:
                raise _unwritable(".".join((*place, name)))
            self._number((*place, name), value)
        for name, value in (("bytes_out", new.bytes_out), ("destinations", new.destinations)):
            if (*place, name) in self._spans:
                self._number((*place, name), value)
        self._money(place, new.money)
        spends = "".join(f", {amount} {currency}" for currency, amount in most.money.items())
        told = f"calls {most.calls}, writes {most.writes}{spends}"
        comment = f"# the most that one task used, {told}, and {HEADROOM} % more; {spent.basis.told}\n"
        outer = self._spans.get(place, (0, 0))[0]
        begun = self._text.rfind("\n", 0, outer) + 1
        self._edits.append((begun, begun, comment))

    def _money(self, place: tuple[str, ...], amounts: Mapping[str, str]) -> None:
        """Amounts in the place of those of a budget: of a currency that nobody spent, there is none left."""
        table = (*place, "money")
        there = [path for path in self._spans if path[:-1] == table]
        for path in there:
            currency = str(path[-1])
            self._number(path, amounts.get(currency, money.write(0, currency)))
        new = {one: amount for one, amount in amounts.items() if (*table, one) not in self._spans}
        if not new:
            return
        last, added = self._added(place, there, new)
        # In an inline table, which the budget mostly is, commas part; in one with a header, lines.
        within = (path for path in (table, place) if path in self._spans)
        inline = any(not self._piece(path).startswith("[") for path in within)
        end = self._spans[last][0] + len(self._piece(last).rstrip())
        self._edits.append((end, end, "".join(f"{', ' if inline else chr(10)}{one}" for one in added)))

    def _added(
        self, place: tuple[str, ...], there: Sequence[tuple[str | int, ...]], new: Mapping[str, str]
    ) -> tuple[tuple[str | int, ...], list[str]]:
        """What is written behind what, for these amounts to stand beside those that are there."""
        table, writes = (*place, "money"), (*place, "writes")
        if there:
            last = max(there, key=lambda path: self._spans[path][1])
            before = self._name(last).rpartition(str(last[-1]))[0]
            return last, [f"{before}{one} = {_toml(new[one])}" for one in new]
        if table in self._spans and self._piece(table).startswith("["):
            return table, [f"{one} = {_toml(new[one])}" for one in new]
        if table in self._spans:  # money = {}
            start, end = self._spans[table]
            self._edits.append((start, end, f"{self._name(table)} = {_toml(new)}"))
            return table, []
        return writes, [f"{self._name(writes).removesuffix('writes')}money = {_toml(new)}"]

    def _number(self, path: tuple[str | int, ...], value: int | str) -> None:
        """Put a number or an amount in the place of one; its key stays as it is written."""
        start, _ = self._spans[path]
        # A number goes to the next sign, and so takes the spaces before it along.
        end = start + len(self._piece(path).rstrip())
        self._edits.append((start, end, f"{self._name(path)} = {_toml(value)}"))

    def _name(self, path: tuple[str | int, ...]) -> str:
        """The key of a number or an amount as it is written, with the tables before it."""
        return self._piece(path).rpartition("=")[0].rstrip()

    def classification(self, proposed: Proposed) -> None:
        """Say at the end of the file what a tool might be."""
        tool = proposed.tool
        entry: dict[str, Any] = {
            "action": tool.action,
            "sensitivity": tool.sensitivity,
            "integrity": tool.integrity,
            "destination": tool.destination,
            **({"arguments": tool.arguments} if tool.arguments else {}),
        }
        lines = [f"{key} = {_toml(value)}" for key, value in entry.items()]
        told = f"# A PERSON MUST DECIDE what this is: {proposed.why}; {proposed.basis.told}"
        self._behind.append("\n".join(["", told, entry_of(tool.server, tool.name), *lines]))

    def _piece(self, path: tuple[str | int, ...]) -> str:
        start, end = self._spans[path]
        return self._text[start:end]

    def _lines(self, path: tuple[str | int, ...]) -> tuple[int, int]:
        """A block, to the end of its last line."""
        start, end = self._spans[path]
        rest = _REST_OF_LINE.match(self._text, end)
        return start, rest.end() if rest else end


def inline(capability: Capability) -> str:
    """A capability as one TOML table on one line."""
    told: dict[str, Any] = plain(capability)
    if not told["constraints"]:
        del told["constraints"]
    if not told["closed"]:
        del told["closed"]
    return _toml(told)


def policies(grants: Sequence[Grant]) -> str:
    """Cedar policies that permit what the grants are about, and nothing else."""
    found: dict[tuple[str, str, str], list[Grant]] = {}
    for one in grants:
        found.setdefault((one.workflow, one.agent, one.tool.full_name), []).append(one)
    return "\n".join(_policy(*key, same) for key, same in found.items())


def _policy(workflow: str, agent: str, tool: str, grants: Sequence[Grant]) -> str:
    name = _NO_ID.sub("-", f"suggested-{workflow}-{agent}-{tool}").strip("-").lower()
    based = "".join(f"// {one.basis.told}\n" for one in grants)
    return (
        f"{based}@id({_cedar(name)})\n"
        f"permit (\n  principal == Hopward::Agent::{_cedar(agent)},\n"
        f'  action in Hopward::Action::"{grants[0].tool.action}",\n'
        f"  resource == Hopward::Tool::{_cedar(tool)}\n)\n"
        f"when {{ context.workflow == {_cedar(workflow)} }};\n"
    )


def _comment(grant: Grant) -> str:
    told = grant.basis.told
    if grant.unbounded:
        told += f"; nothing bounds {', '.join(map(_key, grant.unbounded))}, nor other arguments"
    return told


def _block(name: str, grant: Grant) -> str:
    told: Mapping[str, Any] = plain(grant.capability)
    lines = [f"# {_comment(grant)}", f"[[{name}]]"]
    lines += [f"{key} = {_toml(value)}" for key, value in told.items() if value not in (False, {})]
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        inner = ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in table.items() if one is not None)
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, cast('Sequence[Any]', value)))}]"
    return _string(value) if isinstance(value, str) else json.dumps(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _cedar(text: str) -> str:
    """A string of Cedar, whose escapes are not all those of JSON."""
    written = (
        f"\\{one}" if one in '"\\' else one if one.isprintable() else f"\\u{{{ord(one):x}}}" for one in text
    )
    return f'"{"".join(written)}"'


def _unwritable(place: str) -> ConfigError:
    return ConfigError(
        f"{place} is written in a way that nothing can be put in its place.",
        advice="Write it as a table or an array of its own, as `hopward init` does.",
    )
