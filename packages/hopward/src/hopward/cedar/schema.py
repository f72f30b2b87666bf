"""The Cedar schema of the classified tools, and tool arguments in the form that schema gives them.

There is one Cedar action per classified tool, `Hopward::Action::"SERVER/TOOL"`, a member of the action of
its class (`Hopward::Action::"pay"`), so that a policy can speak of one tool, with type-checked arguments, or
of a class. Nothing reaches a policy that the schema does not declare: an argument that is not declared stays
out, and one that is ill-typed refuses the call before Cedar sees it. Without that, `{"__entity": ...}` inside
an argument would be read as an entity, and would satisfy a policy.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from math import isfinite
from typing import Any

from hopward.canonical import JSON
from hopward.capability import reaches
from hopward.clock import SECOND
from hopward.errors import ConfigError
from hopward.model import ACTIONS, SENSITIVITIES, ArgumentType, Hop, Tool

_HEAD = """\
// What Hopward's policies can speak of. Generated from the classified tools: edit hopward.toml, not this.
namespace Hopward {{
  // Who acts: the current actor of the chain. Its id is the agent's id.
  entity Agent {{
    owner: String,
    purpose: String,
  }};

  // An upstream MCP server. Its id is the name of its table in hopward.toml.
  entity Server;

  // What is called; its id is SERVER/TOOL. What hopward.toml says of it: its action, its destination, the
  // sensitivity (public, internal, confidential, restricted) and integrity (trusted, untrusted) of what it
  // returns, and its ceiling, the highest sensitivity that it may receive.
  entity Tool in [Server] {{
    server: String,
    name: String,
    action: String,
    sensitivity: String,
    integrity: String,
    ceiling: String,
    destination: String,
  }};

  // One agent was handed work by the one before it; position 1 is the first that was.
  type Hop = {{position: Long, agent: String, purpose: String}};

  // The action classes. Every tool's own action is a member of one of them.
  action {classes} appliesTo {{
    principal: Agent,
    resource: Tool,
    context: {{
      arguments: {{}},         // the arguments hopward.toml declares for the tool
      subject: String,       // on whose behalf
      task: String,          // id of the task
      purpose: String,       // of the task
      workflow: String,      // which the task was opened from; "" for none
      depth: Long,           // hops between the task's own agent (0) and the agent acting now
      actors: Set<String>,   // every agent of the chain, in no order
      path: String,          // the same in order: "supervisor > researcher"
      hop_purpose: String,   // what the agent acting now was handed work for; at depth 0 the task's purpose
      hops: Set<Hop>,        // every hop that led to the agent acting now
      bound: Bool,           // whether whoever asks has proved to hold the key of their token or chain
      calls_left: Long,      // of the budget that counts, before this call
      writes_left: Long,     // likewise, of calls that do more than read
      taken_sensitivity: String,       // the highest label of anything the task has taken in so far
      taken_integrity: String,         // "untrusted" once any of it was
      untrusted_servers: Set<String>,  // where that came from
      risk: String,          // how the agent has been behaving: "low", "elevated", "high" or "critical"
      risk_points: Long,     // the points of all signals, which make up the risk
      signals: Set<String>,  // what is out of the ordinary: the detectors of [risk] by name
      destinations: Set<String>,  // where the effect of the call goes
      step: String,          // of the workflow's path: the one this call takes; "" for a path without steps
      amount?: decimal,      // what the call spends, if it does; in `currency`
      money_left?: decimal,  // of the budget in that currency, before this call
      currency?: String,     // three capital letters (ISO 4217)
      bytes_left: Long,      // how many bytes of arguments may still go out; 2^53 - 1 where nothing bounds it
      destinations_left: Long,  // how many new destinations may still be reached; likewise
      above_ceiling: Bool,   // whether taken_sensitivity is above the ceiling of the tool
      pin: String,           // of the tool's definition: "accepted", "first-seen" or "none"
      provenance: {{}},        // of each argument that names something: "anchored", "trusted" or "untrusted"
      names_known: Bool,     // whether it names something, and nothing in it is "untrusted"
      names_untrusted: Long, // how many of these arguments are "untrusted"
      carried_untrusted: Long, // how many addresses in its free text are
    }},
  }};
"""

_DELEGATE = """
  // Handing work on: principal is who hands it on, resource the agent that gets it.
  action "delegate" appliesTo {
    principal: Agent,
    resource: Agent,
    context: {
      handed: {                // what the hop would carry, cut down to what may be handed on
        purpose: String,
        tools: Set<String>,    // each classified tool it reaches, and each name and prefix as written
        destinations: Set<String>,  // likewise
        actions: Set<String>,
        sensitivity: String,   // the highest label it may touch
        calls: Long, writes: Long, shared: Bool, seconds: Long,
        delegable: Bool,       // whether the agent may hand on any of it again
        depth: Long,
      },
      subject: String, task: String, purpose: String, workflow: String, depth: Long, actors: Set<String>,
      path: String, hop_purpose: String, hops: Set<Hop>, bound: Bool,
      calls_left: Long, writes_left: Long,
      taken_sensitivity: String, taken_integrity: String, untrusted_servers: Set<String>,
      risk: String, risk_points: Long, signals: Set<String>,
      step: String,
    },
  };
"""

_TOOL = """\
  action {name} in [{action}] appliesTo {{
    principal: Agent,
    resource: Tool,
    context: {{
      arguments: {{{arguments}}},
      subject: String, task: String, purpose: String, workflow: String, depth: Long, actors: Set<String>,
      path{may}: String, hop_purpose{may}: String, hops{may}: Set<Hop>, bound{may}: Bool,
      calls_left: Long, writes_left: Long,
      taken_sensitivity{may}: String, taken_integrity{may}: String, untrusted_servers{may}: Set<String>,
      risk{may}: String, risk_points{may}: Long, signals{may}: Set<String>,
      step{may}: String, destinations{may}: Set<String>, above_ceiling{may}: Bool, pin{may}: String,
      amount?: decimal, money_left?: decimal, currency?: String,
      bytes_left{may}: Long, destinations_left{may}: Long,
      names_known{may}: Bool, names_untrusted{may}: Long, carried_untrusted{may}: Long,
      provenance{may}: {{{provenance}}},
    }},
  }};
"""

_TYPES: Mapping[ArgumentType, str] = {
    "string": "String",
    "integer": "Long",
    "decimal": "decimal",
    "boolean": "Bool",
    "strings": "Set<String>",
}

_ESCAPES = frozenset({"__entity", "__extn", "__expr"})
"""Keys that Cedar reads as an escape in JSON, whatever the schema says."""


def schema_text(tools: Iterable[Tool], *, hops: bool = True) -> str:
    """The schema, in Cedar's own syntax, in an order that depends on the names alone.

