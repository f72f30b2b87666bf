"""The rules of `[servers.NAME]`: how a server is started or reached, and how its credential gets there."""

from collections.abc import Iterator

from hopward import destination, spending
from hopward.config import forms, methods
from hopward.config.problem import KeyPath, Problem, Table, items, table, tables, text
from hopward.pattern import folded
from hopward.settings import ProxySettings
from hopward.vouching import wrong_place

_NEEDS_URL = ("authorization", "header")
_NEEDS_COMMAND = ("variable",)
_TRANSPORTS = {"command": "command", "url": "url", "in_process": "in_process = true"}
_NOT_IN_PROCESS = (
    *("pins", "server_requests", "mcp_resources", "prompts"),
    *("vendor_methods", "client_notifications", "server_notifications"),
)
_OF_PROGRAMS = ("hops", "models", "retrievers")
_BROKERED = ("header", "variable")
_OWN_HEADERS = frozenset(
    {"accept", "connection", "content-length", "content-type", "host", "te", "transfer-encoding", "upgrade"}
)
_DEFAULT_PUBLIC_URL = ProxySettings().public_url


def server_problems(document: Table) -> Iterator[Problem]:
    """Every rule broken by a server's settings."""
    public = text(table(document.get("proxy")).get("public_url")) or _DEFAULT_PUBLIC_URL
    workflows = table(document.get("workflows"))
    authority = table(document.get("authority"))
    issuer = text(authority.get("issuer"))
    resources = {forms.alike(issuer): "the authority"}
    for path, name, server in tables(document, "servers"):
        yield from _transport(path, server)
        yield from _delivery((*path, "credential"), server)
        if "in_process" in server and authority.get("mode") == "remote":
            told = "needs authority.mode embedded: its credentials are minted in the program itself"
            yield Problem((*path, "in_process"), told)
        yield from _resource(path, name, server, public, resources)
        yield from _observed(path, server, authority)
        yield from _classified(path, server)
        for key in _OF_PROGRAMS:
            if key in server and "in_process" not in server:
                yield Problem((*path, key), "needs in_process = true: it is about a program")
        workflow = server.get("workflow")
        if isinstance(workflow, str) and workflow.strip() and workflow not in workflows:
            yield Problem((*path, "workflow"), f"there is no [workflows.{workflow}]")
        yield from _server_requests((*path, "server_requests"), name, server)
        yield from _of_vendors(path, server)


def _observed(path: KeyPath, server: Table, authority: Table) -> Iterator[Problem]:
    observing = server.get("mode") == "observe"
    if observing and "observe_until" not in server:
        told = 'missing; mode = "observe" needs the last day of it, such as 2026-12-31, at most 90 days ahead'
        yield Problem((*path, "observe_until"), told)
    if "observe_until" in server and not observing:
        yield Problem((*path, "observe_until"), 'has no effect without mode = "observe"')
    if observing and authority.get("mode") == "remote":
        told = "needs authority.mode embedded: an authority elsewhere mints nothing beyond a task"
        yield Problem((*path, "mode"), told)


def _server_requests(path: KeyPath, name: str, server: Table) -> Iterator[Problem]:
    listed = items(server.get("server_requests"))
    for method in map(text, listed):
        told = f'[servers.{name}.server_requests."{method}"] with action, sensitivity, integrity, destination'
        yield Problem(path, f"is no list any more: say what each request is, as for a tool: {told}")
    for method, entry in table(server.get("server_requests")).items():
        wrong = methods.wrong_server_request(method)
        if wrong:
            yield Problem((*path, method), wrong)
        yield from _arguments((*path, method), table(entry))


def _of_vendors(path: KeyPath, server: Table) -> Iterator[Problem]:
    """Methods and notifications that are not of MCP itself. None is both: a notification is not decided."""
    requests = {
        "client_notifications": table(server.get("vendor_methods")),
        "server_notifications": table(server.get("server_requests")),
    }
    for method, entry in requests["client_notifications"].items():
        wrong = methods.wrong_vendor_method(method)
        if wrong:
            yield Problem((*path, "vendor_methods", method), wrong)
        yield from _arguments((*path, "vendor_methods", method), table(entry))
    for key, classified in requests.items():
        decided = {folded(method) for method in classified}
        for index, method in enumerate(map(text, items(server.get(key)))):
            wrong = methods.wrong_vendor_notification(method) if method else ""
            if folded(method) in decided:
                wrong = "is classified as a request; as a notification it would pass undecided"
            if wrong:
                yield Problem((*path, key, index), wrong)


