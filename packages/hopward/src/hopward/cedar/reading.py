"""Policy files into policies, or every mistake in them at once, each with file, line and policy.

A set is accepted only whole: Cedar parses it, validates it strictly against the schema, and
`hopward.cedar.faults` finds nothing in it.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cedarpy
from cedarpy import Schema

from hopward.cedar.faults import NAME_IT, faults
from hopward.cedar.text import Statement, names_in, statements
from hopward.errors import ConfigError
from hopward.model import ACTIONS, Tool
from hopward.policy import (
    ACTION,
    AGENT,
    ATTRIBUTES,
    DELEGATE,
    HOP_ATTRIBUTES,
    SERVER,
    TOOL,
    Policy,
    delegates,
    nearest,
    read_policy,
)

_ADVICE = "Nothing of this policy set is in force. Correct it, then run `hopward policy check`."


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    text: str
    written: tuple[Statement, ...]


def read_schema(text: str) -> Schema:
    """Cedar's parsed schema. Raises `ConfigError` where Cedar refuses the text."""
    try:
        return Schema.from_str(text)
    except ValueError as error:
        raise ConfigError(f"Cedar refuses the schema of the classified tools: {error}") from None


@dataclass(frozen=True, slots=True)
class Schemas:
    """What policies are validated against: those about calls, and those about handing on."""

    calls: Schema
    hops: Schema


def read_policies(
    text_by_file: Mapping[str, str], tools: Sequence[Tool], schemas: Schemas, groups: Collection[str]
) -> tuple[Policy, ...]:
    """The policies of all files, in the order of file names and places.

    Raises `ConfigError` with every mistake, each as `FILE:LINE: policy 'ID': what is wrong`, and where there
    is no policy at all.
    """
    policies: list[Policy] = []
    problems: list[str] = []
    for name in sorted(text_by_file):
        file = _File(name, text_by_file[name], tuple(statements(text_by_file[name])))
        found, wrong = _read_file(file, tools, schemas)
        policies += found
        problems += wrong
    problems += _repeated(policies)
    problems += _nobody(policies, groups)
    if not policies and not problems:
        problems.append("there is no policy, so no call could ever be permitted")
    if problems:
        raise ConfigError("The policies cannot be used.", problems=tuple(problems), advice=_ADVICE)
    return tuple(policies)


def _read_file(file: _File, tools: Sequence[Tool], schemas: Schemas) -> tuple[list[Policy], list[str]]:
    try:
        forms = _forms(file.text)
        if [[form] for form in forms] != [_forms(statement.text) for statement in file.written]:
            return [], [f"{file.name}:1: Hopward and Cedar read this file differently; simplify its comments"]
    except (ValueError, RecursionError):
        return [], list(_unparsed(file))
    policies: list[Policy] = []
    problems: list[tuple[int, str]] = []
    for index, (form, statement) in enumerate(zip(forms, file.written, strict=True), 1):
        policy, wrong = read_policy(form, statement.text, file.name, index, statement.line)
        if _is_template(form):
            wrong.append("a template permits and forbids nothing; name who and what")
        policies.append(policy)
        problems += ((policy.line, _problem(policy, policy.line, message)) for message in wrong)
        for name, message in faults(policy, tools):
            line = statement.line_of([name])
            problems.append((line, _problem(policy, line, message)))
    for schema, about_hops in ((schemas.calls, False), (schemas.hops, True)):
        problems += _invalid(file, _Held(policies, about_hops), tools, schema)
    return policies, [problem for _, problem in sorted(problems)]


def _forms(text: str) -> list[Mapping[str, Any]]:
    """The JSON form of every policy in a text, in order. Raises `ValueError` where Cedar cannot parse it."""
    document = json.loads(cedarpy.policies_to_json_str(text))
    by_id = document["staticPolicies"] | document["templates"]
    return [by_id[f"policy{n}"] for n in range(len(by_id))]


def _is_template(form: Mapping[str, Any]) -> bool:
    scopes = (form["principal"], form["resource"])
    return any("slot" in scope or "slot" in scope.get("in", {}) for scope in scopes)


def _problem(policy: Policy, line: int, message: str) -> str:
    return f"{policy.file}:{line}: policy {policy.id!r}: {message}"


def _repeated(policies: Iterable[Policy]) -> Iterator[str]:
    first: dict[str, Policy] = {}
    for policy in policies:
        earlier = first.setdefault(policy.id, policy)
        if earlier is not policy:
            yield _problem(policy, policy.line, f"{earlier.file}:{earlier.line} has the same @id")


def _nobody(policies: Iterable[Policy], groups: Collection[str]) -> Iterator[str]:
    """Policies that wait for a group nobody has configured."""
    for policy in policies:
        if policy.step_up and policy.effect == "forbid" and policy.step_up not in groups:
            told = f"there is no [approvals.groups.{policy.step_up}] in hopward.toml"
            yield _problem(policy, policy.line, f"@step_up: {told}{nearest(policy.step_up, groups)}")


def _unparsed(file: _File) -> Iterator[str]:
    """Every policy of a file that Cedar cannot parse, at the token it stops at."""
    count = 0
    for index, statement in enumerate(file.written, 1):
        message = _parse_error(statement.text)
        if message is not None:
            count += 1
            line, told = _located(statement, message)
            yield f"{file.name}:{line}: policy {index} of the file: {told}"
    if not count:
        yield f"{file.name}:1: {_parse_error(file.text) or 'Cedar cannot read this file'}"