    Without `hops`, the action of handing on is left out. Policies about calls are held against that: one that
    names no action would otherwise have to make sense of a delegation as well.

    Raises `ConfigError` naming every tool that Cedar cannot speak of: one whose name another tool has as
    well, names with lone surrogates, arguments with the name of a Cedar escape.
    """
    ordered = sorted(tools, key=lambda tool: tool.full_name)
    _check(ordered)
    title = "\n  // One action per classified tool. Every argument is optional: ask `has` first.\n"
    return _head(hops=hops) + (title if ordered else "") + "\n".join(map(_action, ordered)) + "}\n"


def request_schema(tool: Tool) -> str:
    """The schema of requests about one tool, which may leave out what no policy asks about."""
    return _head(hops=False) + _action(tool, may="?") + "}\n"


def _head(*, hops: bool) -> str:
    return _HEAD.format(classes=", ".join(map(quote, ACTIONS))) + (_DELEGATE if hops else "")


def _check(ordered: Sequence[Tool]) -> None:
    problems = [problem for tool in ordered for problem in _faults(tool)]
    names = [tool.full_name for tool in ordered]
    problems += [
        f"two classified tools are called {name!r}"
        for name, following in pairwise(names)
        if name == following
    ]
    if problems:
        raise ConfigError("The classified tools cannot be put into a Cedar schema.", problems=tuple(problems))


def handed(hop: Hop, tools: Iterable[Tool]) -> dict[str, Any]:
    """What a hop would carry, as `context.handed` tells it; `tools` are all that are classified.

    A prefix stands beside what it reaches: a `forbid` about one tool also holds for whoever hands on all of
    a server, and a `permit` that lists tools does not hold for a prefix, which may reach more tomorrow.
    """
    carried = (*hop.capabilities, *hop.delegable)
    reached = [tool for tool in tools if reaches(carried, tool)]
    names = {tool for one in carried for tool in one.tools}
    places = {place for one in carried for place in one.destinations}
    return {
        "purpose": hop.purpose,
        "tools": sorted(names.union(tool.full_name for tool in reached)),
        "destinations": sorted(places.union(tool.destination for tool in reached)),
        "actions": sorted({action for one in carried for action in one.actions}),
        "sensitivity": max((one.sensitivity for one in carried), key=SENSITIVITIES.index, default="public"),
        "calls": hop.budget.calls,
        "writes": hop.budget.writes,
        "shared": hop.shared,
        "seconds": (hop.expires_at - hop.opened_at) // SECOND,
        "delegable": bool(hop.delegable),
        "depth": hop.depth,
    }


def quote(name: str) -> str:
    """A name as a Cedar string literal: printable ASCII as it is, everything else as `\\u{...}`.

