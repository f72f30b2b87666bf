"""The words of Hopward as frozen values. `docs/concepts.md` explains them; nothing here decides anything.

Every value refuses unknown fields, is immutable, and turns into plain JSON with `plain(value)`.
Instants are microseconds since the epoch (`hopward.clock`); sizes are bytes.
"""

from typing import Any, Literal, TypeAlias

import msgspec

from hopward.canonical import JSON
from hopward.clock import Instant
from hopward.constraint import Constraint
from hopward.money import BOUNDLESS, Spending
from hopward.money import check as check_money


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every value that crosses a boundary or is stored."""


def plain(value: Any) -> Any:
    """A value as plain JSON: dicts, lists, strings, numbers."""
    return msgspec.to_builtins(value)


Action: TypeAlias = Literal["read", "write", "execute", "delete", "send", "pay"]
"""What class of thing a tool does. Set by configuration, never by the tool's own annotations."""

Sensitivity: TypeAlias = Literal["public", "internal", "confidential", "restricted"]
"""How far data may travel, least sensitive first."""

Integrity: TypeAlias = Literal["trusted", "untrusted"]
"""Whether an attacker may have written the data."""

Flow: TypeAlias = Literal["from", "into", "out"]
"""Which way data went: taken in from a server, handed into one, or out to a destination."""

Provenance: TypeAlias = Literal["anchored", "trusted", "untrusted"]
"""Where a value comes from: the task itself, the output of a trusted tool, or anywhere else."""

Pinning: TypeAlias = Literal["accepted", "first-seen", "none"]
"""What a tool's definition stands on: a person has accepted it, it is as it was first seen, or neither."""

ArgumentType: TypeAlias = Literal["string", "integer", "decimal", "boolean", "strings"]
"""The types of tool arguments that policy may see: Cedar String, Long, decimal, Bool and Set<String>."""

ParameterType: TypeAlias = Literal[
    "string", "integer", "decimal", "boolean", "string?", "integer?", "decimal?", "boolean?"
]
"""The types of a workflow's parameters; with `?` the parameter may be left out."""

AgentState: TypeAlias = Literal["active", "suspended", "retired"]
TaskState: TypeAlias = Literal["open", "completed", "revoked", "expired"]
HopState: TypeAlias = Literal["open", "completed"]
RevocationKind: TypeAlias = Literal["task", "hop", "agent", "subject", "token", "key"]
QuarantineKind: TypeAlias = Literal["agent", "task", "tool", "server", "subject"]
VerdictName: TypeAlias = Literal["permit", "deny", "step-up"]
OutcomeStatus: TypeAlias = Literal["ok", "tool_error", "error", "cancelled", "unknown"]

MOST_ACTORS = 8
"""Agents in one chain."""
SENSITIVITIES: tuple[Sensitivity, ...] = ("public", "internal", "confidential", "restricted")
ACTIONS: tuple[Action, ...] = ("read", "write", "execute", "delete", "send", "pay")


class ToolCall(Value, frozen=True):
    """What is attempted: a tool at a server, with the arguments exactly as they will be forwarded.

    `tool` is the MCP tool's name, `resource:URI` or `prompt:NAME`; of a program, `model:NAME` or
    `retriever:NAME`; with the params as arguments, `request:METHOD` for what a server asks of its
    client, `vendor:METHOD` for a request that is not of MCP itself.
    """

    server: str
    tool: str
    arguments: dict[str, JSON] = {}

    @property
    def name(self) -> str:
        """`SERVER/TOOL`, the name capabilities, scopes and policies use."""
        return f"{self.server}/{self.tool}"


class Tool(Value, frozen=True):
    """The classification of one tool, from configuration: a person has said what the tool does.

    `sensitivity` and `integrity` are of what it returns; `ceiling` is the most sensitive that a task may have
    taken in when it calls the tool. `destination` may have an argument's value in it (`hopward.destination`).
    `names` are those of `arguments` that say where the effect goes or what it is about: a recipient, an
    account, a URL, a path. `carries` are those that are free text for somebody to read, which may hold an
    address. `vouched` are the fields of an untrusted result that the server itself answers for
    (`hopward.vouching`). `spends` says which argument is an amount of money; without it a call spends none.
    `undo` tells people how they would take the effect back.
    """

    server: str
    name: str
    action: Action
    sensitivity: Sensitivity
    integrity: Integrity
    destination: str
    arguments: dict[str, ArgumentType] = {}
    ceiling: Sensitivity = "public"
    names: tuple[str, ...] = ()
    carries: tuple[str, ...] = ()
    vouched: tuple[str, ...] = ()
    spends: Spending | None = None
    undo: str = ""

    @property
    def full_name(self) -> str:
        """`SERVER/TOOL`."""
        return f"{self.server}/{self.name}"


