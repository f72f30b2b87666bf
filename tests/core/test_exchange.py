"""The rules of an exchange: each of the twelve checks has tests that fail without it."""

from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hopward import pattern
from hopward.claims import CallDetails, Party, Presented
from hopward.clock import SECOND
from hopward.errors import ConfigError, ExchangeRefusedError
from hopward.exchange import (
    Client,
    ExchangeRequest,
    Grant,
    Limits,
    check,
    clients_of,
    handed_on,
    targets_of,
)
from hopward.jwk import SigningKey
from hopward.model import Budget, Chain, Narrowing
from hopward.settings import Settings
from hopward.testing.clock import NOON
from hopward.testing.installation import (
    DESK,
    DESK_UPSTREAM,
    FILES,
    FILES_UPSTREAM,
    ISSUER,
    some_settings,
)

KEYS = {name: SigningKey.generate("ES256") for name in ("helper", "other")}
SETTINGS = some_settings(Path("unused"), KEYS)
TARGETS = targets_of(SETTINGS)
CLIENTS = clients_of(SETTINGS)
LIMITS = Limits(issuer=ISSUER)
HOUR = 3600 * SECOND
DIGEST = "sha-256:" + "0" * 64
KEY = "jkt:" + "K" * 43
WORK = Narrowing(purpose="read", capabilities=(), budget=Budget(calls=1, writes=0), expires_in=60)


def presented(**changes: Any) -> Presented:
    fields: dict[str, Any] = {
        "token": "tok_task",
        "issuer": ISSUER,
        "subject": "alice",
        "audience": ISSUER,
        "client": "helper",
        "issued_at": NOON,
        "expires_at": NOON + HOUR,
        "key": "kid_1",
        "may_act": Party(issuer=ISSUER, subject="agent:helper"),
        "scope": ("desk/*", "files/read*"),
        "task": "task_1",
    }
    return Presented(**(fields | changes))


def agent_token(agent: str = "helper", **changes: Any) -> Presented:
    fields: dict[str, Any] = {
        "token": f"tok_{agent}",
        "issuer": ISSUER,
        "subject": f"agent:{agent}",
        "audience": ISSUER,
        "client": agent,
        "issued_at": NOON,
        "expires_at": NOON + HOUR,
        "key": "kid_1",
    }
    return Presented(**(fields | changes))


def by_agent(**changes: Any) -> ExchangeRequest:
    """The agent helper wants an access token for the proxy's endpoint of the server desk."""
    fields: dict[str, Any] = {
        "client": CLIENTS["helper"],
        "subject": presented(),
        "actor": agent_token(),
        "target": DESK,
    }
    return ExchangeRequest(**(fields | changes))


def access_token(**changes: Any) -> Presented:
    fields: dict[str, Any] = {
        "token": "tok_access",
        "audience": DESK,
        "may_act": None,
        "actors": ("helper",),
        "scope": ("desk/*",),
        "lineage": ("token:tok_task", "key:kid_1", "token:tok_helper"),
    }
    return presented(**(fields | changes))


def by_proxy(**changes: Any) -> ExchangeRequest:
    """The proxy wants the credential of one call at the server desk."""
    fields: dict[str, Any] = {
        "client": CLIENTS["hopward-proxy"],
        "subject": access_token(),
        "target": DESK_UPSTREAM,
        "scope": ("desk/refund",),
        "call": CallDetails(server="desk", tool="refund", arguments_digest=DIGEST),
    }
    return ExchangeRequest(**(fields | changes))


def granted(request: ExchangeRequest, now: int = NOON) -> Grant:
    return check(request, TARGETS, now, LIMITS)


def refusal(request: ExchangeRequest, now: int = NOON, limits: Limits = LIMITS) -> str:
    with pytest.raises(ExchangeRefusedError) as refused:
        check(request, TARGETS, now, limits)
    return refused.value.error


def test_an_agent_gets_an_access_token_for_one_endpoint_of_the_proxy() -> None:
    grant = granted(by_agent())
    assert grant == Grant(
        client="helper",
        target=TARGETS[DESK],
        subject="alice",
        actors=("helper",),
        scope=("desk/*",),
        task="task_1",
        issued_at=NOON,
        expires_at=NOON + 900 * SECOND,
        lineage=("token:tok_task", "key:kid_1", "token:tok_helper"),
    )