    Raises `ValueError` for a lone surrogate, which no Cedar string can hold.
    """
    name.encode("utf-8")
    plain = (c if " " <= c <= "~" and c not in '"\\' else f"\\u{{{ord(c):x}}}" for c in name)
    return f'"{"".join(plain)}"'


def _action(tool: Tool, may: str = "") -> str:
    declared = "".join(
        f"\n        {quote(name)}?: {_TYPES[tool.arguments[name]]}," for name in sorted(tool.arguments)
    )
    arguments = declared and declared + "\n      "
    named = ", ".join(f"{quote(name)}?: String" for name in sorted(tool.names))
    return _TOOL.format(
        name=quote(tool.full_name),
        action=quote(tool.action),
        arguments=arguments,
        provenance=named,
        may=may,
    )


def _faults(tool: Tool) -> Iterable[str]:
    for name in (tool.full_name, *tool.arguments):
        try:
            quote(name)
        except ValueError:
            yield f"tool {tool.full_name!r}: {name!r} is not text that UTF-8 can carry"
    for name in sorted(_ESCAPES.intersection(tool.arguments)):
        yield f"tool {tool.full_name!r}: no argument may be called {name!r}, which Cedar reads as an escape"


@dataclass(frozen=True, slots=True)
class IllTyped:
    """A declared argument whose JSON value is not of its declared type."""

    argument: str
    expected: str
    found: str


def context_arguments(tool: Tool, arguments: Mapping[str, JSON]) -> dict[str, Any] | IllTyped:
    """The declared arguments of a call in Cedar's JSON form, or the first that is ill-typed.

    A null is not an absent argument: it is ill-typed. Arguments that are not declared are left out.
    """
    converted: dict[str, Any] = {}
    for name, kind in tool.arguments.items():
        if name in arguments:
            value = _FORMS[kind](arguments[name])
            if value is None:
                return IllTyped(name, _EXPECTED[kind], _json_type(arguments[name]))
            converted[name] = value
    return converted


def _string(value: JSON) -> str | None:
    if not isinstance(value, str):
        return None
    return value if value.isascii() or _is_text(value) else None


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _integer(value: JSON) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(2**63) <= value < 2**63 else None


def _decimal(value: JSON) -> dict[str, Any] | None:
    """A JSON number with at most four fraction digits; Cedar's decimal is a 64-bit count of 1/10000."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    units = value * 10_000 if isinstance(value, int) else _ten_thousandths(value)
    if units is None:
        return None
    if not -(2**63) <= units < 2**63:
        return None
    return decimal(units)


def decimal(units: int) -> dict[str, Any]:
    """So many 1/10000 in Cedar's JSON form."""
    whole, fraction = divmod(abs(units), 10_000)
    sign = "-" if units < 0 else ""
    return {"__extn": {"fn": "decimal", "arg": f"{sign}{whole}.{fraction:04d}"}}


def _ten_thousandths(value: float) -> int | None:
    """How many 1/10000 the shortest spelling of a float, the one that is forwarded, stands for."""
    if not isfinite(value):
        return None
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    count = int("".join(map(str, digits))) * (-1 if sign else 1)
    power = int(exponent) + 4
    if power >= 0:
        return count * 10**power
    whole, rest = divmod(count, 10**-power)
    return None if rest else whole


def _boolean(value: JSON) -> bool | None:
    return value if isinstance(value, bool) else None


def _strings(value: JSON) -> list[str] | None:
    if not isinstance(value, list):
        return None
    texts = [text for text in map(_string, value) if text is not None]
    return texts if len(texts) == len(value) else None


_FORMS: Mapping[ArgumentType, Callable[[JSON], Any]] = {
    "string": _string,
    "integer": _integer,
    "decimal": _decimal,
    "boolean": _boolean,
    "strings": _strings,
}

_EXPECTED: Mapping[ArgumentType, str] = {
    "string": "a string",
    "integer": "a whole number of at most 64 bits",
    "decimal": "a number with at most four digits after the point",
    "boolean": "true or false",
    "strings": "a list of strings",
}


def _json_type(value: JSON) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "a number"