class Capability(Value, frozen=True):
    """Tools x actions x labels x destinations with argument constraints: the unit that is attenuated.

    `tools` and `destinations` are exact names or prefixes ending in `*`. `sensitivity` is the highest label
    the capability may touch. `constraints` maps an argument to conditions that must *all* hold; an absent
    or ill-typed argument fails. With `closed`, arguments without a constraint must be absent.
    """

    tools: tuple[str, ...]
    actions: tuple[Action, ...]
    sensitivity: Sensitivity
    destinations: tuple[str, ...]
    constraints: dict[str, tuple[Constraint, ...]] = {}
    closed: bool = False


class Step(Value, frozen=True):
    """One step of the path that a task has to take, its arguments bound to the task's parameters.

    `agent` takes it: by a call of `tool`, a name or a prefix ending in `*`, or by handing work to agent
    `delegate`. One of `after` must have been taken before, if there are any, and none of `unless`. `times` is
    how many permits it has at most; each needs approval by the group `approval`, if there is one. `arguments`
    are conditions as in `Capability`; `bound` names the parameters that those of them come from.
    """

    name: str
    agent: str
    tool: str = ""
    delegate: str = ""
    after: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    times: int = 1
    approval: str = ""
    arguments: dict[str, tuple[Constraint, ...]] = {}
    bound: dict[str, str] = {}


class Budget(Value, frozen=True, omit_defaults=True):
    """What a task may use up in all: permitted calls, and among them those that do more than read.

    `money` is by currency (ISO 4217), each amount a decimal as text; of a currency that is not there, nothing
    may be spent. `bytes_out` is the canonical size of the arguments of all calls, `destinations` how
    many different places they may lead to. Raises `ValueError` for money that is none, and numbers below 0.
    """

    calls: int
    writes: int
    money: dict[str, str] = {}
    bytes_out: int = BOUNDLESS
    destinations: int = BOUNDLESS

    def __post_init__(self) -> None:
        wrong = check_money(self.money)
        if wrong:
            raise ValueError(f"money: {wrong}")
        if not (0 <= self.bytes_out <= BOUNDLESS and 0 <= self.destinations <= BOUNDLESS):
            raise ValueError("bytes_out and destinations are not below 0")


class Agent(Value, frozen=True):
    """A registered non-human identity.

    `ceiling` bounds what it may ever call itself, `delegable` what it may ever hand on to another agent:
    neither follows from the other.
    """

    id: str
    owner: str
    purpose: str
    state: AgentState
    ceiling: tuple[Capability, ...]
    delegable: tuple[Capability, ...] = ()


class Task(Value, frozen=True):
    """The just-in-time authority: who asked, which agent, what for, with what, until when.

    `capabilities` are what its agent may call itself; `delegable` are what it may hand on, whether or not it
    may call that itself. `depth` is how many hops may follow one another, `fan_out` how many of its own
    may be open at once. `parameters` and `request`, what the subject asked for in their own words, say what
    the task is about: values that stand there are anchored (`hopward.provenance`). With `steps`, nothing is
    permitted that is none of them (`hopward.steps`).
    """

    id: str
    subject: str
    agent: str
    purpose: str
    workflow: str
    capabilities: tuple[Capability, ...]
    budget: Budget
    opened_at: Instant
    expires_at: Instant
    state: TaskState
    delegable: tuple[Capability, ...] = ()
    depth: int = 0
    fan_out: int = 0
    parameters: dict[str, str] = {}
    request: str = ""
    steps: tuple[Step, ...] = ()


class Label(Value, frozen=True):
    """How sensitive and how far from trusted what a task has moved one way is, at most.

    `name` is the server data was taken `from` or handed `into`, or the destination it may have gone `out` to.
    """

    flow: Flow
    name: str
    sensitivity: Sensitivity
    integrity: Integrity


class Narrowing(Value, frozen=True):
    """What a hop is to carry, as its delegator asks for it. Whatever lies beyond what the delegator may hand
    on is cut off; a hop of which nothing is left is refused.

    `capabilities`, `delegable`, `depth` and `fan_out` are as in `Task`, for the agent that gets the work.
    `budget` is set aside for the hop and what follows from it, or, with `shared`, is the most it may take out
    of the delegator's own; bytes and destinations are never set aside, and count for the delegator as well.
    `expires_in` is seconds.
    """

    purpose: str
    capabilities: tuple[Capability, ...]
    budget: Budget
    expires_in: int
    shared: bool = False
    delegable: tuple[Capability, ...] = ()
    depth: int = 0
    fan_out: int = 0


class Hop(Value, frozen=True):
    """One link of a delegation, as it was decided: from `delegator`, who acts until then, to `agent`.

    `parent` is the hop before, empty where the task's own agent delegates. `parent_digest` is the digest of
    that hop, or of the task, as it was opened, so that a hop fits no other chain. `key` is the RFC 7638
    thumbprint of the key its holder proves possession of, empty where it never leaves the process.
    The other fields are as in `Task` and `Narrowing`.
    """

    id: str
    task: str
    parent: str
    parent_digest: str
    delegator: str
    agent: str
    purpose: str
    capabilities: tuple[Capability, ...]
    delegable: tuple[Capability, ...]
    depth: int
    fan_out: int
    budget: Budget
    shared: bool
    key: str
    opened_at: Instant
    expires_at: Instant
    state: HopState