def test_the_proxy_gets_a_credential_for_one_call() -> None:
    grant = granted(by_proxy())
    assert grant.target == TARGETS[DESK_UPSTREAM]
    assert grant.scope == ("desk/refund",)
    assert grant.actors == ("helper",)
    assert grant.expires_at == NOON + 60 * SECOND
    assert grant.call == by_proxy().call
    assert grant.lineage == ("token:tok_access", "key:kid_1", "token:tok_task", "token:tok_helper")


# Check 1: the client.


def test_a_client_without_the_right_to_delegate_cannot_exchange() -> None:
    """Advisory rows 35 and 49: a server may only ask about its tokens, whatever it presents."""
    server = msgspec.structs.replace(CLIENTS["server:desk"], targets=(DESK_UPSTREAM, DESK))
    assert (
        refusal(by_proxy(client=server, subject=access_token(audience=DESK_UPSTREAM)))
        == "unauthorized_client"
    )
    assert refusal(by_agent(client=server)) == "unauthorized_client"


# Check 2: the tokens are ours and current. Standing is in test_issuer.py.


@pytest.mark.parametrize("which", ["subject", "actor"])
def test_an_expired_token_is_no_input(which: str) -> None:
    expired = {"subject": presented, "actor": agent_token}[which](expires_at=NOON + SECOND)
    assert refusal(by_agent(**{which: expired}), NOON + SECOND) == "invalid_request"
    assert refusal(by_proxy(subject=access_token(expires_at=NOON)), NOON) == "invalid_request"


@pytest.mark.parametrize("which", ["subject", "actor"])
def test_a_token_of_another_issuer_is_no_input(which: str) -> None:
    """Advisory rows 34 and 57 (CVE-2026-9094, CVE-2025-55241): the tenant counts, for actors too."""
    foreign = {"subject": presented, "actor": agent_token}[which](issuer="https://elsewhere.example")
    assert refusal(by_agent(**{which: foreign})) == "invalid_request"


def test_an_agent_without_an_actor_token_is_no_proxy() -> None:
    """What the proxy may do, since it is no party to a chain, no agent may do by bringing nothing."""
    chained = presented(may_act=None, actors=("other",), scope=("desk/*",))
    assert refusal(by_agent(subject=chained, actor=None)) == "invalid_request"


def test_a_grant_is_as_new_as_the_exchange_and_its_scope_has_one_spelling() -> None:
    grant = granted(by_agent(scope=("desk/refund", "desk/*", "desk/refund")), NOON + 90 * SECOND)
    assert grant.issued_at == NOON + 90 * SECOND
    assert grant.scope == ("desk/*",)


def test_an_agents_own_token_is_never_the_subject_of_an_exchange() -> None:
    assert refusal(by_agent(subject=agent_token())) == "invalid_request"
    assert refusal(by_agent(subject=presented(subject="agent:helper"))) == "invalid_request"
    assert refusal(by_agent(subject=presented(task=""))) == "invalid_request"


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "alice"},
        {"task": "task_1"},
        {"actors": ("other",)},
        {"scope": ("desk/*",)},
        {"may_act": Party(issuer=ISSUER, subject="agent:helper")},
    ],
)
def test_a_token_with_authority_is_never_an_actor_token(changes: dict[str, Any]) -> None:
    assert refusal(by_agent(actor=agent_token(**changes))) == "invalid_request"


# Check 3: the subject token is addressed to the client.


def test_splice_1_a_subject_token_of_another_client_is_refused() -> None:
    """Splice 1 of the OAUTH list (February 2026): other pairs helper's token with its own actor token."""
    request = by_agent(client=CLIENTS["other"], actor=agent_token("other"))
    assert refusal(request) == "invalid_request"
    willing = presented(may_act=Party(issuer=ISSUER, subject="agent:other"))
    assert (
        refusal(by_agent(client=CLIENTS["other"], actor=agent_token("other"), subject=willing))
        == "invalid_request"
    )


def test_a_token_issued_to_another_client_is_not_a_subject_token() -> None:
    """Advisory rows 43 and 50 (CVE-2026-56668, keycloak#51000)."""
    assert refusal(by_agent(subject=presented(client="other"))) == "invalid_request"
    for audience in ("https://elsewhere.example/mcp", DESK_UPSTREAM, FILES_UPSTREAM, ISSUER, ISSUER + "/"):
        assert refusal(by_proxy(subject=access_token(audience=audience))) == "invalid_request"


