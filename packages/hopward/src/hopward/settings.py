"""`hopward.toml` as values, read and checked by `hopward.config`; see docs/reference/configuration.md."""

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal

from hopward.authorization_servers import AuthorizationServerSettings
from hopward.clock import DAY, SECOND, Instant
from hopward.constraint import Constraint
from hopward.model import (
    Action,
    Agent,
    AgentState,
    ArgumentType,
    Budget,
    Capability,
    Integrity,
    Narrowing,
    ParameterType,
    Sensitivity,
    Value,
)
from hopward.money import Spending
from hopward.pattern import matches
from hopward.people import PeopleSettings
from hopward.secevent import EventSettings
from hopward.thresholds import RiskSettings
from hopward.workload import AgentIdentity, FormerKey, IdentitySettings


class LogSettings(Value, frozen=True):
    """`[log]`: how durable a row is before any effect, and how much of the arguments it keeps."""

    durability: Literal["process", "power"] = "process"
    arguments: Literal["full", "redacted", "digest"] = "full"
    redact: tuple[str, ...] = ()


class AuthoritySettings(Value, frozen=True):
    """`[authority]`: who mints. `embedded` mints in this process with the key under `state`;
    `remote` asks `token_endpoint` by RFC 8693, authenticating with the proxy's own key, and gives it
    `token_timeout_seconds` in all to answer. With `dpop_nonce`, proofs sent to `hopward authority serve` have
    to carry a nonce that it has given out. With `status_list`, tokens can be looked up in one."""

    issuer: str
    mode: Literal["embedded", "remote"] = "embedded"
    algorithm: Literal["ES256", "EdDSA"] = "ES256"
    token_endpoint: str = ""
    token_timeout_seconds: int = 5
    listen: str = "127.0.0.1:8700"
    dpop_nonce: bool = False
    status_list: bool = False


class ProxySettings(Value, frozen=True):
    """`[proxy]`: the HTTP side of `hopward mcp serve`, and limits of both sides.

    `public_url` is the base of the resource indicators callers use: `PUBLIC_URL/SERVER/mcp`. A server with
    `command` has at most `max_processes` processes there, each ended when unused for so many seconds.
    Behind `hopward mcp run` its process is started again `restarts` times in succession.
    `max_connections`, `max_requests` and `max_requests_per_caller` bound what goes on there at once. Calls
    under way have `drain_seconds` to end once it is told to end. With `workers`, so many processes share the
    work, and what there may be at most is shared out among them. With `dpop_nonce`, proofs of callers have to
    carry a nonce that the proxy has given out.
    """

    listen: str = "127.0.0.1:8701"
    public_url: str = "http://127.0.0.1:8701"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_message_bytes: int = 4_194_304
    max_depth: int = 64
    call_timeout_seconds: int = 300
    max_processes: int = 32
    process_idle_seconds: int = 900
    restarts: int = 8
    max_connections: int = 2_048
    max_requests: int = 1_024
    max_requests_per_caller: int = 256
    drain_seconds: int = 25
    workers: int = 1
    dpop_nonce: bool = False


class ApproverGroup(Value, frozen=True):
    """`[approvals.groups.NAME]`: the people who lift a policy with `@step_up("NAME")`.

    So many `people` of the `members` must say yes. Nobody approves what is done in their own name, unless
    `subject_may_approve`: then it is a confirmation, and no second pair of eyes. With `in_client`, what the
    subject's MCP client says they have answered counts as their answer. A yes holds for `most_times` calls of
    one task at most, where the person says so (`hopward.grant`).
    """

    members: tuple[str, ...]
    people: int = 1
    subject_may_approve: bool = False
    in_client: bool = False
    most_times: int = 1


class WebhookSettings(Value, frozen=True):
    """`[approvals.webhook]`: where `hopward authority serve` tells of questions and answers.

    `secret_file` holds the secret that signs what is sent, `whsec_` and base64, one a line.
    """

    url: str
    secret_file: str


