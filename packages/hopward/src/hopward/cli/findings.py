"""What `hopward doctor` looks at. Each check reads, and changes nothing."""

import importlib.metadata
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from hopward import capability
from hopward.classification import classified
from hopward.cli.expiring import expiring
from hopward.cli.finding import Finding
from hopward.cli.moment import configured
from hopward.cli.reachable import approvers, reachable
from hopward.cli.wording import contained_line, moment
from hopward.clock import SystemClock
from hopward.config import read_settings
from hopward.errors import ConfigError, HopwardError
from hopward.exchange import clients_of, targets_of
from hopward.hearing import Hearing
from hopward.keys import AUTHORITY, KeyRing
from hopward.ledger import SqliteLedger
from hopward.observation import refuse_too_long
from hopward.oversight import overseen
from hopward.policies import load_engine, read_cases, run_cases
from hopward.policy import nearest
from hopward.project import schema_is_current
from hopward.published import PublishedKeys
from hopward.settings import ServerSettings, Settings

_CHANGING, _OTHERS, _ALL_OTHERS = 0o022, 0o007, 0o077
_TAKEN_AWAY = {_CHANGING: "go-w", _OTHERS: "o-rwx", _ALL_OTHERS: "go-rwx"}
"""Access that a file must not give, and what `chmod` calls its absence."""

_VERIFIED_ROWS = 200_000
"""A longer decision log is left to `hopward log verify`, which takes its time and shows it."""


def findings(config: Path) -> Iterator[Finding]:
    """Everything found about an installation. Without a usable configuration, that is all there is to say."""
    try:
        settings = read_settings(config)
        targets_of(settings)
        clients_of(settings)
    except ConfigError as error:
        yield from _refused("configuration", error)
        return
    yield Finding("ok", "configuration", f"{config} can be used.")
    for check in _CHECKS:
        yield from check(settings)


def _refused(about: str, error: HopwardError) -> Iterator[Finding]:
    problems = error.problems if isinstance(error, ConfigError) else ()
    for sentence in problems or (error.message,):
        yield Finding("broken", about, sentence, error.advice)


def _observed(settings: Settings) -> Iterator[Finding]:
    now = SystemClock().now()
    try:
        refuse_too_long(settings.servers, now)
    except ConfigError as error:
        yield from _refused("observe mode", error)
    for name, server in settings.servers.items():
        told = server.observing(now)
        if told:
            advice = "hopward policy suggest says what it would take to enforce it."
            yield Finding("note", "observe mode", f"servers.{name} is {told}.", advice)


def _files(settings: Settings) -> Iterator[Finding]:
    written = [settings.root / "hopward.toml", settings.policies, *sorted(settings.policies.glob("*.cedar"))]
    for path in written:
        yield from _exposed(path, _CHANGING, "others can change it, and with it what is permitted")
    shared = settings.authority.mode == "remote"
    for path in (settings.state, settings.log_file):
        yield from _exposed(path, _OTHERS if shared else _ALL_OTHERS, "others can read it", shared=shared)


def _exposed(path: Path, forbidden: int, told: str, *, shared: bool = False) -> Iterator[Finding]:
    """What is wrong with who owns a file and who has access to it.

    What is `shared`, an authority and a proxy of two users have in common, through a group.
    """
    if sys.platform == "win32" or not path.exists():
        return
    found = path.stat()
    if not shared and found.st_uid not in (0, os.geteuid()):
        yield Finding("broken", "files", f"{path} belongs to another user.")
    if stat.S_IMODE(found.st_mode) & forbidden:
        yield Finding("broken", "files", f"{path}: {told}.", f"chmod {_TAKEN_AWAY[forbidden]} {path}")


def _keys(settings: Settings) -> Iterator[Finding]:
    try:
        if settings.authority.mode == "remote":
            yield from _remote_keys(settings)
        else:
            yield from _own_keys(settings)
    except ConfigError as error:
        yield from _refused("keys", error)
        return
    yield Finding(
        "note", "keys", "Keys and decision log are not encrypted at rest.", "Encrypt the disk they are on."
    )