def _parse_error(text: str) -> str | None:
    try:
        _forms(text)
    except ValueError as error:
        return str(error)
    except RecursionError:
        return "its conditions nest too deeply; split it into several policies"
    return None


_UNFINISHED = "unexpected end of input"


def _located(statement: Statement, message: str) -> tuple[int, str]:
    if message == _UNFINISHED:
        return statement.line, "it is not finished; does it end with `;`?"
    if not message.startswith(("unexpected token", "invalid token")):
        return statement.line_of(names_in(message)), message
    # Cedar stops at the first token that cannot go on; it names the token, but not where it stands.
    low, high = 0, len(statement.tokens) - 1
    while low < high:
        middle = (low + high) // 2
        error = _parse_error(statement.text[: statement.tokens[middle].end])
        low, high = (middle + 1, high) if error in (None, _UNFINISHED) else (low, middle)
    return statement.tokens[low].line, message


_PREFIX = re.compile(r"^for policy `policy\d+`, ")
_WHERE = re.compile(r" in context for Hopward::Action::\"(?:[^\"\\]|\\.)*\"")
_UNASKED = "unable to guarantee safety of access to optional attribute"
_ABOUT_HOPS = ("attribute `handed`", f'unrecognized action `{ACTION}::"{DELEGATE}"`')
_NOWHERE = "unable to find an applicable action given the policy scope constraints"


@dataclass(frozen=True, slots=True)
class _Held:
    """The policies of a file, and which of them a schema is for."""

    policies: Sequence[Policy]
    about_hops: bool

    def concerns(self, number: int) -> bool:
        """Whether the schema is for that policy."""
        return delegates(self.policies[number]) == self.about_hops


def holds_for_hops(policy: Policy, schema: Schema) -> bool:
    """Whether a policy is put to delegations: it names that action, or forbids without naming any.

    A `forbid` that asks about a tool, so makes no sense of a delegation, is not. A `permit` has to name it.
    """
    if policy.effect == "permit" or policy.actions is not None:
        return delegates(policy)
    # cedarpy types its dicts without parameters.
    return cedarpy.validate_policies(policy.text, schema).validation_passed  # pyright: ignore[reportUnknownMemberType]


def _invalid(file: _File, held: _Held, tools: Sequence[Tool], schema: Schema) -> Iterator[tuple[int, str]]:
    """What Cedar's strict validation finds in the policies the schema is for, once per policy and message."""
    if not any(map(held.concerns, range(len(held.policies)))):
        return
    # cedarpy types its dicts without parameters.
    result = cedarpy.validate_policies(file.text, schema)  # pyright: ignore[reportUnknownMemberType]
    told: dict[int, dict[str, None]] = {}
    for error in result.errors:
        number = int(error.policy_id.removeprefix("policy"))
        message = _WHERE.sub("", _PREFIX.sub("", error.error))
        told.setdefault(number, {})[message] = None
    refused = not result.validation_passed and not told
    told = {number: messages for number, messages in told.items() if held.concerns(number)}
    for number in sorted(told):
        for message in _worth_telling(list(told[number])):
            line = file.written[number].line_of(names_in(message))
            yield (
                line,
                _problem(held.policies[number], line, message + _hint(held.policies[number], message, tools)),
            )
    if refused:
        yield 1, f"{file.name}:1: Cedar's validator refuses this file and does not say why"


def _worth_telling(messages: Sequence[str]) -> Iterator[str]:
    """Without what only follows from another message about the same policy."""
    unasked = {name for message in messages if message.startswith(_UNASKED) for name in names_in(message)}
    for message in messages:
        follows = message == _NOWHERE and len(messages) > 1
        again = message.startswith("attribute") and not unasked.isdisjoint(names_in(message))
        if not follows and not again:
            yield message


def _scoped_to_agent(policy: Policy, message: str) -> bool:
    kinds = {kind for kind, _ in policy.resources or ()} | {policy.form["resource"].get("entity_type")}
    return message == _NOWHERE and AGENT in kinds


def _hint(policy: Policy, message: str, tools: Sequence[Tool]) -> str:
    name = next(iter(names_in(message)), "").strip('"')
    if not delegates(policy) and (message.startswith(_ABOUT_HOPS) or _scoped_to_agent(policy, message)):
        return NAME_IT
    declared = {argument for tool in tools for argument in tool.arguments}
    if message.startswith(_UNASKED):
        of = "context" if name in ATTRIBUTES["context"] else "context.arguments"
        return f"; ask `{of} has {name}` first"
    if message.startswith("attribute") and name in declared:
        return f"; not every tool in question declares it: ask `context.arguments has {name}` first"
    if message.startswith("attribute"):
        return nearest(name, declared.union(*ATTRIBUTES.values(), *HOP_ATTRIBUTES.values()))
    if message.startswith("unrecognized action"):
        return nearest(name, [*ACTIONS, DELEGATE, *(tool.full_name for tool in tools)], f'{ACTION}::"{{}}"')
    if message.startswith("unrecognized entity type"):
        return nearest(f"Hopward::{name}", [AGENT, SERVER, TOOL, ACTION])
    return ""