def test_a_token_shown_to_the_proxy_is_no_subject_token_for_an_agent() -> None:
    assert refusal(by_agent(subject=presented(audience=DESK))) == "invalid_request"
    assert refusal(by_agent(subject=access_token(), target=FILES)) == "invalid_request"


# Check 4: subject and actor belong together.


def test_splice_2_an_actor_token_of_another_agent_is_refused() -> None:
    """Splices 2 and 2b: the caller is not the party its actor token names."""
    assert refusal(by_agent(actor=agent_token("other"))) == "invalid_request"
    willing = presented(may_act=Party(issuer=ISSUER, subject="agent:other"))
    assert refusal(by_agent(actor=agent_token("other"), subject=willing)) == "invalid_request"
    both = by_agent(client=CLIENTS["other"], actor=agent_token("helper"), subject=presented(client="other"))
    assert refusal(both) == "invalid_request"


@pytest.mark.parametrize("changes", [{"client": "other"}, {"subject": "agent:other"}, {"audience": DESK}])
def test_an_actor_token_is_the_clients_own_and_for_the_authority(changes: dict[str, Any]) -> None:
    assert refusal(by_agent(actor=agent_token(**changes))) == "invalid_request"


def test_an_actor_token_that_names_another_agent_is_not_the_clients() -> None:
    confused = agent_token(subject="agent:other")
    willing = presented(may_act=Party(issuer=ISSUER, subject="agent:other"))
    assert refusal(by_agent(actor=confused, subject=willing)) == "invalid_request"


def test_a_may_act_token_without_its_actor_is_refused() -> None:
    """Advisory row 48 (keycloak#52691): leaving a parameter out never makes the result weaker."""
    assert refusal(by_agent(actor=None)) == "invalid_request"
    assert refusal(by_proxy(subject=access_token(may_act=presented().may_act))) == "invalid_request"


@pytest.mark.parametrize(
    "may_act",
    [
        None,
        Party(issuer=ISSUER, subject="agent:other"),
        Party(issuer=ISSUER, subject="helper"),
        Party(issuer="https://elsewhere.example", subject="agent:helper"),
    ],
)
def test_only_the_actor_that_may_act_becomes_the_actor(may_act: Party | None) -> None:
    assert refusal(by_agent(subject=presented(may_act=may_act))) == "invalid_request"


def test_the_proxy_is_no_party_to_a_chain() -> None:
    assert refusal(by_proxy(actor=agent_token())) == "invalid_request"
    proxy_as_actor = agent_token(client="hopward-proxy", subject="agent:hopward-proxy")
    assert refusal(by_proxy(actor=proxy_as_actor)) == "invalid_request"


def test_the_proxy_acts_for_no_one_where_there_is_no_actor() -> None:
    assert refusal(by_proxy(subject=access_token(actors=()))) == "invalid_request"


# Check 5: no actor is dropped.


def test_an_exchanged_token_keeps_its_actors() -> None:
    """Advisory row 48: a token that carries `act` yields one that nests it."""
    assert granted(by_proxy(subject=access_token(actors=("first", "helper")))).actors == ("first", "helper")
    onward = presented(actors=("first",))
    assert granted(by_agent(subject=onward)).actors == ("first", "helper")


# Check 6: scope.


@pytest.mark.parametrize(
    "scope",
    [
        ("files/read",),
        ("desk/refund", "files/read"),
        ("*",),
        ("desk*",),
        ("desk2/x",),
        ("",),
        ("desk/*x",),
        ("Desk/refund",),
        ("desk",),
    ],
)
def test_a_scope_beyond_the_subject_token_or_the_target_is_refused(scope: tuple[str, ...]) -> None:
    assert refusal(by_agent(scope=scope)) == "invalid_scope"


def test_a_scope_may_be_narrowed_and_never_widened() -> None:
    assert granted(by_agent(scope=("desk/read*", "desk/refund"))).scope == ("desk/read*", "desk/refund")
    narrow = presented(scope=("desk/read*",))
    assert granted(by_agent(subject=narrow)).scope == ("desk/read*",)
    assert granted(by_agent(subject=narrow, scope=("desk/read_ticket",))).scope == ("desk/read_ticket",)
    for wider in (("desk/*",), ("desk/rea*",), ("desk/refund",)):
        assert refusal(by_agent(subject=narrow, scope=wider)) == "invalid_scope"