def _own_keys(settings: Settings) -> Iterator[Finding]:
    ring = KeyRing.open(settings.keys_folder)
    for path in sorted((settings.keys_folder / "agents").glob("*.json")):
        ring.agent_key(path.stem)
    kid = ring.signing.kid
    yield Finding("ok", "authority", f"Embedded: this process signs with {ring.signing.algorithm} key {kid}.")


def _remote_keys(settings: Settings) -> Iterator[Finding]:
    keys = PublishedKeys(settings.keys_folder, SystemClock())
    published = ", ".join(keys.verification_keys())
    told = f"Remote: credentials come from {settings.authority.token_endpoint}, signed with {published}."
    yield Finding("ok", "authority", told)
    if os.access(settings.keys_folder / AUTHORITY, os.R_OK):
        told = "This user can read the authority's signing key; a proxy of this user could sign by itself."
        yield Finding("note", "authority", told, "Run the proxy as a user of its own.")
    else:
        yield Finding("ok", "keys", f"Authenticates with key {keys.proxy.kid}, and cannot sign by itself.")


def _log(settings: Settings) -> Iterator[Finding]:
    try:
        ledger = SqliteLedger.open(settings.log_file, clock=SystemClock())
        with closing(ledger):
            rows, _ = ledger.head()
            if rows > _VERIFIED_ROWS:
                yield Finding(
                    "note", "log", f"{rows} rows are too many to verify here.", "hopward log verify"
                )
                return
            found = ledger.verify()
            registered = {known.id for known in ledger.agents()}
            sightings = ledger.sightings()
    except HopwardError as error:
        yield from _refused("log", error)
        return
    if found.ok:
        yield Finding("ok", "log", f"The decision log verifies: {found.rows} rows.")
    for bad in found.problems[:1]:
        yield Finding(
            "broken",
            "log",
            f"The decision log does not verify: row {bad.seq}: {bad.what}",
            "hopward log verify",
        )
    for seen in sightings:
        told = (
            f"{seen.server}/{seen.tool} is refused: its definition is {seen.why}, and nobody has accepted it."
        )
        yield Finding("note", "pins", told, f"hopward mcp accept {seen.server} {seen.tool}")
    for name in sorted(registered - settings.agents.keys()):
        yield Finding("note", "agents", f"{name} is registered no more; whatever it holds is refused.")


def _agents(settings: Settings) -> Iterator[Finding]:
    """Agents for which nobody answers, at which nobody has looked, or which nobody uses."""
    try:
        with closing(SqliteLedger.open(settings.log_file, clock=SystemClock())) as ledger:
            found = overseen(settings, ledger, SystemClock().now())
    except HopwardError:
        return  # said of the log already
    for seen in found:
        for lack, told in seen.lacking(SystemClock().now()):
            advice = _TENDING[lack].format(name=seen.agent.id)
            yield Finding("note", "agents", told, advice)


def _events(settings: Settings) -> Iterator[Finding]:
    """Who is heard, and who has fallen silent."""
    if not settings.events.sources:
        return
    try:
        with closing(SqliteLedger.open(settings.log_file, clock=SystemClock())) as ledger:
            hearing = Hearing(settings, ledger, SystemClock())
            hearing.read_keys()
            silent = {one.source: one for one in hearing.silences()}
            heard = {name: ledger.heard_at(name) for name in settings.events.sources}
    except HopwardError as error:
        yield from _refused("events", error)
        return
    for name, source in settings.events.sources.items():
        since, at = silent.get(name), heard[name]
        if since is not None:
            then = "nothing new begins" if since.refuses else "what it says is not heard"
            told = f"No events have come from {name} since {moment(since.since)}, so {then}."
            yield Finding("broken", "events", told, "See that hopward authority serve runs, and reaches it.")
        elif not source.silent_after:
            told = f"Nobody notices if {name} falls silent."
            yield Finding("note", "events", told, f"Set silent_after in [events.sources.{name}].")
        else:
            yield Finding("ok", "events", f"{name} was heard {moment(at) if at else 'never'}.")


