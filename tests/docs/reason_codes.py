"""Every reason code in the code: in a decision, a refusal, an outcome, an OAuth answer, or an exception."""

import ast
import re
from collections.abc import Iterator
from typing import get_args

from hopward.model import AgentState, RevocationKind

from .markdown import ROOT

SOURCES = (
    ROOT / "packages" / "hopward" / "src",
    ROOT / "packages" / "authority" / "src",
    ROOT / "plugins" / "mcp" / "src",
    ROOT / "plugins" / "langchain" / "src",
)

CALLS = frozenset(
    {
        "Bound",
        "FormError",
        "MessageError",
        "_answer",
        "_denied",
        "_deny",
        "_fault",
        "_invalid",
        "_record",
        "_refused",
        "_verdict",
        "deny",
        "failed",
        "note",
        "refuse",
        "refused",
    }
)
"""Functions and exceptions that are given a reason code, as a text among their positional arguments."""

KEYWORDS = frozenset({"error", "reason"})
"""Keyword arguments and class attributes that hold one."""

SPELLED: dict[str, tuple[str, ...]] = {
    'f"agent_{agent.state}"': tuple(f"agent_{s}" for s in get_args(AgentState) if s != "active"),
    'f"{revocation.kind}_revoked"': tuple(f"{kind}_revoked" for kind in get_args(RevocationKind)),
    'f"http_{status}"': ("http_STATUS",),
    'f"json-rpc {shown}"': ("json-rpc CODE",),
    'f"no_credential {failure.error}"': ("no_credential CODE",),
    'f"withdrawn {reason}"': ("withdrawn CODE",),
}
"""Codes put together from parts, by the expression that does so (as `ast.unparse` writes it)."""

FROM_AUTHLIB = ("invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type")
"""What Authlib's framework answers with by itself or through the classes imported from it."""

NOT_CODES = frozenset({"amount", "applies", "calls", "currency", "deny", "execute", "graph", "permit", "run"})
"""Texts in the same places that say something else."""

_CODE = re.compile(r"[a-z]+(?:_[a-z0-9]+)*")


def codes() -> frozenset[str]:
    """Every code that a source file names."""
    found = {code for tree in _trees() for code in _in(tree)}
    written = {text for tree in _trees() for node in ast.walk(tree) if (text := _spelling(node))}
    assert SPELLED.keys() <= written, f"no longer in the code: {SPELLED.keys() - written}"
    together = {code for spelled in SPELLED.values() for code in spelled}
    return frozenset(found | together | set(FROM_AUTHLIB)) - NOT_CODES


def _trees() -> Iterator[ast.Module]:
    """Every module but those that only show things to people, and the fakes."""
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            shown = {"cli", "testing"}.intersection(path.parts)
            if not shown and path.stem not in ("grants", "proposal", "trial"):
                yield ast.parse(path.read_text("utf-8"))


def _in(tree: ast.Module) -> Iterator[str]:
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        yield from _named(node)
        if isinstance(node, ast.Call) and _callee(node) in CALLS:
            named = (constants.get(a.id) for a in node.args if isinstance(a, ast.Name))
            yield from (code for value in named if value is not None and (code := _code(value)))


def _named(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call():
            if _callee(node) in CALLS:
                yield from (code for argument in node.args if (code := _code(argument)))
            yield from (code for k in node.keywords if k.arg in KEYWORDS and (code := _code(k.value)))
        case (
            ast.AnnAssign(target=ast.Name(id="error"), value=ast.Constant())
            | ast.Assign(targets=[ast.Name(id="error")], value=ast.Constant())
        ):
            if node.value is not None and (code := _code(node.value)):
                yield code
        case ast.Tuple(elts=[first, second, *_]) if _sentence(second) and (code := _code(first)):
            yield code
        case _:
            return


def _callee(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _code(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)) if _CODE.fullmatch(text):
            return text
        case _:
            return ""


def _sentence(node: ast.expr) -> bool:
    """Whether an expression is a text of several words, or a variable named for one, as for people."""
    match node:
        case ast.Constant(value=str(text)):
            return " " in text
        case ast.JoinedStr() | ast.Name(id="told"):
            return True
        case _:
            return False


def _spelling(node: ast.AST) -> str:
    return (
        ast.unparse(node).replace("f'", 'f"', 1).replace("'", '"') if isinstance(node, ast.JoinedStr) else ""
    )