def test_a_subject_token_that_reaches_nothing_there_gets_nothing() -> None:
    for scope in ((), ("files/*",), ("desk",)):
        assert refusal(by_agent(subject=presented(scope=scope))) == "invalid_scope"
        assert refusal(by_proxy(subject=access_token(scope=scope))) == "invalid_scope"


@pytest.mark.parametrize("scope", [(), ("desk/*",), ("desk/refund", "desk/read"), ("desk/read",)])
def test_the_scope_of_a_credential_is_the_one_tool_of_its_call(scope: tuple[str, ...]) -> None:
    assert refusal(by_proxy(scope=scope)) == "invalid_scope"


def test_a_pattern_is_never_the_tool_of_a_credential() -> None:
    everything = CallDetails(server="desk", tool="*", arguments_digest=DIGEST)
    assert refusal(by_proxy(scope=("desk/*",), call=everything)) == "invalid_scope"


def test_a_credential_is_for_one_call_of_its_own_target_and_no_other_token_is() -> None:
    assert refusal(by_proxy(call=None)) == "invalid_authorization_details"
    elsewhere = CallDetails(server="files", tool="read", arguments_digest=DIGEST)
    assert refusal(by_proxy(call=elsewhere)) == "invalid_authorization_details"
    assert refusal(by_agent(call=by_proxy().call)) == "invalid_authorization_details"


# Check 7: lifetime.


@pytest.mark.parametrize(
    ("subject", "actor", "expected"),
    [(3600, 3600, 900), (100, 3600, 100), (3600, 50, 50), (7, 50, 7)],
)
def test_nothing_outlives_what_it_was_exchanged_from(subject: int, actor: int, expected: int) -> None:
    request = by_agent(
        subject=presented(expires_at=NOON + subject * SECOND),
        actor=agent_token(expires_at=NOON + actor * SECOND),
    )
    assert granted(request).expires_at == NOON + expected * SECOND


@pytest.mark.parametrize(("left", "expected"), [(3600, 60), (60, 60), (59, 59), (1, 1)])
def test_a_credential_lives_a_minute_and_never_longer_than_its_chain(left: int, expected: int) -> None:
    request = by_proxy(subject=access_token(expires_at=NOON + left * SECOND))
    assert granted(request).expires_at == NOON + expected * SECOND


def test_lifetimes_are_whole_seconds_rounded_down() -> None:
    late = NOON + SECOND // 2
    assert granted(by_proxy(), late).expires_at == NOON + 60 * SECOND
    ends = access_token(expires_at=NOON + 3 * SECOND - 1)
    assert granted(by_proxy(subject=ends), late).expires_at == NOON + 2 * SECOND
    barely = access_token(expires_at=NOON + SECOND - 1)
    assert refusal(by_proxy(subject=barely), late) == "invalid_request"


# Check 8: the target.


@pytest.mark.parametrize(
    "target", ["", "https://elsewhere.example/mcp", DESK + "/", DESK.upper(), ISSUER, "desk"]
)
def test_an_unknown_target_is_refused(target: str) -> None:
    assert refusal(by_agent(target=target)) == "invalid_target"
    assert refusal(by_proxy(target=target)) == "invalid_target"


@pytest.mark.parametrize("target", [DESK_UPSTREAM, FILES_UPSTREAM])
def test_an_agent_never_gets_a_token_an_upstream_server_accepts(target: str) -> None:
    """This is what makes the proxy unavoidable."""
    assert refusal(by_agent(target=target)) == "invalid_target"
    call = CallDetails(server=TARGETS[target].server, tool="read", arguments_digest=DIGEST)
    assert refusal(by_agent(target=target, call=call, scope=(f"{call.server}/read",))) == "invalid_target"


def test_the_proxy_gets_no_token_with_which_to_call_itself() -> None:
    assert refusal(by_proxy(target=DESK, call=None, scope=())) == "invalid_target"


# Check 9: depth and loops.


def test_no_actor_is_in_a_chain_twice() -> None:
    assert refusal(by_agent(subject=presented(actors=("helper",)))) == "invalid_request"
    assert refusal(by_agent(subject=presented(actors=("helper", "other")))) == "invalid_request"
    assert refusal(by_proxy(subject=access_token(actors=("a", "helper", "a")))) == "invalid_request"