_TENDING = {
    "ownerless": "hopward agent transfer {name} --to OWNER --why TEXT",
    "overdue": "hopward agent review {name} --why TEXT",
    "unreviewed": "Add review_days to [agents.{name}].",
    "unused": "If nobody needs it: hopward agent retire {name} --why TEXT",
}


def _contained(settings: Settings) -> Iterator[Finding]:
    try:
        with closing(SqliteLedger.open(settings.log_file, clock=SystemClock())) as ledger:
            found = ledger.containments()
    except HopwardError:
        return  # said of the log already
    for one in found:
        if one.kind == "all":
            advice = "hopward stop --lift --by NAME --why TEXT lets things go on."
            yield Finding("broken", "STOPPED", f"EVERYTHING IS STOPPED {contained_line(one)}.", advice)
        else:
            told = f"{one.kind.capitalize()} {one.id} is quarantined {contained_line(one)}."
            yield Finding("note", "contained", told, f"hopward release {one.kind} {one.id} --why TEXT")


def _policies(settings: Settings) -> Iterator[Finding]:
    tools = classified(settings.servers)
    try:
        engine = load_engine(settings.policies, tools, settings.approvals.groups)
        results = run_cases(engine, read_cases(settings.policies), configured(settings))
    except ConfigError as error:
        yield from _refused("policies", error)
        return
    yield Finding("ok", "policies", f"{len(engine.policies)} policies fit {len(tools)} classified tools.")
    failed = [result.written.case.name for result in results if not result.passed]
    if failed:
        told = f"{len(failed)} of {len(results)} test cases fail, the first is {failed[0]!r}."
        yield Finding("broken", "policies", told, "hopward policy test")
    for tool in tools:
        if not engine.could_permit(tool):
            yield Finding("note", "policies", f"No policy permits {tool.full_name}.")
    handed = [name for name, one in settings.workflows.items() if one.delegable]
    if handed and not engine.could_permit_hop():
        told = f"No policy permits handing on work, as {', '.join(handed)} would."
        advice = 'Write a permit with `action == Hopward::Action::"delegate"`.'
        yield Finding("note", "policies", told, advice)
    if not schema_is_current(settings, engine.schema):
        told = "policies/schema.cedarschema, which editors read, is out of date."
        yield Finding("note", "policies", told, "hopward policy check --write-schema")


def _servers(settings: Settings) -> Iterator[Finding]:
    if not settings.servers:
        yield Finding("note", "servers", "No server is guarded yet.", "Add a [servers.NAME] to hopward.toml.")
    for name, server in settings.servers.items():
        if not (server.tools or server.mcp_resources or server.prompts):
            told = f"Nothing of {name} is classified, so everything is refused."
            by_hand = f"Add [servers.{name}.tools.TOOL] for each of its tools."
            yield Finding(
                "note", "servers", told, by_hand if server.in_process else f"hopward mcp classify {name}"
            )
        if server.command:
            yield from _program(settings, name, server)
        variable = server.credential.environment
        if variable and variable not in os.environ:
            told = f"The API key of {name} is read from {variable}, which is not set here."
            yield Finding("note", "servers", told)
        for passed in server.pass_environment:
            if passed not in os.environ:
                told = f"{name} gets {passed} from Hopward's environment, where it is not set here."
                yield Finding("note", "servers", told)


def _authorization_servers(settings: Settings) -> Iterator[Finding]:
    """What external authorization servers cannot do, and what this process needs to ask them."""
    about = "authorization servers"
    for name, server in settings.authorization_servers.items():
        for lack in server.lacking():
            advice = "docs/guides/external-authorization-servers.md says what the servers called then check."
            yield Finding("note", about, f"{name} {lack}.", advice)
        used = [one for one, it in settings.servers.items() if it.credential.authorization_server == name]
        if used:
            told = f"Credentials for {', '.join(used)} come from {name}, {server.issuer}."
            yield Finding("ok", about, told)
        else:
            yield Finding("note", about, f"No server gets its credentials from {name}.")