def _transport(path: KeyPath, server: Table) -> Iterator[Problem]:
    named = [written for key, written in _TRANSPORTS.items() if key in server]
    if not named:
        yield Problem(path, "needs command (stdio), url (HTTP) or in_process = true (tools of a program)")
    elif len(named) > 1:
        yield Problem(path, f"has {' and '.join(named)}; one of them only")
    if server.get("in_process") is False:
        yield Problem((*path, "in_process"), "is true or left out")
    url = text(server.get("url"))
    wrong = forms.wrong_endpoint(url) if url.strip() else ""
    if wrong:
        yield Problem((*path, "url"), wrong)
    for key in ("environment", "pass_environment", "directory"):
        if key in server and "command" not in server:
            yield Problem((*path, key), "has no effect without command")
    if "in_process" in server:
        for key in _NOT_IN_PROCESS:
            if key in server:
                yield Problem((*path, key), "has no effect with in_process: there is no server to talk to")
    yield from _command((*path, "command"), server)
    for name, value in table(server.get("environment")).items():
        if not forms.VARIABLE_NAME.fullmatch(name):
            yield Problem((*path, "environment", name), "is no name of an environment variable")
        if "\0" in text(value):
            yield Problem((*path, "environment", name), "holds a NUL character")
    yield from _passed((*path, "pass_environment"), server)
    wrong = forms.wrong_path(text(server.get("directory")))
    if wrong:
        yield Problem((*path, "directory"), wrong)
    yield from _digests((*path, "digests"), server)


def _digests(path: KeyPath, server: Table) -> Iterator[Problem]:
    listed = items(server.get("digests"))
    if "digests" in server and "command" not in server:
        yield Problem(path, "has no effect without command")
    elif isinstance(server.get("digests"), list) and not listed:
        yield Problem(path, "is empty, so nothing could be started; leave it out or list digests")
    for index, digest in enumerate(listed):
        if isinstance(digest, str) and not forms.DIGEST.fullmatch(digest):
            yield Problem((*path, index), "must be sha256: and 64 digits of 0-9 a-f")


def _passed(path: KeyPath, server: Table) -> Iterator[Problem]:
    """A variable has one source: a value written down, Hopward's own environment, or a brokered API key."""
    delivery = table(server.get("credential"))
    brokered = delivery.get("name") if delivery.get("by") == "variable" else None
    for index, name in enumerate(items(server.get("pass_environment"))):
        if not forms.VARIABLE_NAME.fullmatch(text(name)):
            yield Problem((*path, index), "is no name of an environment variable")
        elif name in table(server.get("environment")):
            yield Problem((*path, index), "stands in environment too; leave it out in one of them")
        elif name == brokered:
            yield Problem((*path, index), "is the API key that credential brokers; leave it out here")


def _command(path: KeyPath, server: Table) -> Iterator[Problem]:
    words = items(server.get("command"))
    if "command" in server and isinstance(server["command"], list) and not words:
        yield Problem(path, "is empty; write the program and its arguments")
    for index, word in enumerate(words):
        if forms.has_control(text(word)):
            yield Problem((*path, index), "holds a newline or another control character")
    if words and isinstance(words[0], str) and (not words[0].strip() or words[0].startswith("-")):
        yield Problem((*path, 0), "must be the program to start, not blank and not an option")


def _delivery(path: KeyPath, server: Table) -> Iterator[Problem]:
    delivery = table(server.get("credential"))
    by = text(delivery.get("by"))
    yield from _fitting((*path, "by"), by, server)
    sources = [key for key in ("environment", "keyring") if key in delivery]
    if by in _BROKERED:
        if "name" not in delivery:
            yield Problem((*path, "name"), f'missing; by = "{by}" needs the name of the {by}')
        if len(sources) != 1:
            yield Problem(path, f'by = "{by}" reads its key from exactly one of environment and keyring')
        if by == "variable" and delivery.get("name") in table(server.get("environment")):
            yield Problem((*path, "name"), "stands in environment too; leave it out there")
    elif by:
        for key in [*(["name"] if "name" in delivery else []), *sources]:
            yield Problem((*path, key), f'has no effect with by = "{by}"')
    yield from _delivery_names(path, by, delivery)