def test_a_chain_has_only_so_many_actors() -> None:
    seven = tuple(f"agent{n}" for n in range(7))
    assert len(granted(by_agent(subject=presented(actors=seven))).actors) == 8
    assert refusal(by_agent(subject=presented(actors=(*seven, "agent8")))) == "invalid_request"
    assert (
        refusal(by_proxy(subject=access_token(actors=tuple(f"a{n}" for n in range(9))))) == "invalid_request"
    )


# Check 10: lineage.


def test_the_result_names_everything_it_was_exchanged_from() -> None:
    subject = presented(lineage=("token:tok_root", "key:kid_0"), key="kid_1")
    grant = granted(by_agent(subject=subject, actor=agent_token(key="kid_2", lineage=("token:tok_x",))))
    assert grant.lineage == (
        "token:tok_task",
        "key:kid_1",
        "token:tok_root",
        "key:kid_0",
        "token:tok_helper",
        "key:kid_2",
        "token:tok_x",
    )


def test_a_chain_opened_in_this_process_has_no_token_to_name() -> None:
    assert granted(by_proxy(subject=access_token(token="", key="", lineage=()))).lineage == ()


# Check 11: key binding.


@pytest.mark.parametrize("proved", ["", "jkt:other", f"x5t#S256:{KEY.removeprefix('jkt:')}"])
def test_a_token_bound_to_a_key_is_refused_to_who_does_not_prove_that_key(proved: str) -> None:
    for wrong in (by_agent(subject=presented(bound=KEY)), by_agent(actor=agent_token(bound=KEY))):
        assert refusal(replace(wrong, bound=proved)) == "invalid_request"


def test_what_comes_of_an_exchange_is_bound_to_the_key_that_was_proved() -> None:
    bound = by_agent(subject=presented(bound=KEY), actor=agent_token(bound=KEY))
    assert granted(replace(bound, bound=KEY)).bound == KEY
    assert granted(replace(by_agent(), bound=KEY)).bound == KEY
    assert granted(by_agent()).bound == ""


def test_the_proxy_answers_for_the_key_of_its_caller_and_proves_its_own() -> None:
    own = "jkt:" + "P" * 43
    assert granted(by_proxy(subject=access_token(bound=KEY))).bound == ""
    assert granted(replace(by_proxy(subject=access_token(bound=KEY)), bound=own)).bound == own


# Both paths, together.


FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("another issuer", {"issuer": "https://elsewhere.example"}),
    ("expired", {"expires_at": NOON}),
    ("no task", {"task": ""}),
    ("an agent as subject", {"subject": "agent:other"}),
    ("not addressed", {"audience": "https://elsewhere.example"}),
    ("nothing in scope", {"scope": ()}),
    ("a loop", {"actors": ("helper", "other", "helper")}),
    ("too deep", {"actors": tuple(f"agent{n}" for n in range(9))}),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_internal_and_external_exchange_run_the_same_checks(fault: tuple[str, dict[str, Any]]) -> None:
    """Advisory row 49 (keycloak#48104): one table of refusals, against every path there is."""
    assert granted(by_agent())
    assert granted(by_proxy())
    refusal(by_agent(subject=presented(**fault[1])))
    refusal(by_proxy(subject=access_token(**fault[1])))


names = st.sampled_from(
    ["desk/read", "desk/refund", "files/read", "files/write", "desk/r*", "desk/*", "files/*", "*"]
)


@given(
    scope=st.lists(names, max_size=4).map(tuple),
    asked=st.lists(names, max_size=3).map(tuple),
    life=st.integers(0, 2000),
    actor_life=st.integers(0, 2000),
    later=st.integers(0, 1000),
)
def test_no_series_of_exchanges_exceeds_its_first_token(
    scope: tuple[str, ...], asked: tuple[str, ...], life: int, actor_life: int, later: int
) -> None:
    """Advisory row 56: scope, lifetime and audience only shrink along every series there is."""
    first = presented(scope=scope, expires_at=NOON + life * SECOND)
    actor = agent_token(expires_at=NOON + actor_life * SECOND)
    for target, tool in product(TARGETS, ("read", "refund", "write")):
        try:
            one = granted(by_agent(subject=first, actor=actor, target=target, scope=asked))
        except ExchangeRefusedError:
            continue
        _assert_within(one, first, target)
        assert one.expires_at <= actor.expires_at
        held = access_token(audience=target, scope=one.scope, expires_at=one.expires_at, actors=one.actors)
        for upstream in TARGETS:
            call = CallDetails(server=TARGETS[upstream].server, tool=tool, arguments_digest=DIGEST)
            request = by_proxy(subject=held, target=upstream, scope=(f"{call.server}/{tool}",), call=call)
            try:
                two = granted(request, NOON + later * SECOND)
            except ExchangeRefusedError:
                continue
            _assert_within(two, held, upstream)
            assert TARGETS[upstream].server == TARGETS[target].server
            assert two.expires_at <= NOON + later * SECOND + 60 * SECOND


