"""Who may import whom: the table of `docs/design.md`, a layer split where one of its parts needs another."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import pytest

from .source import SOURCES, Import, Module, imports, names, shipped

LAYERS = (
    {"errors", "clock", "canonical", "base64url", "expression", "harmless", "order", "osuser"},
    {"addresses", "constraint", "money", "pattern", "strictjson", "vouching"},
    {"model", "places"},
    {"approval", "authorization_servers", "people", "secevent", "thresholds", "workload"},
    {"settings"},
    {"behaviour", "certificates"},
    {"destination", "device", "guess", "login", "record", "jwk", "claims", "handover", "containment"},
    {
        "capability",
        "chain",
        "classification",
        "commitment",
        "exchange",
        "exposure",
        "flags",
        "keyfile",
        "labels",
        "pins",
        "policy",
        "provenance",
        "redaction",
        "revocation",
        "redirection",
        "steps",
        "spending",
        "tokenrequest",
        "wire",
    },
    {"authorization", "budget", "client_document", "grant", "webhook"},
    {"asking", "batch", "bounds", "consent", "delegation", "cedar", "jose", "ports", "standing", "summary"},
    {"counting", "foreign"},
    {"drafts", "keysets", "lifting", "pinning", "statuslist"},
    {"observation"},
    {"evaluation"},
    {"answering", "guard", "idtoken"},
    {"ledger", "keys", "link", "selfsigned", "statement", "dpop"},
    {
        "identity",
        "issuer",
        "assertion",
        "opening",
        "possession",
        "published",
        "sessions",
        "verifier",
        "workloads",
    },
    {
        "carrier",
        "config",
        "containing",
        "decided",
        "external",
        "keychain",
        "logins",
        "notices",
        "oversight",
        "pairing",
        "policies",
        "remote",
        "workflows",
    },
    {"binding", "announcing", "hearing", "obtaining", "registry", "relying_party"},
    {"provider_logins"},
    {"project", "suggestion", "wiring"},
    {"rekeying", "retiring"},
    {"testing"},
    {"cli", ""},
)
"""Parts of `hopward`, lowest layer first; each may import lower layers only. `""` is the facade."""

ONLY = {
    "cedarpy": {"hopward.cedar"},
    "sqlite_utils": {"hopward.ledger"},
    "click": {"hopward.cli"},
    "pytest": {"hopward.testing"},
    "rich": {"hopward.cli"},
}
"""Third-party packages that one part of the core keeps to itself."""

CORE_DEPENDENCIES = {
    "cedarpy",
    "click",
    "cryptography",
    "msgspec",
    "re2",
    "rich",
    "pytest",
    "sqlite_utils",
}

NETWORK = {
    "asyncore",
    "ftplib",
    "http",
    "imaplib",
    "poplib",
    "smtplib",
    "socket",
    "socketserver",
    "ssl",
    "xmlrpc",
}

Checker: TypeAlias = Callable[[Iterable[Import]], Iterator[str]]

LATE = {
    ("hopward.cli", "importlib.metadata"): "slow to import, and needed only for verbs of others",
    (
        "hopward_authority.issuer_keys",
        "hopward_authority.workload_api",
    ): "optional: gRPC, only for trust domains whose bundle comes from a Workload API",
    (
        "hopward_authority.client",
        "hopward_authority.workload_api",
    ): "optional: gRPC, only for agents that are known by SVIDs",
    ("hopward_authority.cli", "hopward_authority.mutual_tls"): "optional: gRPC, only with `[identity.mtls]`",
    ("hopward_authority.client", "hopward_authority.mutual_tls"): "optional: gRPC, only for certificates",
    ("hopward_mcp.serve", "hopward_mcp.alone"): "a parent of workers does not serve",
    ("hopward_mcp.serve", "hopward_mcp.parent"): "who serves alone has no workers",
    ("hopward.config", "hopward.config.diagnosis"): "slow to import, and needed only when a file is refused",
    (
        "hopward.ledger.store",
        "hopward.ledger.migrations",
    ): "slow to import, and needed only to make or migrate",
    ("hopward_mcp.run", "hopward_mcp.configured"): "only where a server is not there",
    (
        "hopward_mcp.run",
        "hopward_mcp.remote",
    ): "an HTTP client is slow to import: only for a remote authority",
    (
        "hopward_mcp.run",
        "hopward_mcp.external",
    ): "an HTTP client is slow to import: only for an external authorization server",
    (
        "hopward_mcp.run",
        "hopward_mcp.outbound",
    ): "an HTTP client is slow to import: only for a server over HTTP",
    (
        "hopward_mcp.stdio",
        "hopward_mcp.older_server",
    ): "a client waits for the start: only for one of 2026-07-28, whose server may be older",
    (
        "hopward_mcp.footing",
        "hopward_mcp.older_client",
    ): "the era bridge: only for a server that refuses an older client",
    ("hopward_mcp.delivery", "keyring"): "optional: only for keys kept in the operating system's keyring",
    ("hopward_mcp.telemetry", "hopward_mcp.spans"): "optional: OpenTelemetry, only with `[telemetry]`",
    ("langchain_hopward.installation", "langchain_hopward.middleware"): "optional: it needs `langchain`",
    ("langchain_hopward.installation", "langchain_hopward.answers"): "optional: it needs `langgraph`",
    ("langchain_hopward.load", "mcp"): "optional: only for tools of MCP servers",
    ("langchain_hopward.load", "anyio"): "optional: it comes with mcp",
    ("langchain_hopward.connection", "httpx2"): "optional: only for tools of MCP servers over HTTP",
    ("langchain_hopward.connection", "httpx"): "optional: the same with mcp 1.x",
}
"""Modules that `import_module` imports when they are needed, and why. No `import` stands in a function."""


def every_import() -> list[Import]:
    return [one for module in shipped() for one in imports(module, names())]


def part(name: str) -> str:
    """The part of the core a module belongs to: `hopward.ledger.writer` -> `ledger`; the facade is empty."""
    return name.split(".")[1] if "." in name else ""


def in_core(name: str) -> bool:
    return name == "hopward" or name.startswith("hopward.")


def upward(found: Iterable[Import]) -> Iterator[str]:
    """Imports inside the core that do not point to a lower layer."""
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    for one in found:
        if not (in_core(one.importer) and in_core(one.imported)):
            continue
        low, high = part(one.imported), part(one.importer)
        if low == high:
            continue
        if low not in level or high not in level:
            yield f"{one}: not both in the table of layers"
        elif level[low] >= level[high]:
            yield f"{one}: that is not a lower layer"


def past_the_facade(found: Iterable[Import]) -> Iterator[str]:
    """Imports from one distribution to another that are not `from hopward import NAME`."""
    for one in found:
        home, target = one.importer.split(".")[0], one.imported.split(".")[0]
        if target in SOURCES and target != home and one.imported != "hopward":
            yield f"{one}: only the facade `hopward` may be imported from another distribution"


def foreign(found: Iterable[Import]) -> Iterator[str]:
    """Imports of the core besides its own, the standard library's and those of declared dependencies."""
    for one in found:
        root = one.imported.split(".")[0]
        if not in_core(one.importer) or root == "hopward":
            continue
        if root in NETWORK or one.imported in ("urllib.request", "urllib.error"):
            yield f"{one}: the core does not touch the network"
        elif root not in sys.stdlib_module_names and root not in CORE_DEPENDENCIES:
            yield f"{one}: not a dependency of the core"


