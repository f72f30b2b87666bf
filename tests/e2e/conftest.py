"""Projects and processes for the end-to-end tests; whatever a test starts has ended when the test has."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from .keycloak import Keycloak
from .oidc_provider import OidcProvider, Provided
from .project import Project, recorded
from .public import installed
from .wire import Wire

Connect = Callable[..., Wire]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that guards the recorder over stdio."""
    return recorded(tmp_path)


@pytest.fixture
def connect(project: Project) -> Iterator[Connect]:
    """Starts `hopward mcp run` in the project, as often as asked."""
    with ExitStack() as started:

        def connect(*, greet: bool = True, **how: Any) -> Wire:
            wire = Wire(project, **how)
            started.callback(wire.end)
            if greet:
                wire.greet()
            return wire

        yield connect


@pytest.fixture(scope="session")
def shared_keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    """One Keycloak for all tests: its start takes long."""
    keycloak = Keycloak(installed("keycloak.sh"), tmp_path_factory.mktemp("keycloak"))
    yield keycloak
    keycloak.end()


@pytest.fixture
def keycloak(shared_keycloak: Keycloak) -> Iterator[Keycloak]:
    """Keycloak with its realm as it was imported; what a test changes in it is undone."""
    yield shared_keycloak
    shared_keycloak.reset()


StartProvider = Callable[..., OidcProvider]


@pytest.fixture
def start_provider(tmp_path: Path) -> Iterator[StartProvider]:
    """Starts oidc-provider, as often as asked; `Provided` says how."""
    with ExitStack() as started:

        def start(provided: Provided | None = None) -> OidcProvider:
            provider = OidcProvider(installed("oidc-provider.sh"), tmp_path, provided)
            started.callback(provider.end)
            return provider

        yield start


@pytest.fixture
def oidc_provider(start_provider: StartProvider) -> OidcProvider:
    """oidc-provider as a strict peer."""
    return start_provider()
