"""What each distribution exports. A name that users may rely on is added here on purpose, not by accident."""

import ast
import importlib
from collections.abc import Iterator

import pytest

from .source import Module, shipped

FACADE_NAMES = 30

EXPORTS: dict[str, set[str]] = {
    "hopward": {
        "Budget",
        "Capability",
        "Chain",
        "ChainError",
        "ClientAuthenticator",
        "ConfigError",
        "Credential",
        "CredentialVerifier",
        "Decision",
        "Delegation",
        "ExchangeRefusedError",
        "Guard",
        "HopwardError",
        "LedgerError",
        "Narrowing",
        "NotFoundError",
        "Outcome",
        "PolicyError",
        "Settings",
        "StateError",
        "Task",
        "TokenError",
        "TokenRequest",
        "ToolCall",
        "Verdict",
        "canonical",
        "digest",
        "form_fields",
        "read_exchange",
        "read_settings",
    },
    "hopward_authority": {"create_app"},
    "hopward_mcp": set(),
    "langchain_hopward": {"AuthorizationDenied", "Hopward", "HopwardHandler", "current_credential"},
}
"""Import package -> its `__all__`."""


def exported(module: Module) -> list[str]:
    """The names in a package's `__all__`, in the order written; empty without one."""
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            names: list[str] = ast.literal_eval(getattr(node, "value"))  # noqa: B009
            return list(names)
    return []


def misexported(module: Module, expected: set[str]) -> Iterator[str]:
    """How a package's exports differ from what they should be."""
    names = exported(module)
    yield from (
        f"{module.name} exports {name}, which is not in the list" for name in sorted(set(names) - expected)
    )
    yield from (f"{module.name} does not export {name}" for name in sorted(expected - set(names)))
    if len(set(names)) != len(names):
        yield f"{module.name} exports a name twice"
    if module.name == "hopward" and len(names) > FACADE_NAMES:
        yield f"the facade exports {len(names)} names, over {FACADE_NAMES}"


@pytest.mark.parametrize("package", sorted(EXPORTS))
def test_a_package_exports_exactly_the_listed_names(package: str) -> None:
    (module,) = [module for module in shipped() if module.name == package]
    assert list(misexported(module, EXPORTS[package])) == []


@pytest.mark.parametrize("package", sorted(EXPORTS))
def test_every_exported_name_can_be_imported(package: str) -> None:
    if EXPORTS[package]:
        loaded = importlib.import_module(package)
        assert [name for name in sorted(EXPORTS[package]) if not hasattr(loaded, name)] == []


@pytest.mark.parametrize(
    "text",
    [
        "__all__ = ['A']",
        "__all__ = ['A', 'B', 'C']",
        "__all__ = ['A', 'B', 'B']",
        "x = 1",
        "__all__: list[str] = []",
    ],
)
def test_exports_that_differ_from_the_list_are_found(text: str) -> None:
    assert list(misexported(Module("hopward_mcp", text), {"A", "B"}))


def test_a_facade_of_more_than_thirty_names_is_found() -> None:
    names = [f"N{number}" for number in range(31)]
    assert list(misexported(Module("hopward", f"__all__ = {names}"), set(names)))
    assert list(misexported(Module("hopward", f"__all__ = {names[:30]}"), set(names[:30]))) == []