def shared(found: Iterable[Import]) -> Iterator[str]:
    """Imports of a package that belongs to another part of the core."""
    for one in found:
        owners = ONLY.get(one.imported.split(".")[0])
        if owners and in_core(one.importer) and f"hopward.{part(one.importer)}" not in owners:
            yield f"{one}: only {', '.join(sorted(owners))} may"


def late(found: Iterable[Import]) -> Iterator[str]:
    """Imports that run after the module's own, other than the named ones."""
    for one in found:
        named = one.when == "on demand" and (one.importer, one.imported) in LATE
        if one.when != "at once" and not named:
            yield f"{one}: {one.when}"


def cycle(found: Iterable[Import]) -> list[str]:
    """One chain of modules that import each other, or nothing."""
    graph: dict[str, set[str]] = {}
    for one in found:
        if one.importer != one.imported:
            graph.setdefault(one.importer, set()).add(one.imported)
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for target in sorted(graph.get(name, ())):
            circle = visit(target, [*trail, name])
            if circle:
                return circle
        done.add(name)
        return []

    circles = (visit(name, []) for name in sorted(graph))
    return next((circle for circle in circles if circle), list[str]())


def test_every_import_in_the_core_points_to_a_lower_layer() -> None:
    assert list(upward(every_import())) == []