class ApprovalSettings(Value, frozen=True):
    """`[approvals]`: who may approve, and for how long a question stands, and a yes after that: seconds.

    Of one agent of one task, `most_pending` questions wait at a time, and of all open tasks of one subject
    `most_pending_of_subject`. Of one task, whichever of its agents asks, `most_per_hour` are asked. `page`
    is where people reach the pages of `hopward authority serve`, `wait` for how many seconds a call waits at
    most while a person answers whom its client leads there.
    """

    expires_in: int = 900
    page: str = ""
    wait: int = 120
    most_pending: int = 8
    most_pending_of_subject: int = 40
    most_per_hour: int = 60
    groups: dict[str, ApproverGroup] = {}
    webhook: WebhookSettings | None = None


class TelemetrySettings(Value, frozen=True):
    """`[telemetry]`: where spans of guarded calls are sent. Without the table there are none.

    `endpoint` is the base URL of an OTLP/HTTP collector; `/v1/traces` is added to it.
    """

    endpoint: str
    service_name: str = "hopward"


class Classification(Value, frozen=True):
    """`[servers.NAME.tools.TOOL]`: what a person says the tool does.

    `sensitivity` and `integrity` are of what it returns. `ceiling` is the most sensitive that the task may
    have taken in before, for its arguments may carry it; the same as `sensitivity` unless it is given.
    `names` are those of `arguments` that name a recipient, an account, a URL, a path: policies see where
    their values come from. `carries` are those that are free text for somebody to read: policies see how many
    addresses in it (links, e-mail addresses, accounts) are not known. `vouched` are fields of an untrusted
    result that the server itself answers for, each where it stands (`/result/*/recipient`): what stands there
    as a whole counts as trusted (`hopward.vouching`). `spends` says which of them is an amount of money that
    a call spends. `undo` tells whoever is asked to approve a call how its effect would be taken back.
    """

    action: Action
    sensitivity: Sensitivity
    integrity: Integrity
    destination: str
    arguments: dict[str, ArgumentType] = {}
    ceiling: Sensitivity | None = None
    names: tuple[str, ...] = ()
    carries: tuple[str, ...] = ()
    vouched: tuple[str, ...] = ()
    spends: Spending | None = None
    undo: str = ""


class Delivery(Value, frozen=True):
    """`credential = {...}`: how the credential reaches the server.

    `authorization`: HTTP `Authorization: Bearer`. `meta`: in the request's `_meta` (stdio).
    `header` (HTTP) and `variable` (environment of a stdio server) broker an API key read from
    `environment` or `keyring` (`SERVICE/USER`); the agent never sees it. `context`: handed to a tool of
    this process in a context variable.

    With `authorization_server`, the token of `authorization` or `meta` comes from that external one instead
    of our authority: for `audience`, what it calls this server (else the server's `resource`), with `scope`,
    or for tools that match a pattern in `scopes`, with what stands there.
    """

    by: Literal["authorization", "meta", "header", "variable", "context"]
    name: str = ""
    environment: str = ""
    keyring: str = ""
    authorization_server: str = ""
    audience: str = ""
    scope: tuple[str, ...] = ()
    scopes: dict[str, tuple[str, ...]] = {}

    def scope_for(self, tool: str) -> tuple[str, ...]:
        """What an external token for a tool is asked for: by its name, else by the longest prefix, else
        all."""
        fitting = [pattern for pattern in self.scopes if matches(pattern, tool)]
        best = max(fitting, key=lambda pattern: (not pattern.endswith("*"), len(pattern)), default="")
        return self.scopes[best] if best else self.scope


class HopSettings(Value, frozen=True):
    """`[servers.NAME.hops.HOP]`: one way in which an agent of this program hands work to another.

    `agent` gets the work. It gets it by a call of `tool` (told apart from other calls of that tool by the
    arguments in `when`), by running as the graph node `node`, or, with both, as the node that the call of the
    tool leads to. The rest is what the hop carries at most, as in `Narrowing`; `expires_in` is seconds.
    """

    agent: str
    purpose: str
    capabilities: tuple[Capability, ...]
    budget: Budget
    expires_in: int
    tool: str = ""
    when: dict[str, str] = {}
    node: str = ""
    shared: bool = False
    delegable: tuple[Capability, ...] = ()
    depth: int = 0
    fan_out: int = 0

    @property
    def narrowing(self) -> Narrowing:
        """What is asked for when work is handed over this way."""
        return Narrowing(
            purpose=self.purpose,
            capabilities=self.capabilities,
            budget=self.budget,
            expires_in=self.expires_in,
            shared=self.shared,
            delegable=self.delegable,
            depth=self.depth,
            fan_out=self.fan_out,
        )