def _assert_within(grant: Grant, parent: Presented, target: str) -> None:
    assert grant.target.resource == target
    assert grant.expires_at <= parent.expires_at
    assert grant.actors[: len(parent.actors)] == parent.actors
    assert grant.subject == parent.subject
    for name in grant.scope:
        assert any(pattern.within(name, entry) for entry in parent.scope)
        assert pattern.within(name, f"{grant.target.server}/*")


# Work handed on: the same checks, and the chain that asks.


def by_delegator(**changes: Any) -> ExchangeRequest:
    """The agent helper wants to hand work of its task to the agent other."""
    fields: dict[str, Any] = {"target": "agent:other", "delegation": WORK}
    return by_agent(**(fields | changes))


def asking(request: ExchangeRequest, now: int = NOON) -> Chain:
    return handed_on(request, SETTINGS.agents, now, LIMITS)


def not_asking(request: ExchangeRequest, now: int = NOON, limits: Limits = LIMITS) -> str:
    with pytest.raises(ExchangeRefusedError) as refused:
        handed_on(request, SETTINGS.agents, now, limits)
    return refused.value.error


def hop_token(**changes: Any) -> Presented:
    """What boss has handed to helper."""
    fields: dict[str, Any] = {"token": "tok_hop", "actors": ("boss",), "hops": ("hop_1",)}
    return presented(**(fields | changes))


def test_the_chain_that_hands_on_is_the_subject_tokens_with_the_agent_that_asks() -> None:
    chain = asking(by_delegator(subject=hop_token(issued_at=NOON - SECOND, lineage=("token:tok_task",))))
    assert chain == Chain(
        task="task_1",
        subject="alice",
        actors=("boss", "helper"),
        issued_at=NOON - SECOND,
        expires_at=NOON + HOUR,
        scope=("desk/*", "files/read*"),
        lineage=("token:tok_hop", "key:kid_1", "token:tok_task", "token:tok_helper"),
        hops=("hop_1",),
    )


def test_the_chain_is_as_old_as_the_older_token_and_lives_as_long_as_the_subject_token() -> None:
    actor = agent_token(issued_at=NOON - 5 * SECOND, expires_at=NOON + 2 * SECOND)
    chain = asking(by_delegator(actor=actor))
    assert (chain.issued_at, chain.expires_at) == (NOON - 5 * SECOND, NOON + HOUR)
    for late in ({"actor": agent_token(expires_at=NOON)}, {"subject": presented(expires_at=NOON + 1)}):
        assert not_asking(by_delegator(**late)) == "invalid_request"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client": CLIENTS["server:desk"]}, "unauthorized_client"),
        ({"client": CLIENTS["hopward-proxy"], "actor": None}, "invalid_target"),
        ({"client": CLIENTS["other"]}, "invalid_request"),
        ({"target": "agent:ghost"}, "invalid_target"),
        ({"target": "agent:"}, "invalid_target"),
        ({"target": "other"}, "invalid_target"),
        ({"target": DESK}, "invalid_target"),
        ({"delegation": None}, "invalid_request"),
        ({"call": CallDetails(server="desk", tool="x", arguments_digest=DIGEST)}, "invalid_request"),
        ({"scope": ("desk/*",)}, "invalid_scope"),
        ({"actor": None}, "invalid_request"),
        ({"actor": agent_token("other")}, "invalid_request"),
        ({"actor": agent_token(audience=DESK)}, "invalid_request"),
        ({"actor": agent_token(bound=KEY)}, "invalid_request"),
        ({"actor": agent_token(issuer="https://elsewhere.example")}, "invalid_request"),
        ({"actor": agent_token(hops=("hop_1",))}, "invalid_request"),
        ({"actor": hop_token()}, "invalid_request"),
        ({"actor": presented()}, "invalid_request"),
        ({"subject": presented(bound=KEY)}, "invalid_request"),
        ({"subject": presented(issuer="https://elsewhere.example")}, "invalid_request"),
        ({"subject": presented(client="other")}, "invalid_request"),
        ({"subject": presented(audience=DESK)}, "invalid_request"),
        ({"subject": presented(may_act=None)}, "invalid_request"),
        ({"subject": presented(may_act=Party(issuer=ISSUER, subject="agent:other"))}, "invalid_request"),
        ({"subject": presented(may_act=Party(issuer="x", subject="agent:helper"))}, "invalid_request"),
        ({"subject": presented(task="")}, "invalid_request"),
        ({"subject": presented(subject="agent:other")}, "invalid_request"),
        ({"subject": access_token()}, "invalid_request"),
        ({"subject": agent_token()}, "invalid_request"),
        ({"subject": hop_token(actors=("boss", "helper"))}, "invalid_request"),
    ],
    ids=str,
)
def test_each_check_holds_where_work_is_handed_on(changes: dict[str, Any], error: str) -> None:
    assert asking(by_delegator())
    assert not_asking(by_delegator(**changes)) == error


