"""`@pass_guard`, `@pass_authority`, `@pass_containing`, `@pass_ledger`: verbs that work on an open guard, on
one that holds the signing key, on configuration and decision log, or only on the log."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import click

from hopward.cli.session import Session
from hopward.clock import SystemClock
from hopward.config import read_settings
from hopward.containing import Containing
from hopward.ledger import SqliteLedger
from hopward.wiring import Guard

P = ParamSpec("P")
R = TypeVar("R")


def pass_guard(verb: Callable[Concatenate[Guard, P], R]) -> Callable[P, R]:
    """Open the guard of the configuration in use, pass it first, close it afterwards."""
    return _passing(verb, as_authority=False)


def pass_authority(verb: Callable[Concatenate[Guard, P], R]) -> Callable[P, R]:
    """Likewise a guard that holds the signing key, also where `authority.mode` is remote."""
    return _passing(verb, as_authority=True)


def _passing(verb: Callable[Concatenate[Guard, P], R], *, as_authority: bool) -> Callable[P, R]:
    @functools.wraps(verb)
    def opened(*args: P.args, **kwargs: P.kwargs) -> R:
        ctx = click.get_current_context()
        guard = Guard.open(ctx.ensure_object(Session).config, as_authority=as_authority)
        ctx.call_on_close(guard.close)
        return verb(guard, *args, **kwargs)

    return opened


def pass_containing(verb: Callable[Concatenate[Containing, P], R]) -> Callable[P, R]:
    """Open the configuration and the decision log alone: what stops things must not need policies or keys."""

    @functools.wraps(verb)
    def opened(*args: P.args, **kwargs: P.kwargs) -> R:
        ctx = click.get_current_context()
        settings = read_settings(ctx.ensure_object(Session).config)
        ledger = SqliteLedger.open(settings.log_file, durability=settings.log.durability, clock=SystemClock())
        ctx.call_on_close(ledger.close)
        return verb(Containing.over(settings, ledger, SystemClock()), *args, **kwargs)

    return opened


def pass_ledger(verb: Callable[Concatenate[SqliteLedger, P], R]) -> Callable[P, R]:
    """Open the decision log alone, so that it can be read when policies or keys are broken.

    One named with `--file` may be evidence: nothing about it changes.
    """

    @functools.wraps(verb)
    def opened(*args: P.args, **kwargs: P.kwargs) -> R:
        ctx = click.get_current_context()
        session = ctx.ensure_object(Session)
        if session.log_file is not None:
            ledger = SqliteLedger.open_untouched(session.log_file, clock=SystemClock())
        else:
            ledger = SqliteLedger.open(read_settings(session.config).log_file, clock=SystemClock())
        ctx.call_on_close(ledger.close)
        return verb(ledger, *args, **kwargs)

    return opened
