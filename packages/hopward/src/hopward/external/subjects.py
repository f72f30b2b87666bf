"""Tokens of people at external authorization servers, each kept for one task until it ends.
 A file for each task and server, readable by this user alone, as keys are: `TASK.SERVER.json`. What is kept
is only ever sent to that server's token endpoint. No agent sees it, and no row of the decision log holds it.
"""

import re
from collections.abc import Container
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from hopward import keyfile
from hopward.authorization_servers import AuthorizationServerSettings
from hopward.clock import Clock, from_seconds
from hopward.errors import ConfigError, ExchangeRefusedError, TokenError
from hopward.foreign import audiences, unverified_claims
from hopward.jose import MAX_TOKEN
from hopward.model import Task
from hopward.strictjson import parse

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


class SubjectTokens:
    """The folder of subject tokens of one installation."""

    def __init__(self, folder: Path, servers: dict[str, AuthorizationServerSettings], clock: Clock) -> None:
        self._folder = folder
        self._servers = servers
        self._clock = clock

    def keep(self, task: Task, server: str, token: str) -> None:
        """Keep a token of the task's subject, instead of one that was kept before.

        What it says is looked at here, so that a mistake is told at once: whose it is, by whom, for whom,
        until when. That it is genuine is found out with each use. Raises `TokenError`, `ConfigError`.
        """
        settings = self._servers.get(server)
        if settings is None:
            known = ", ".join(sorted(self._servers)) or "none"
            told = f"There is no authorization server {server!r}."
            raise ConfigError(told, advice=f"Configured in [authorization_servers]: {known}")
        _check(_unverified(token), task, settings, self._clock)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keyfile.check_folder(self._folder)
        keyfile.write(self._path(task.id, server), {"token": token})

    def token(self, task: str, server: str) -> str:
        """The token kept for a task; raises `ExchangeRefusedError` (`subject_token_missing`)."""
        path = self._path(task, server)
        try:
            data, _ = keyfile.read(path)
            kept: object = parse(data)
        except (ConfigError, ValueError) as error:
            raise _missing(server) from error
        token = cast("dict[str, Any]", kept).get("token") if isinstance(kept, dict) else None
        if not isinstance(token, str) or not token:
            raise _missing(server)
        return token

    def forget(self, task: str) -> None:
        """Delete every token kept for a task."""
        for server in self._servers:
            with suppress(OSError):
                self._path(task, server).unlink()

    def forget_others(self, tasks: Container[str]) -> None:
        """Delete every token that is kept for none of these tasks."""
        for path in self._folder.glob("*.json"):
            if path.name.partition(".")[0] not in tasks:
                with suppress(OSError):
                    path.unlink()

    def kept(self) -> tuple[str, ...]:
        """The tasks that a token is kept for."""
        return tuple(sorted({path.name.partition(".")[0] for path in self._folder.glob("*.json")}))

    def _path(self, task: str, server: str) -> Path:
        if not _NAME.fullmatch(task) or not _NAME.fullmatch(server):
            raise _missing(server)
        return self._folder / f"{task}.{server}.json"


def _missing(server: str) -> ExchangeRefusedError:
    told = f"No token of the person is kept for this task and the authorization server {server}."
    advice = f"hopward task subject-token TASK {server} takes one, on stdin."
    return ExchangeRefusedError(told, error="subject_token_missing", advice=advice)


def _unverified(token: str) -> dict[str, Any]:
    try:
        if len(token) <= MAX_TOKEN:
            return unverified_claims(token)
    except TokenError as error:
        raise TokenError("That is no signed JWT.", error="malformed") from error
    raise TokenError("That is no signed JWT.", error="malformed")


def _check(content: dict[str, Any], task: Task, settings: AuthorizationServerSettings, clock: Clock) -> None:
    expires = content.get("exp")
    if content.get("iss") != settings.issuer:
        raise TokenError("The token is from another issuer.", error="wrong_issuer")
    if content.get(settings.subject_claim) != task.subject:
        told = f"The token's {settings.subject_claim} is not the subject of the task, {task.subject}."
        raise TokenError(told, error="wrong_subject")
    client = settings.client_id
    if settings.chain == "nested":
        acting = settings.agents.get(task.agent)
        if acting is None:
            told = f"Agent {task.agent} stands under none of its clients."
            raise TokenError(told, error="unauthorized_client")
        client = acting.addressed
    elif settings.client_audience:
        client = settings.client_audience
    if client not in audiences(content):
        told = f"The token is not addressed to {client}, which is to exchange it."
        raise TokenError(told, error="wrong_audience")
    if type(expires) is not int or from_seconds(expires) <= clock.now():
        raise TokenError("The token has expired.", error="expired")