def _fitting(path: KeyPath, by: str, server: Table) -> Iterator[Problem]:
    """Whether a way of delivery fits how the server is reached."""
    if "in_process" in server:
        if by and by != "context":
            yield Problem(path, f'"{by}" has no request to travel in; with in_process use "context"')
    elif by == "context":
        yield Problem(path, '"context" needs in_process = true')
    elif by in _NEEDS_URL and "url" not in server:
        yield Problem(path, f'"{by}" needs url; with command use "meta" or "variable"')
    elif by in _NEEDS_COMMAND and "command" not in server:
        yield Problem(path, f'"{by}" needs command; with url use "authorization" or "header"')


def _delivery_names(path: KeyPath, by: str, delivery: Table) -> Iterator[Problem]:
    name = text(delivery.get("name"))
    form = {"header": forms.HEADER_NAME, "variable": forms.VARIABLE_NAME}.get(by)
    if name and form and not form.fullmatch(name):
        yield Problem((*path, "name"), f'"{name}" is no name of a {by}')
    if by == "header" and (name.lower() in _OWN_HEADERS or name.lower().startswith("mcp-")):
        yield Problem((*path, "name"), f'"{name}" is a header of the connection itself')
    variable = text(delivery.get("environment"))
    if variable and not forms.VARIABLE_NAME.fullmatch(variable):
        yield Problem((*path, "environment"), f'"{variable}" is no name of an environment variable')
    service, _, user = text(delivery.get("keyring")).partition("/")
    if text(delivery.get("keyring")) and not (service and user):
        yield Problem((*path, "keyring"), "must be SERVICE/USER, as the operating system's keyring stores it")
    elif forms.has_control(service + user) or service.startswith("-") or user.startswith("-"):
        yield Problem((*path, "keyring"), "looks like an option, or holds a control character")


def _resource(
    path: KeyPath, name: str, server: Table, public: str, resources: dict[str, str]
) -> Iterator[Problem]:
    path = (*path, "resource")
    resource = text(server.get("resource"))
    if not resource.strip():
        return
    wrong = forms.wrong_uri(resource)
    if wrong:
        yield Problem(path, wrong)
    first = resources.setdefault(forms.alike(resource), f'server "{name}"')
    if first != f'server "{name}"':
        yield Problem(path, f"cannot be told apart from that of {first}; one credential would fit both")
    if forms.under(resource, public):
        yield Problem(path, f"lies under proxy.public_url {public}: its tokens would open the proxy")


def _classified(path: KeyPath, server: Table) -> Iterator[Problem]:
    for tool, entry in table(server.get("tools")).items():
        if not forms.TOOL_NAME.fullmatch(tool):
            yield Problem((*path, "tools", tool), "a tool's name is 1 to 128 of A-Z a-z 0-9 _ . / -")
        yield from _arguments((*path, "tools", tool), table(entry))
    for section in ("mcp_resources", "prompts", "models", "retrievers"):
        for key, entry in table(server.get(section)).items():
            wrong = forms.wrong_pattern(key)
            if wrong:
                yield Problem((*path, section, key), wrong)
            yield from _arguments((*path, section, key), table(entry))


def _arguments(path: KeyPath, entry: Table) -> Iterator[Problem]:
    leads = text(entry.get("destination"))
    wrong = destination.check(leads)
    named = destination.argument_of(leads)
    if "*" in leads or forms.has_control(leads):
        yield Problem((*path, "destination"), "is one exact name, without * and control characters")
    elif wrong:
        yield Problem((*path, "destination"), wrong)
    elif named and table(entry.get("arguments")).get(named) not in ("string", "strings"):
        told = f'{{{named}}} must stand in arguments as "string" or "strings"'
        yield Problem((*path, "destination"), told)
    for name in table(entry.get("arguments")):
        if not name.strip() or forms.has_control(name):
            yield Problem((*path, "arguments", name), "is no name of an argument")
    declared = table(entry.get("arguments"))
    mistaken = spending.check(table(entry.get("spends")), declared)
    if mistaken:
        yield Problem((*path, "spends", mistaken[0]), mistaken[1])
    for key in ("names", "carries"):
        for index, name in enumerate(items(entry.get(key))):
            if isinstance(name, str) and declared.get(name) not in ("string", "strings"):
                told = f'"{name}" must stand in arguments as "string" or "strings", to be looked at'
                yield Problem((*path, key, index), told)
    if "vouched" in entry and entry.get("integrity") == "trusted":
        yield Problem((*path, "vouched"), "has no effect: all that a trusted tool returns is believed")
    for index, place in enumerate(items(entry.get("vouched"))):
        wrong = wrong_place(place) if isinstance(place, str) else ""
        if wrong:
            yield Problem((*path, "vouched", index), wrong)