def _tools(settings: Settings) -> Iterator[Finding]:
    """What a classification leaves out that would bound what its tool does."""
    for tool in classified(settings.servers):
        if tool.action == "pay" and tool.spends is None:
            told = f"{tool.full_name} pays, and nothing says how much, so no budget of money bounds it."
            yield Finding("note", "tools", told, "Add spends to its classification.")


def _program(settings: Settings, name: str, server: ServerSettings) -> Iterator[Finding]:
    folder = settings.root / server.directory
    program = server.command[0]
    found = shutil.which(program) or (os.path.dirname(program) and shutil.which(folder / program))
    if not found:
        yield Finding("broken", "servers", f"{name} cannot be started: there is no program {program!r}.")
    if server.directory and not folder.is_dir():
        yield Finding("broken", "servers", f"{name} cannot be started: there is no folder {folder}.")
    if not server.workflow:
        told = f"{name} names no workflow, so hopward mcp run {name} has no task to open."
        advice = f'Add workflow = "NAME" to [servers.{name}]; hopward mcp serve needs none.'
        yield Finding("note", "servers", told, advice)


def _workflows(settings: Settings) -> Iterator[Finding]:
    tools = classified(settings.servers)
    exact = {tool.full_name for tool in tools}
    for name, workflow in settings.workflows.items():
        ceiling = settings.agents[workflow.agent].ceiling
        if not all(any(capability.within(part, top) for top in ceiling) for part in workflow.capabilities):
            told = (
                f"{name} gives more than the ceiling of {workflow.agent} lets through; the rest is refused."
            )
            yield Finding("note", "workflows", told)
        if tools and not any(capability.reaches(workflow.capabilities, tool) for tool in tools):
            yield Finding("note", "workflows", f"{name} reaches no classified tool.")
        named = {tool for part in workflow.capabilities for tool in part.tools if not tool.endswith("*")}
        for tool in sorted(named - exact):
            told = f"{name} names {tool}, which nobody has classified{nearest(tool, exact)}"
            yield Finding("note", "workflows", told)


def _strength(settings: Settings) -> Iterator[Finding]:
    """What is good enough for one developer's machine."""
    if settings.authority.issuer.startswith("http://"):
        yield Finding(
            "note", "development", "The issuer is http://, so only this machine may trust its tokens."
        )
    if settings.authority.mode == "embedded":
        told = "The proxy mints its own credentials: whoever controls its process controls the key."
        advice = 'Run hopward authority as a user of its own, and set authority.mode = "remote".'
        yield Finding("note", "development", told, advice)
    if settings.log.durability == "process":
        told = 'Rows survive the death of the process, not a power cut (log.durability = "process").'
        yield Finding("note", "development", told)
    if settings.log.arguments == "full":
        told = 'The decision log keeps whole arguments (log.arguments = "full"), with whatever is in them.'
        yield Finding("note", "development", told)
    for name, agent in settings.agents.items():
        if not agent.key and agent.identity is None:
            told = f"{name} has neither key nor identity, so it cannot get tokens at the authority."
            yield Finding("note", "agents", told)
    if sys.platform != "win32" and os.geteuid() == 0:
        yield Finding("note", "development", "This is root; Hopward needs no privileges.")


def _packages(_: Settings) -> Iterator[Finding]:
    own = importlib.metadata.version("hopward")
    for entry in importlib.metadata.entry_points(group="hopward.commands"):
        if entry.dist is not None and entry.dist.version != own:
            told = f"{entry.dist.name} is version {entry.dist.version}, hopward is {own}."
            yield Finding("broken", "packages", told, "Install them in the same version.")


_CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _contained,
    _packages,
    _observed,
    _files,
    _keys,
    _log,
    _policies,
    _servers,
    _authorization_servers,
    _tools,
    _workflows,
    _agents,
    _events,
    approvers,
    reachable,
    expiring,
    _strength,
)
