"""What things are called, and what no file may contain."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from .source import Module, functions, named, shipped, written

VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "service", "services", "misc"}

BOUNDARIES = {
    "hopward.cli:Verbs.invoke": "a command tells of a bug instead of showing a traceback",
    "hopward.evaluation:Evaluator.evaluate": "whatever fails while deciding is a deny",
    "hopward.guard:Guard._surely": "what cannot be decided is denied",
    "hopward.guard:Guard.visible": "a listing that cannot be computed is empty",
    "hopward_authority.announcements:Announcements.run": "what could not be told is told later",
    "hopward_authority.deliveries:Deliveries.run": "what could not be told is told later",
    "hopward_authority.provider:Provider.run": "what could not be asked is asked later",
    "hopward_mcp.alone:_reloaded": "what could not be reloaded changes nothing",
    "hopward_mcp.carriage:Carriage.call": "a request that cannot be carried ends as lost",
    "hopward_mcp.client_side:ClientSide.judge": "a message that cannot be judged is refused",
    "hopward_mcp.client_side:ClientSide._onward": "a call that cannot be forwarded is answered and recorded",
    "hopward_mcp.front:Front.serve": "a request that cannot be served lets nobody in",
    "hopward_mcp.older_server:OlderServer._pass": "a request that cannot be translated is answered and ends",
    "hopward_mcp.older_server:OlderServer.hear": "an answer that cannot be translated fails its call",
    "hopward_mcp.http_end:_Undecided._is_older": "a request meets by itself what asking for the era has met",
    "hopward_mcp.older_client:OlderClient.from_client": "a message that cannot be carried over is refused",
    "hopward_mcp.older_client:OlderClient.from_server": "an answer that cannot be carried over fails",
    "hopward_mcp.older_session:OlderSession._inquire": "a request that cannot be made ends as lost",
    "hopward_mcp.outbound:Outbound._call": "a request that cannot be carried ends as lost",
    "hopward_mcp.relay:Relay.call": "a request that cannot be carried ends as lost",
    "hopward_mcp.http_authority:HttpAuthority._told": "a credential that cannot be asked for is not there",
    "hopward_mcp.results:filtered": "a list that cannot be filtered is empty",
    "hopward_mcp.server_side:ServerSide.judge_read": "a message that cannot be judged fails its call",
    "hopward_mcp.sibling:_obey": "a worker hears its parent, whatever it could not do",
    "hopward_mcp.turn:Turn.flush": "calls that cannot be decided together are tried one by one",
    "hopward_mcp.turn:Turn._alone": "a call that cannot be decided is refused",
    "hopward_mcp.turn:Turn._settle_alone": "a result that cannot be recorded is withheld",
    "hopward_mcp.turn:_call_back": "one answer that cannot be passed on does not stop the others",
    "hopward_mcp.waiting:Waiting._conclude": "one call that cannot go on does not stop the others",
    "hopward_mcp.watch:Watch._end": "one call that cannot be cancelled does not stop the others",
    "hopward_mcp.upstream_session:UpstreamSession._call": "a request that cannot be carried ends as lost",
    "langchain_hopward.stream:announce": "a stream that cannot be written to decides nothing",
}
"""Functions that may keep any exception to themselves, and what then happens (docs/design.md)."""

UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")

MACHINE = re.compile(
    r"(?<![\w.~$}/-])/(?:root/\.\w|work/(?:main|shared)|Users/|home/(?!you\b|alice\b|user\b))"
)
"""A path of somebody's machine. `/home/you`, `/home/user` and `/home/alice` are examples for readers."""

REGISTRY = re.compile(r"\b(?:pypi|pythonhosted|npmjs|crates|debian|golang|maven)\.(?:org|com|io)\b")

WORDS = 4


def vague(path: str) -> Iterator[str]:
    """A file or folder whose name says nothing about what is in it."""
    pure = PurePosixPath(path)
    if VAGUE.intersection({*pure.parent.parts, pure.stem}):
        yield f"{path}: name it after the thing it is about"


def forbidden(path: str, text: str) -> Iterator[str]:
    """Text that no file may contain, by line."""
    rules = ((UNFINISHED, "unfinished"), (MACHINE, "path of one machine"), (REGISTRY, "registry host"))
    for number, line in enumerate(text.splitlines(), 1):
        yield from (f"{path}:{number}: {what}" for pattern, what in rules if pattern.search(line))