class Usage(Value, frozen=True, omit_defaults=True):
    """How much of its budget a task or hop has reserved so far, with everything below it.

    `money` is as in `Budget`. Bytes and destinations are counted only where they are bounded.
    """

    calls: int
    writes: int
    money: dict[str, str] = {}
    bytes_out: int = 0
    destinations: int = 0


class Chain(Value, frozen=True):
    """The task and the actors in order, as the guard has verified them: subject first, current actor last.

    `hops` are the ids of the hops that lead from each actor to the next, so there is one less of them.
    `issued_at` is when this chain was established; revocations with a later cut-off kill it.
    `token` is the `jti` of the token that presented it, empty for a chain opened in this process.
    `scope` is what that token may reach; empty scope reaches nothing. `key` is the `kid` that signed it.
    `lineage` names what the token was exchanged from, as `token:JTI` and `key:KID`: a revocation of any of
    them kills this chain too. `bound` names the key that whoever presented it has proved to hold:
    `jkt:THUMBPRINT` (RFC 7638) or `x5t#S256:THUMBPRINT` (RFC 8705); empty where a token was enough.
    """

    task: str
    subject: str
    actors: tuple[str, ...]
    issued_at: Instant
    expires_at: Instant
    scope: tuple[str, ...]
    token: str = ""
    key: str = ""
    lineage: tuple[str, ...] = ()
    hops: tuple[str, ...] = ()
    bound: str = ""

    @property
    def actor(self) -> str:
        """The party acting now."""
        return self.actors[-1]


class Revocation(Value, frozen=True):
    """Something stops counting: whatever it covers that was issued at or before `at` is refused."""

    kind: RevocationKind
    id: str
    at: Instant
    by: str
    why: str


class Containment(Value, frozen=True):
    """What is kept from acting until a person lets it go on: a quarantine, or the stop of everything.

    `kind` is `all` for the stop, whose `id` is `*`. A tool is `SERVER/TOOL`, or a prefix ending in `*`.
    """

    kind: QuarantineKind | Literal["all"]
    id: str
    at: Instant
    by: str
    why: str


class Verdict(Value, frozen=True):
    """The pure result of evaluation. `sentence` is for people and models, `reason` for machines.

    `approval` is the id of the approval that a step-up waits for, or that a permit uses up.
    """

    name: VerdictName
    reason: str
    sentence: str
    policies: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    policy_set: str = ""
    approval: str = ""


class Credential(Value, frozen=True):
    """What is minted for one call; the token itself is never part of it and never stored.

    `audience` is the upstream's resource indicator (RFC 8707), `scope` the one tool, `actors` outermost last.
    `kind` is `token` (a JWT minted here), `exchanged` (from a remote authority) or `brokered` (an API key
    from the environment or keyring, `id` then names the source). `lineage` names what it was exchanged from,
    `bound` the key that whoever uses it has to prove, both as in `Chain`.
    """

    id: str
    kind: Literal["token", "exchanged", "brokered"]
    audience: str
    scope: str
    subject: str
    actors: tuple[str, ...]
    task: str
    issued_at: Instant
    expires_at: Instant
    lineage: tuple[str, ...] = ()
    hops: tuple[str, ...] = ()
    bound: str = ""


class Decision(Value, frozen=True):
    """A verdict that has been logged and has an id.

    `recorded` is false only when the log itself could not be written; such a decision is always a deny.
    `observed` says that the call goes on although `verdict` is no permit, because its server is observed.
    `credential` is present exactly where a call that goes to a server may go on.
    `holds` says that money or bytes are reserved for the call, of which its outcome says whether they are
    spent.
    """

    id: str
    at: Instant
    verdict: Verdict
    call_digest: str
    server: str
    tool: str
    chain: Chain
    credential: Credential | None = None
    recorded: bool = True
    observed: bool = False
    holds: bool = False

    @property
    def permitted(self) -> bool:
        """True for a recorded permit and a recorded decision that is observed, and for nothing else."""
        return self.recorded and (self.verdict.name == "permit" or self.observed)

    @property
    def approval(self) -> str:
        """The id of the approval that a step-up waits for, or that a permit has used up; else empty."""
        return self.verdict.approval


class Delegation(Value, frozen=True):
    """A decision about a hop, and the chain that the hop leads to: present exactly on a permit."""

    decision: Decision
    chain: Chain | None = None


class Outcome(Value, frozen=True):
    """What happened after a permit. `duration` is microseconds, `size` the bytes of the result.

    `values` are digests of what stands in the result of a trusted tool (`Guard.values`); they are kept beside
    the log, not in it. `forwarded` is false only where the call certainly never reached its server: then the
    money and the bytes it has reserved are given back.
    """

    status: OutcomeStatus
    result_digest: str = ""
    error: str = ""
    duration: int = 0
    size: int = 0
    values: tuple[str, ...] = ()
    forwarded: bool = True