def test_a_chain_that_is_as_long_as_allowed_still_asks_and_a_longer_one_does_not() -> None:
    subject = hop_token(actors=("a", "b"))
    assert handed_on(by_delegator(subject=subject), SETTINGS.agents, NOON, Limits(issuer=ISSUER, actors=3))
    request = by_delegator(subject=subject)
    assert not_asking(request, limits=Limits(issuer=ISSUER, actors=2)) == "invalid_request"


def test_the_token_of_a_hop_gets_an_endpoint_with_everyone_in_it() -> None:
    grant = granted(by_agent(subject=hop_token()))
    assert (grant.actors, grant.hops) == (("boss", "helper"), ("hop_1",))
    assert grant.lineage == ("token:tok_hop", "key:kid_1", "token:tok_helper")


def test_only_an_agent_is_handed_work() -> None:
    for request in (by_agent(delegation=WORK), by_proxy(delegation=WORK)):
        assert refusal(request) == "invalid_authorization_details"


# Targets and clients from the settings.


def changed(**changes: Any) -> Settings:
    desk = msgspec.structs.replace(SETTINGS.servers["desk"], **changes)
    return msgspec.structs.replace(SETTINGS, servers={**SETTINGS.servers, "desk": desk})


def test_agents_may_target_endpoints_and_the_proxy_upstream_servers_only() -> None:
    assert CLIENTS["helper"] == Client(id="helper", role="agent", targets=(DESK, FILES))
    assert CLIENTS["hopward-proxy"].targets == (DESK_UPSTREAM, FILES_UPSTREAM)
    assert CLIENTS["hopward-proxy"].audiences == (DESK, FILES)
    assert CLIENTS["server:desk"] == Client(id="server:desk", role="server", audiences=(DESK_UPSTREAM,))


@pytest.mark.parametrize(
    "resource",
    [DESK, FILES, DESK + "/", DESK.upper().replace("HTTPS", "https"), FILES_UPSTREAM, ISSUER, ISSUER + "/"],
)
def test_two_targets_a_token_could_confuse_refuse_to_start(resource: str) -> None:
    """Advisory rows 18 and 19: an upstream with an endpoint's name would open to the agent's own token."""
    with pytest.raises(ConfigError, match="also"):
        targets_of(changed(resource=resource))


@pytest.mark.parametrize(
    "resource",
    [
        "",
        " ",
        "desk",
        "/desk",
        "https://desk.example/#x",
        "https://desk.example/ x",
        "é:x",
        "agent:other",
    ],
)
def test_a_resource_indicator_is_an_absolute_uri_without_fragment(resource: str) -> None:
    with pytest.raises(ConfigError, match="resource indicator"):
        targets_of(changed(resource=resource))


@pytest.mark.parametrize("name", ["hopward-proxy", "server:desk"])
def test_an_agent_cannot_take_another_clients_name(name: str) -> None:
    agents = {**SETTINGS.agents, name: SETTINGS.agents["helper"]}
    with pytest.raises(ConfigError, match="cannot be called"):
        clients_of(msgspec.structs.replace(SETTINGS, agents=agents))