def broad(module: Module) -> Iterator[str]:
    """Handlers that keep any exception to themselves, outside the named boundaries."""
    for name, node in named(module.tree):
        if not isinstance(node, ast.ExceptHandler) or not _catches_everything(node.type):
            continue
        passes_on = isinstance(node.body[-1], ast.Raise)
        place = f"{module.name}:{name}"
        if not passes_on and place not in BOUNDARIES:
            yield f"{place} line {node.lineno}: keeps any exception to itself"


def _catches_everything(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    every = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(ast.unparse(one).split(".")[-1] in ("Exception", "BaseException") for one in every)


def printing(module: Module) -> Iterator[str]:
    """Uses of `print`: what a library has to say, it returns or raises."""
    for name, node in named(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{module.name}:{name} line {node.lineno}: print"


def short(path: str, text: str) -> Iterator[str]:
    """Tests whose names are not sentences."""
    for function in functions(Module(path, text)):
        simple = function.name.split(".")[-1]
        if simple.startswith("test_") and len(simple.split("_")) - 1 < WORDS:
            yield f"{path}: {simple} is not a sentence"


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [found for path in written() for found in vague(path)] == []


def test_no_file_holds_unfinished_work_machine_paths_or_registry_hosts() -> None:
    assert [found for path, text in written().items() for found in forbidden(path, text)] == []


def test_only_the_named_boundaries_catch_every_exception() -> None:
    assert [found for module in shipped() for found in broad(module)] == []


def test_no_shipped_module_prints() -> None:
    assert [found for module in shipped() for found in printing(module)] == []


def test_the_name_of_every_test_is_a_sentence() -> None:
    tests = {
        path: text for path, text in written().items() if path.startswith("tests/") and path.endswith(".py")
    }
    assert [found for path, text in tests.items() for found in short(path, text)] == []


@pytest.mark.parametrize(
    "path", ["hopward/utils.py", "hopward/common/x.py", "plugins/mcp/manager.py", "a/misc.toml"]
)
def test_a_vague_name_is_refused(path: str) -> None:
    assert list(vague(path))


@pytest.mark.parametrize("path", ["hopward/commons.py", "hopward/utilisation.py", "docs/service-account.md"])
def test_a_name_that_merely_resembles_a_vague_one_is_accepted(path: str) -> None:
    assert list(vague(path)) == []


@pytest.mark.parametrize(
    "line",
    [
        "# TO" + "DO: later",
        "x = 1  # FIX" + "ME",
        'path = "/ro' + 'ot/.cache"',
        "cd /wo" + "rk/main",
        "open('/Us" + "ers/me/x')",
        "/ho" + "me/jan/notes",
        "https://pypi" + ".org/simple",
        "registry.npmjs" + ".org",
    ],
)
def test_a_forbidden_text_is_found(line: str) -> None:
    assert list(forbidden("f", f"first\n{line}\n")) == [f"f:2: {line_kind(line)}"]


def line_kind(line: str) -> str:
    if line.startswith(("#", "x =")):
        return "unfinished"
    return "registry host" if ".org" in line else "path of one machine"


@pytest.mark.parametrize(
    "line", ["docs/work/x", "~/work/x", "https://example.com/home/x", "/srv/data", "/home/you/n"]
)
def test_ordinary_paths_are_accepted(line: str) -> None:
    assert list(forbidden("f", line)) == []


@pytest.mark.parametrize(
    "handler",
    ["except:", "except Exception:", "except BaseException as e:", "except (ValueError, Exception):"],
)
def test_a_broad_handler_outside_the_boundaries_is_found(handler: str) -> None:
    text = f"class Guard:\n  def guess(self):\n    try:\n      x = 1\n    {handler}\n      x = 2\n"
    assert list(broad(Module("hopward.guard", text)))
    assert list(broad(Module("hopward.guard", text.replace("guess", "visible")))) == []
    assert list(broad(Module("hopward.other", text.replace("guess", "visible"))))


@pytest.mark.parametrize(
    "handler", ["except (ValueError, KeyError): x = 2", "except BaseException:\n  x = 2\n  raise"]
)
def test_a_handler_that_is_narrow_or_ends_with_raise_is_accepted(handler: str) -> None:
    assert list(broad(Module("hopward.guard", f"try:\n  x = 1\n{handler}\n"))) == []


def test_a_print_in_a_shipped_module_is_found() -> None:
    assert list(printing(Module("hopward.guard", "def f():\n    print(1)\n")))


@pytest.mark.parametrize("name", ["test_it", "test_it_works", "test_a_b_c"])
def test_a_test_name_of_fewer_than_four_words_is_found(name: str) -> None:
    assert list(short("tests/x.py", f"class T:\n    async def {name}(self): ..."))