def test_every_module_of_the_core_stands_in_the_table_of_layers() -> None:
    table = {name for layer in LAYERS for name in layer}
    assert {part(name) for name in names() if in_core(name)} - table == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert cycle(every_import()) == []


def test_plugins_and_the_authority_import_only_the_facade() -> None:
    assert list(past_the_facade(every_import())) == []


def test_the_core_imports_no_network_and_no_undeclared_package() -> None:
    assert list(foreign(every_import())) == []


def test_some_packages_are_imported_in_one_place_only() -> None:
    assert list(shared(every_import())) == []


def test_imports_inside_functions_are_the_named_ones_only() -> None:
    assert list(late(every_import())) == []


@pytest.mark.parametrize(
    ("checker", "name", "text"),
    [
        (upward, "hopward.model", "from hopward.guard import Guard"),
        (upward, "hopward.model", "from hopward import guard"),
        (upward, "hopward.guard", "from hopward.wiring import Guard"),
        (upward, "hopward.model", "from hopward import Guard"),
        (upward, "hopward.ledger.writer", "from . import reader\nfrom ..wiring import Guard"),
        (upward, "hopward.brand_new", "from hopward.model import Task"),
        (upward, "hopward.wiring", "import hopward.cli"),
        (past_the_facade, "hopward_mcp.gate", "from hopward.guard import Guard"),
        (past_the_facade, "hopward_mcp.gate", "from hopward import guard"),
        (past_the_facade, "hopward_mcp.gate", "import hopward_authority"),
        (past_the_facade, "langchain_hopward", "from hopward_mcp.gate import Gate"),
        (past_the_facade, "hopward.cli", "import hopward_mcp"),
        (foreign, "hopward.keys", "import httpx2"),
        (foreign, "hopward.keys", "import socket"),
        (foreign, "hopward.keys", "from urllib.request import urlopen"),
        (foreign, "hopward.keys", "from urllib import request\nimport http.client"),
        (foreign, "hopward", "import starlette"),
        (foreign, "hopward.guard", "import mcp.types"),
        (foreign, "hopward.guard", "from langchain_core.tools import BaseTool"),
        (shared, "hopward.guard", "import cedarpy"),
        (shared, "hopward.model", "from rich.table import Table"),
        (late, "hopward.guard", "def f():\n    import json"),
        (late, "hopward.guard", "class A:\n    async def f(self):\n        from hopward import jose"),
        (late, "hopward.guard", "import importlib\nx = importlib.import_module('hopward.jose')"),
        (late, "hopward.guard", "def f():\n    return __import__('json')"),
        (late, "hopward.config", "def f():\n    import hopward.config.diagnosis"),
    ],
)
def test_each_rule_of_imports_refuses_a_violation(checker: Checker, name: str, text: str) -> None:
    assert list(checker(imports(Module(name, text), names() | {"hopward.guard"})))


def test_the_rules_of_imports_leave_a_lawful_module_alone() -> None:
    text = "import json\nfrom urllib.parse import quote\nimport msgspec\nfrom hopward.model import Task\n"
    found = list(imports(Module("hopward.guard", text), names()))
    assert len(found) == 4
    assert [list(check(found)) for check in (upward, past_the_facade, foreign, shared, late)] == [[]] * 5
    assert cycle(found) == []


def test_a_circle_of_three_modules_is_found() -> None:
    texts = {"a": "import b", "b": "import c", "c": "from a import x", "d": "import a"}
    found = [one for name, text in texts.items() for one in imports(Module(name, text), frozenset(texts))]
    assert cycle(found) == ["a", "b", "c", "a"]


def test_relative_imports_are_resolved_like_python_does() -> None:
    known = frozenset({"p", "p.q", "p.q.r", "p.s"})
    package = Module("p.q", "from . import r\nfrom .r import x\nfrom .. import s", is_package=True)
    assert [one.imported for one in imports(package, known)] == ["p.q.r", "p.q.r", "p.s"]
    inner = Module("p.q.r", "from . import y\nfrom ..s import z")
    assert [one.imported for one in imports(inner, known)] == ["p.q", "p.s"]