class ServerSettings(Value, frozen=True):
    """`[servers.NAME]`: one upstream MCP server, by `command` (stdio) or `url` (Streamable HTTP), or the
    tools of a program itself (`in_process`); exactly one of the three.

    `pass_environment` names variables of Hopward's own process that the server's process gets as they are.
    With `digests`, nothing is started unless the SHA-256 of every file that `command` names is among them.
    `resource` is its resource indicator, the only audience its credentials carry. `workflow` names the
    task a stdio session, or a program that names none, opens. `server_requests` says of each request that
    the server may send to the client what it does, `vendor_methods` the same of requests that are not of MCP
    itself; such notifications are allowed by name in either direction. `hops` are the ways in which a program
    hands work from agent to agent. With any entry in `models` or `retrievers`, the model calls or retrievals
    of the program are decided too.
    `pins` says when a tool's definition counts: as it is "first-seen", or once a person has "accepted" it.
    `key` is the server's public JWK, for asking the authority about its credentials (RFC 7662). With
    `dpop = "required"`, its endpoint takes no token that is not bound to a key.
    With `mode = "observe"`, until the end of the day `observe_until` (UTC), what would be refused for want of
    classification, authority, budget or policy is recorded and goes on.
    """

    resource: str
    credential: Delivery
    command: tuple[str, ...] = ()
    url: str = ""
    in_process: bool = False
    environment: dict[str, str] = {}
    pass_environment: tuple[str, ...] = ()
    directory: str = ""
    digests: tuple[str, ...] = ()
    workflow: str = ""
    pins: Literal["first-seen", "accepted", "unsafe-unpinned"] = "first-seen"
    key: dict[str, Any] = {}
    dpop: Literal["accepted", "required"] = "accepted"
    tools: dict[str, Classification] = {}
    hops: dict[str, HopSettings] = {}
    mcp_resources: dict[str, Classification] = {}
    prompts: dict[str, Classification] = {}
    server_requests: dict[str, Classification] = {}
    vendor_methods: dict[str, Classification] = {}
    client_notifications: tuple[str, ...] = ()
    server_notifications: tuple[str, ...] = ()
    models: dict[str, Classification] = {}
    retrievers: dict[str, Classification] = {}
    mode: Literal["enforce", "observe"] = "enforce"
    observe_until: date | None = None

    @property
    def observed_until(self) -> Instant:
        """The instant at which observing ends, the first of the next day; 0 where it is enforced."""
        if self.mode != "observe" or self.observe_until is None:
            return 0
        begun = datetime.combine(self.observe_until, time.min, tzinfo=UTC)
        return int(begun.timestamp()) * SECOND + DAY

    def observing(self, now: Instant) -> str:
        """What a person has to be told of a server that is observed, or was until a day that is past."""
        until = self.observed_until
        if not until:
            return ""
        if now >= until:
            told = f"observed until {self.observe_until}, which is past, so it is enforced"
            return f"{told}; take mode and observe_until out of hopward.toml"
        left = -((now - until) // DAY)
        days = "its last day" if left == 1 else f"{left} days left"
        told = f"OBSERVED until {self.observe_until} (UTC), {days}"
        return f"{told}: what would be refused is recorded, and goes on"


class AgentSettings(Value, frozen=True):
    """`[agents.NAME]`: a registered agent. `ceiling` bounds what it may ever call, `delegable` what it may
    ever hand on to another agent. It authenticates at the authority with `key`, its public JWK, beside which
    `former_key` counts for a while, or as the workload that `identity` names. A person looks at it again
    every `review_days` (`hopward agent review`); 0 says nothing about that. With `dpop = "required"` its
    tokens are bound to a key, and none that is not opens anything (RFC 9449).
    """

    owner: str
    purpose: str
    ceiling: tuple[Capability, ...]
    delegable: tuple[Capability, ...] = ()
    key: dict[str, Any] = {}
    former_key: FormerKey | None = None
    identity: AgentIdentity | None = None
    review_days: int = 0
    dpop: Literal["accepted", "required"] = "accepted"

    def registered(self, name: str, state: AgentState = "active") -> Agent:
        """The agent as configured, in this state."""
        return Agent(
            id=name,
            owner=self.owner,
            purpose=self.purpose,
            state=state,
            ceiling=self.ceiling,
            delegable=self.delegable,
        )


class StepSettings(Value, frozen=True):
    """`[workflows.NAME.steps.STEP]`: one step of the path that a task has to take.

    `agent`, the workflow's own unless it is given, takes it: by a call of `tool` (`SERVER/TOOL`, or
    `SERVER/PREFIX*`), or by handing work to agent `delegate`; exactly one of the two. One of `after` must
    have been taken before, if there are any, and none of `unless`. `times` is how often it may be taken:
    every permit counts, whatever becomes of the call. It needs approval by the group `approval`, if one is
    named, whatever the policies say. Each of `arguments` is a value that the argument must
    have, `"{NAME}"` for that of a parameter, or a list of constraints as in capabilities.
    """

    agent: str = ""
    tool: str = ""
    delegate: str = ""
    after: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    times: int = 1
    approval: str = ""
    arguments: dict[str, str | int | float | bool | tuple[Constraint, ...]] = {}


class WorkflowSettings(Value, frozen=True):
    """`[workflows.NAME]`: what a task of this kind may do. `expires_in` is seconds.

    `capabilities` are what the task's agent may call itself, `delegable` what it may hand on: none, unless
    they are written down. `depth` is how many hops may follow one another, `fan_out` how many of one agent
    may be open at once. `parameters` are what a task must be opened with, each with its type; one whose type
    ends in `?` may be left out. `login` are the people who may open a task of it by logging in with an OAuth
    client, exact names or prefixes that end in `*`; nobody, unless they are written down. With `steps`, what
    is none of them is refused, whatever the capabilities say.
    """

    agent: str
    purpose: str
    expires_in: int
    budget: Budget
    capabilities: tuple[Capability, ...]
    delegable: tuple[Capability, ...] = ()
    depth: int = 0
    fan_out: int = 0
    parameters: dict[str, ParameterType] = {}
    login: tuple[str, ...] = ()
    steps: dict[str, StepSettings] = {}


class LoginSettings(Value, frozen=True):
    """`[login]`: which OAuth clients people may log in with besides those of `[clients]`.

    `documents` are the hosts at which a client's own metadata document may be, `*` for any: its URL is the
    client's id. With `unsafe_private_documents`, such a host may have an address that is not public.
    """

    documents: tuple[str, ...] = ()
    unsafe_private_documents: bool = False


class ClientSettings(Value, frozen=True):
    """`[clients.NAME]`: a program that people log in with, which the operator knows. Its id is `client:NAME`.

    `name` is what people are shown, NAME unless it is given. `redirect_uris` are where it may have people
    sent back to; on a loopback address any port will do. With `key`, its public JWK, it authenticates
    (`private_key_jwt`); without it, it is a public client.
    """

    redirect_uris: tuple[str, ...]
    name: str = ""
    key: dict[str, Any] = {}


class Settings(Value, frozen=True):
    """The whole of `hopward.toml`. `root` is its folder; relative paths start there."""

    root: Path
    state: Path
    policies: Path
    authority: AuthoritySettings
    log: LogSettings
    proxy: ProxySettings
    agents: dict[str, AgentSettings]
    servers: dict[str, ServerSettings]
    workflows: dict[str, WorkflowSettings]
    approvals: ApprovalSettings = ApprovalSettings()
    telemetry: TelemetrySettings | None = None
    risk: RiskSettings = RiskSettings()
    clients: dict[str, ClientSettings] = {}
    login: LoginSettings = LoginSettings()
    identity: IdentitySettings = IdentitySettings()
    authorization_servers: dict[str, AuthorizationServerSettings] = {}
    events: EventSettings = EventSettings()
    people: PeopleSettings | None = None

    @property
    def log_file(self) -> Path:
        """The decision log."""
        return self.state / "decisions.db"

    @property
    def subject_tokens_folder(self) -> Path:
        """Tokens of people at external authorization servers, for tasks that are open."""
        return self.state / "subject-tokens"

    @property
    def keys_folder(self) -> Path:
        """The private keys of this installation."""
        return self.state / "keys"
