"""Tokens of an external authorization server: what is asked for, what is accepted, and what is kept."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from joserfc.jwk import RSAKey

from hopward import CredentialVerifier, TokenRequest
from hopward.cli import verbs
from hopward.cli.findings import findings
from hopward.clock import SECOND, SystemClock
from hopward.errors import ChainError, ConfigError, ExchangeRefusedError, HopwardError, TokenError
from hopward.external.cache import Purpose
from hopward.model import ToolCall, plain
from hopward.testing.clock import FixedClock

from .foreign_server import (
    CALL,
    DESK,
    ISSUER,
    NESTED,
    ON_BEHALF_OF,
    ORDERS,
    SIGNED,
    Firm,
    ForeignServer,
    a_firm,
)

CACHED = "cache_seconds = 30\n"


@pytest.fixture
def firm(tmp_path: Path) -> Iterator[Firm]:
    made = a_firm(tmp_path)
    yield made
    made.guard.close()


@pytest.fixture
def signed(tmp_path: Path) -> Iterator[Firm]:
    made = a_firm(tmp_path, SIGNED)
    yield made
    made.guard.close()


@pytest.fixture
def cached(tmp_path: Path) -> Iterator[Firm]:
    made = a_firm(tmp_path, CACHED + NESTED)
    yield made
    made.guard.close()


def why(attempt: Callable[[], object]) -> str:
    with pytest.raises(HopwardError) as refusal:
        attempt()
    return refusal.value.error


def sole(request: TokenRequest | str) -> TokenRequest:
    assert isinstance(request, TokenRequest)
    return request


def test_the_token_for_a_call_is_the_persons_for_that_server_with_that_scope_and_names_who_acts(
    firm: Firm,
) -> None:
    token = firm.obtained(firm.guard.enter(firm.task().id))
    claims = firm.server.claims(token)
    assert (claims["sub"], claims["aud"], claims["scope"]) == ("alice", DESK, "desk:read")
    assert (claims["client_id"], claims["act"]) == ("agent-a", {"sub": "agent-a"})
    (asked,) = firm.server.asked
    assert asked["resource"] == DESK
    assert not {"audience", "actor_token"} & asked.keys()


def test_every_hop_is_an_exchange_of_its_own_so_act_names_the_whole_chain(firm: Firm) -> None:
    token = firm.obtained(firm.handed(firm.task()))
    first, second = firm.server.asked
    assert (first["client_id"], first["resource"]) == ("agent-a", "https://agent-b.example/")
    assert (second["client_id"], second["resource"]) == ("agent-b", DESK)
    assert firm.server.claims(second["subject_token"])["act"] == {"sub": "agent-a"}
    assert firm.server.claims(token)["act"] == {"sub": "agent-b", "act": {"sub": "agent-a"}}
    assert [first["scope"], second["scope"]] == ["desk:read", "desk:read"]


def test_a_request_that_calls_nothing_asks_for_the_scope_of_that(firm: Firm) -> None:
    chain = firm.guard.enter(firm.task().id)
    token = firm.finished(firm.guard.external_introduction(chain, "desk", "tools/list"))
    assert firm.server.claims(token)["scope"] == "desk:list"
    token = firm.obtained(chain, ToolCall(server="desk", tool="search", arguments={}))
    assert firm.server.claims(token)["scope"] == "desk:read desk:list"


def test_the_row_of_a_token_is_durable_first_and_no_secret_is_in_it(firm: Firm) -> None:
    task = firm.task()
    subject_token = firm.guard._external.subjects.token(task.id, "firm")
    request = firm.request(firm.guard.enter(task.id))
    assert firm.credentials() == []
    token = firm.finished(request)
    (recorded,) = firm.credentials()
    assert recorded["id"] == f"firm:{firm.server.claims(token)['jti']}"
    assert (recorded["audience"], recorded["scope"]) == (DESK, "desk/read_ticket")
    told = str([plain(row.record) for row in firm.guard.ledger.rows()])
    for secret in (token, subject_token, firm.server.asked[0]["client_assertion"]):
        assert secret not in told
        assert secret not in repr(request)


def test_each_client_authenticates_for_the_issuer_alone_and_anew_each_time(firm: Firm) -> None:
    chain = firm.guard.enter(firm.task().id)
    request = sole(firm.request(chain))
    keys = firm.guard.external_received(request, *firm.server.answer(request.url, {}))
    asked, again = sole(keys), firm.guard.external_again(sole(keys))
    assert asked.form["client_assertion"] != again.form["client_assertion"]
    assert {**asked.form, "client_assertion": ""} == {**again.form, "client_assertion": ""}
    assert firm.finished(again)
    assert firm.server.answer(again.url, dict(again.form))[0] == 400


# What a token must be.


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"aud": ORDERS}, "someone else"),
        ({"aud": [DESK, ORDERS]}, "audience"),
        ({"aud": None}, "no aud"),
        ({"sub": "bob"}, "subject"),
        ({"sub": None}, "no sub"),
        ({"scope": "desk:read desk:write"}, "scope"),
        ({"scp": ["desk:read", "desk:list"]}, "scope"),
        ({"client_id": "agent-b"}, "client"),
        ({"client_id": None, "azp": "agent-b"}, "client"),
        ({"act": None}, "chain of actors"),
        ({"act": {"sub": "agent-b"}}, "chain of actors"),
        ({"act": {"sub": "agent-a", "act": {"sub": "agent-x"}}}, "chain of actors"),
        ({"act": "agent-a"}, "act"),
        ({"cnf": {"jkt": "x"}}, "binding to a key"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"exp": 1_795_608_000 + 3_600}, "lifetime"),
        ({"exp": 1_795_608_000}, "expired"),
        ({"iat": 1_795_608_000 + 60}, "not valid yet"),
    ],
)
def test_a_token_that_is_anything_but_what_was_asked_for_is_refused(
    firm: Firm, change: dict[str, Any], what: str
) -> None:
    chain = firm.guard.enter(firm.task().id)
    firm.server.tamper = lambda claims: claims | change
    with pytest.raises(ExchangeRefusedError, match=what) as refusal:
        firm.obtained(chain)
    assert refusal.value.error == "wrong_credential"
    assert firm.credentials() == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"scope": "desk:read desk:list"}, "wrong_credential"),
        ({"token_type": "DPoP"}, "server_error"),
        ({"token_type": "N_A"}, "server_error"),
        ({"issued_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "server_error"),
        ({"issued_token_type": None}, "server_error"),
        ({"expires_in": 100_000}, "wrong_credential"),
        ({"expires_in": -1}, "server_error"),
        ({"expires_in": "300"}, "server_error"),
        ({"access_token": ""}, "server_error"),
        ({"access_token": "opaque"}, "wrong_credential"),
    ],
)
def test_an_answer_that_says_anything_else_is_refused(firm: Firm, change: dict[str, Any], error: str) -> None:
    chain = firm.guard.enter(firm.task().id)
    firm.server.shape = lambda answer: answer | change
    assert why(lambda: firm.obtained(chain)) == error
    assert firm.credentials() == []


def test_the_callers_token_is_refused_however_it_comes_back(firm: Firm) -> None:
    task = firm.task()
    given = firm.guard._external.subjects.token(task.id, "firm")
    firm.server.shape = lambda answer: answer | {"access_token": given}
    assert why(lambda: firm.obtained(firm.guard.enter(task.id))) == "wrong_credential"


def test_a_token_of_another_type_key_or_algorithm_is_refused(firm: Firm) -> None:
    chain = firm.guard.enter(firm.task().id)
    firm.obtained(chain)
    server = firm.server

    def otherwise(answer: dict[str, Any], **changes: Any) -> dict[str, Any]:
        claims = server.claims(answer["access_token"])
        other = ForeignServer(firm.clock, key=changes.get("key", server.key))
        return answer | {"access_token": other.signed(claims, changes.get("typ", "at+jwt"))}

    server.shape = lambda answer: otherwise(answer, typ="JWT")
    assert why(lambda: firm.obtained(chain)) == "wrong_credential"
    forged = RSAKey.generate_key(2048, {"kid": "f1"})
    server.shape = lambda answer: otherwise(answer, key=forged)
    assert why(lambda: firm.obtained(chain)) == "wrong_credential"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"error": "invalid_grant"}', "invalid_request"),
        (400, b'{"error": "invalid_scope"}', "invalid_scope"),
        (400, b'{"error": "x\\n\\u001b[31m"}', "server_error"),
        (400, b'{"error": ["invalid_scope"]}', "server_error"),
        (302, b"", "server_error"),
        (200, b"<html>", "server_error"),
        (200, b"[]", "server_error"),
        (200, b'{"access_token": "a", "access_token": "b"}', "server_error"),
    ],
)
def test_a_refusal_keeps_the_servers_code_and_nothing_else_of_it(
    firm: Firm, status: int, body: bytes, error: str
) -> None:
    request = sole(firm.request(firm.guard.enter(firm.task().id)))
    request = sole(firm.guard.external_received(request, 200, firm.server.jwks()))
    assert why(lambda: firm.guard.external_received(request, status, body)) == error


# Splices: two genuine things that do not belong together.


def test_a_persons_token_is_kept_for_their_own_task_only(firm: Firm) -> None:
    task = firm.guard.open_task("tickets", "alice")
    for token, error in (
        (firm.server.person_token("bob"), "wrong_subject"),
        (firm.server.person_token("alice", "agent-b"), "wrong_audience"),
        (firm.server.person_token("alice", aud=DESK), "wrong_audience"),
        (firm.server.person_token("alice", iss="https://evil.example"), "wrong_issuer"),
        (firm.server.person_token("alice", exp=firm.server.now), "expired"),
        ("not-a-token", "malformed"),
    ):
        assert why(lambda: firm.guard.keep_subject_token(task, "firm", token)) == error  # noqa: B023
    assert why(lambda: firm.obtained(firm.guard.enter(task.id))) == "subject_token_missing"


def test_a_token_that_somebody_has_made_up_is_found_out_before_it_is_sent_anywhere(firm: Firm) -> None:
    forger = ForeignServer(firm.clock, addressed=firm.server.addressed)
    chain = firm.guard.enter(firm.task(token=forger.person_token()).id)
    assert why(lambda: firm.obtained(chain)) == "subject_token_unusable"
    assert firm.server.asked == []


def test_a_token_put_in_the_place_of_another_task_is_refused(firm: Firm) -> None:
    alice, bob = firm.task("alice"), firm.task("bob")
    folder = firm.guard.settings.subject_tokens_folder
    (folder / f"{bob.id}.firm.json").replace(folder / f"{alice.id}.firm.json")
    assert why(lambda: firm.obtained(firm.guard.enter(alice.id))) == "wrong_subject"
    assert why(lambda: firm.obtained(firm.guard.enter(bob.id))) == "subject_token_missing"
    assert firm.server.asked == []


def test_a_loose_server_that_lets_itself_be_spliced_gets_no_further(firm: Firm) -> None:
    firm.server.strict = False
    chain = firm.handed(firm.task())
    elsewhere = {"act": {"sub": "agent-b", "act": {"sub": "agent-c"}}}
    firm.server.tamper = lambda claims: claims | (elsewhere if claims["client_id"] == "agent-b" else {})
    assert why(lambda: firm.obtained(chain)) == "wrong_credential"
    firm.server.tamper = lambda claims: claims | ({"sub": "bob"} if claims["client_id"] == "agent-a" else {})
    assert why(lambda: firm.obtained(chain)) == "wrong_credential"
    assert firm.credentials() == []


def test_an_agent_without_a_client_of_its_own_gets_no_token(tmp_path: Path) -> None:
    only_one = NESTED.partition("[authorization_servers.firm.agents.clerk]")[0]
    firm = a_firm(tmp_path, only_one)
    task = firm.task()
    assert firm.obtained(firm.guard.enter(task.id))
    assert why(lambda: firm.obtained(firm.handed(task))) == "unauthorized_client"
    firm.guard.close()


def test_who_may_act_is_proved_and_never_left_out(tmp_path: Path) -> None:
    may_act = {"may_act": {"sub": "service-agent-a", "client_id": "agent-a"}}
    (tmp_path / "without").mkdir()
    firm = a_firm(tmp_path / "without")
    task = firm.task(token=firm.server.person_token(**may_act))
    assert why(lambda: firm.obtained(firm.guard.enter(task.id))) == "subject_token_unusable"
    assert firm.server.asked == []
    firm.guard.close()

    (tmp_path / "with").mkdir()
    firm = a_firm(tmp_path / "with", 'actor = "token"\n' + NESTED)
    task = firm.task(token=firm.server.person_token(**may_act))
    token = firm.obtained(firm.guard.enter(task.id))
    assert [asked["grant_type"].rpartition(":")[2] for asked in firm.server.asked] == [
        "client_credentials",
        "token-exchange",
    ]
    assert firm.server.claims(token)["act"] == {"sub": "service-agent-a"}
    firm.server.tamper = lambda claims: claims | ({"client_id": "agent-b"} if "act" not in claims else {})
    assert why(lambda: firm.obtained(firm.guard.enter(task.id))) == "wrong_credential"
    firm.guard.close()


# What stands and what has ended.


def test_a_task_that_ends_takes_its_persons_token_with_it(firm: Firm) -> None:
    task, other = firm.task(), firm.task("bob")
    request = firm.request(firm.guard.enter(task.id))
    firm.guard.complete_task(task.id)
    assert why(lambda: firm.finished(request)) == "task_completed"
    kept = firm.guard._external.subjects.kept()
    assert kept == (other.id,)
    assert why(lambda: firm.guard.keep_subject_token(firm.guard.task(task.id), "firm", "x")) == "wrong_state"
    firm.clock.advance(3_600 * SECOND)
    third = firm.task("carol", firm.server.person_token("carol"))
    assert firm.guard._external.subjects.kept() == (third.id,)


def test_a_kept_token_is_readable_by_this_user_alone(firm: Firm) -> None:
    firm.task()
    folder = firm.guard.settings.subject_tokens_folder
    (file,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    file.chmod(0o640)
    assert why(lambda: firm.guard._external.subjects.token(*file.stem.split("."))) == "subject_token_missing"


def test_what_was_decided_is_all_that_is_asked_for(firm: Firm) -> None:
    chain = firm.guard.enter(firm.task().id)
    decision = firm.guard.authorize(CALL, chain)
    other = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": 8})
    assert why(lambda: firm.guard.external_request(decision, other)) == "call_changed"
    firm.clock.advance(60 * SECOND)
    assert why(lambda: firm.guard.external_request(decision, CALL)) == "invalid_request"


# Keys.


def test_keys_are_fetched_once_and_again_for_a_new_one(firm: Firm) -> None:
    chain = firm.guard.enter(firm.task().id)
    for _ in range(3):
        firm.obtained(chain)
    assert firm.server.fetched == 1
    firm.clock.advance(11 * SECOND)
    old = firm.server.key
    firm.server.key = RSAKey.generate_key(2048, {"kid": "f2"})
    task = firm.task("bob")
    assert firm.obtained(firm.guard.enter(task.id))
    assert firm.server.fetched == 2
    firm.server.key = old
    assert why(lambda: firm.obtained(firm.guard.enter(task.id))) == "invalid_request"


def test_tokens_with_made_up_keys_cannot_make_us_fetch(firm: Firm) -> None:
    chain = firm.guard.enter(firm.task().id)
    firm.obtained(chain)
    for _ in range(5):
        forged = ForeignServer(firm.clock, addressed=firm.server.addressed)
        forged.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)})
        task = firm.task(token=forged.person_token())
        assert why(lambda: firm.obtained(firm.guard.enter(task.id))) == "subject_token_unusable"  # noqa: B023
    assert firm.server.fetched == 1


def test_without_keys_nothing_is_sent_and_no_token_is_believed(firm: Firm) -> None:
    request = sole(firm.request(firm.guard.enter(firm.task().id)))
    assert (request.url, request.form) == (f"{ISSUER}/jwks", {})
    for status, body in ((500, b""), (200, b"{}"), (200, b'{"keys": []}')):
        assert why(lambda: firm.guard.external_received(request, status, body)) == "keys_unavailable"  # noqa: B023
    assert firm.server.asked == []


# A server that says less: the chain goes along, signed.


def test_a_chain_that_the_server_cannot_say_goes_along_in_our_own_signed_form(signed: Firm) -> None:
    chain = signed.handed(signed.task())
    decision = signed.guard.authorize(CALL, chain)
    token = signed.finished(signed.guard.external_request(decision, CALL))
    (asked,) = signed.server.asked
    assert asked["client_id"] == "proxy"
    statement = signed.guard.statement(decision, CALL, token)
    verifier = CredentialVerifier(
        "http://127.0.0.1:8700", DESK, signed.guard.issuer.jwks(), clock=signed.clock
    )
    arguments = CALL.arguments
    said = verifier.verify_statement(statement, token=token, tool="read_ticket", arguments=arguments)
    assert said["act"] == {"sub": "agent:clerk", "act": {"sub": "agent:assistant"}}
    assert (said["sub"], said["txn"], said["decision"]) == ("alice", chain.task, decision.id)
    assert list(chain.hops) == said["hops"]
    for wrong in ({"tool": "search"}, {"arguments": {"ticket": 8}}, {"token": token + "x"}, {}):
        again = signed.guard.statement(decision, CALL, token) if wrong else statement
        asked_with: Any = {"token": token, "tool": "read_ticket", "arguments": arguments} | wrong
        with pytest.raises(TokenError):
            verifier.verify_statement(again, **asked_with)
    with pytest.raises(TokenError, match="another type"):
        verifier.verify(statement, tool="read_ticket", arguments=arguments)


def test_no_statement_goes_with_a_token_that_says_all_of_it(firm: Firm) -> None:
    chain = firm.guard.enter(firm.task().id)
    decision = firm.guard.authorize(CALL, chain)
    assert firm.guard.statement(decision, CALL, "token") == ""
    assert firm.guard.settings.authorization_servers["firm"].lacking() == ()


def test_on_behalf_of_asks_in_its_own_dialect_and_knows_a_person_by_another_claim(tmp_path: Path) -> None:
    firm = a_firm(tmp_path, ON_BEHALF_OF)
    chain = firm.guard.enter(firm.task().id)
    token = firm.obtained(chain)
    (asked,) = firm.server.asked
    assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert asked["requested_token_use"] == "on_behalf_of"
    assert asked["scope"] == "desk:read"
    assert firm.server.claims(token)["oid"] == "oid-alice"
    (told,) = firm.guard.settings.authorization_servers["firm"].lacking()
    assert "does not nest actors" in told
    firm.server.tamper = lambda claims: claims | {"oid": "oid-bob"}
    assert why(lambda: firm.obtained(chain)) == "wrong_credential"
    firm.guard.close()


def test_a_workload_identity_authenticates_where_there_is_one(tmp_path: Path) -> None:
    firm = a_firm(tmp_path, 'client_authentication = "spiffe_jwt"\n' + SIGNED)
    request = sole(firm.request(firm.guard.enter(firm.task().id)))
    with pytest.raises(ConfigError, match=r"authorization_servers\.firm: there is no JWT-SVID"):
        firm.guard.external_check()
    asked_for: list[str] = []
    firm.guard.svid_from(lambda audience: asked_for.append(audience) or "svid")
    firm.guard.external_check()
    asked = sole(firm.guard.external_received(request, 200, firm.server.jwks()))
    assert asked_for == [ISSUER]
    assert asked.form["client_assertion"] == "svid"
    assert asked.form["client_assertion_type"].endswith(":jwt-spiffe")
    assert "client_id" not in asked.form
    firm.guard.close()


def test_an_svid_in_a_file_is_sent_only_if_the_issuer_is_its_only_audience(tmp_path: Path) -> None:
    spiffe = 'client_authentication = "spiffe_jwt"\nsvid_file = "svid.jwt"\n'
    firm = a_firm(tmp_path, spiffe + SIGNED)
    firm.guard.external_check()
    request = sole(firm.request(firm.guard.enter(firm.task().id)))
    keys = (200, firm.server.jwks())
    assert why(lambda: firm.guard.external_received(request, *keys)) == "invalid_client"
    for audience, good in ((ISSUER, True), ([ISSUER], True), ([ISSUER, DESK], False), (DESK, False)):
        svid = firm.server.signed({"sub": "spiffe://firm/proxy", "aud": audience}, "JWT")
        (tmp_path / "svid.jwt").write_text(svid + "\n")
        if good:
            asked = sole(firm.guard.external_received(request, *keys))
            assert asked.form["client_assertion"] == svid
        else:
            assert why(lambda: firm.guard.external_received(request, *keys)) == "invalid_client"
    (tmp_path / "svid.jwt").write_bytes(b"\xff.x.y")
    assert why(lambda: firm.guard.external_received(request, *keys)) == "invalid_client"
    firm.guard.close()


def test_what_a_server_cannot_do_is_said_by_doctor(tmp_path: Path) -> None:
    firm = a_firm(tmp_path, SIGNED)
    firm.guard.close()
    told = [one for one in findings(tmp_path / "hopward.toml") if one.about == "authorization servers"]
    assert [one.level for one in told] == ["note", "ok"]
    assert told[0].sentence.startswith("firm does not nest actors in act")
    settings = firm.guard.settings.authorization_servers["firm"]
    (_, second) = msgspec.structs.replace(settings, narrows=False).lacking()
    assert second.startswith("does not narrow scope")


def test_the_command_keeps_a_token_from_stdin_and_never_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firm = a_firm(tmp_path, clock=FixedClock(SystemClock().now()))
    task = firm.guard.open_task("tickets", "alice")
    monkeypatch.chdir(tmp_path)

    def given(token: str, server: str = "firm") -> Any:
        return CliRunner().invoke(verbs, ["task", "subject-token", task.id, server], input=token)

    bobs, alices = firm.server.person_token("bob"), firm.server.person_token()
    refused = given(bobs)
    assert refused.exit_code == 1
    assert "is not the subject of the task" in refused.output
    assert "Configured in [authorization_servers]: firm" in given(alices, "farm").output
    kept = given(f"{alices}\n")
    assert kept.exit_code == 0, kept.output
    assert not any(token in one.output for token in (bobs, alices) for one in (refused, kept))
    assert firm.obtained(firm.guard.enter(task.id))
    firm.guard.close()


# The cache.


def test_nothing_is_used_again_unless_that_is_configured(firm: Firm) -> None:
    chain = firm.guard.enter(firm.task().id)
    assert firm.obtained(chain) != firm.obtained(chain)
    assert sole(firm.request(chain)).flight == ""


def test_a_token_is_used_again_for_the_same_chain_and_scope_each_time_with_a_row(cached: Firm) -> None:
    chain = cached.guard.enter(cached.task().id)
    token = cached.obtained(chain)
    other = ToolCall(server="desk", tool="read_other", arguments={})
    assert cached.guard.authorize(other, chain).verdict.reason == "tool_unclassified"
    again = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": 8})
    assert cached.obtained(chain, again) == token
    assert len(cached.server.asked) == 1
    rows = cached.credentials()
    assert [row["id"] for row in rows] == [rows[0]["id"]] * 2


def test_whatever_a_token_depends_on_gets_one_of_its_own(cached: Firm) -> None:
    task = cached.task()
    chain = cached.guard.enter(task.id)
    tokens = [cached.obtained(chain)]
    tokens.append(cached.obtained(chain, ToolCall(server="desk", tool="search", arguments={})))
    tokens.append(cached.obtained(cached.handed(task)))
    tokens.append(cached.obtained(cached.guard.enter(cached.task("bob").id)))
    tokens.append(cached.obtained(cached.guard.enter(cached.task().id)))
    cached.guard.keep_subject_token(task, "firm", cached.server.person_token())
    tokens.append(cached.obtained(chain))
    policy = cached.guard.settings.policies / "more.cedar"
    policy.write_text('@id("more")\nforbid(principal == Hopward::Agent::"nobody", action, resource);')
    cached.clock.advance(SECOND)
    tokens.append(cached.obtained(chain))
    assert len(set(tokens)) == len(tokens)


def test_each_part_of_a_purpose_makes_it_another(cached: Firm) -> None:
    chain = cached.guard.enter(cached.task().id)
    purpose = Purpose("firm", "the-token-itself", chain, "desk", ("desk:read",), DESK, "thumb", "policies")
    changes: list[dict[str, Any]] = [
        {"authorization_server": "other"},
        {"subject_token": "another"},
        {"server": "orders"},
        {"scope": ("desk:list",)},
        {"audience": ORDERS},
        {"thumbprint": "another"},
        {"policy_set": "another"},
        *({"chain": msgspec.structs.replace(chain, **{field: "x"})} for field in chain.__struct_fields__),
    ]
    keys = {purpose.key, *(replace(purpose, **change).key for change in changes)}
    assert len(keys) == 1 + 7 + len(chain.__struct_fields__)
    assert "the-token-itself" not in repr(purpose)


def test_a_kept_token_ends_with_its_time_and_never_outlives_itself(cached: Firm) -> None:
    chain = cached.guard.enter(cached.task().id)
    first = cached.obtained(chain)
    cached.clock.advance(29 * SECOND)
    assert cached.obtained(chain) == first
    cached.clock.advance(SECOND)
    second = cached.obtained(chain)
    assert second != first
    cached.clock.advance(30 * SECOND)
    cached.server.tamper = lambda claims: claims | {"exp": claims["iat"] + 10}
    third = cached.obtained(chain)
    cached.clock.advance(10 * SECOND)
    assert cached.obtained(chain) != third


@pytest.mark.parametrize("kind", ["task", "agent", "subject", "hop", "quarantine"])
def test_a_revocation_takes_the_kept_tokens_of_what_has_fallen_and_no_others(cached: Firm, kind: str) -> None:
    task, other = cached.task(), cached.task("bob")
    chain = cached.handed(task)
    cached.obtained(chain)
    cached.obtained(cached.guard.enter(other.id))
    assert cached.guard.external_left() == 2
    names: Any = {"task": task.id, "agent": "clerk", "subject": "alice", "hop": chain.hops[-1]}
    if kind == "quarantine":
        cached.guard.quarantine("agent", "clerk", by="carol", why="odd", evidence=None)
    else:
        cached.guard.revoke(kind, names[kind], by="carol", why="left")  # pyright: ignore[reportArgumentType]
    assert cached.guard.external_left() == 1
    assert not cached.guard.authorize(CALL, chain).permitted


def test_a_kept_token_is_not_handed_out_once_its_chain_has_fallen(cached: Firm) -> None:
    chain = cached.guard.enter(cached.task().id)
    cached.obtained(chain)
    decision = cached.guard.authorize(CALL, chain)
    cached.guard.revoke("subject", "alice", by="carol", why="left")
    with pytest.raises(ChainError):
        cached.guard.external_request(decision, CALL)
    assert len(cached.credentials()) == 1


def test_calls_in_different_names_are_never_one_flight(cached: Firm) -> None:
    task = cached.task()
    chains = [cached.guard.enter(task.id), cached.handed(task), cached.guard.enter(cached.task("bob").id)]
    flights = [sole(cached.request(chain)).flight for chain in chains]
    assert len(set(flights)) == 3
    assert sole(cached.request(chains[0])).flight == flights[0]


def test_a_question_to_our_authority_is_not_taken_for_one_to_another(firm: Firm) -> None:
    request = sole(firm.request(firm.guard.enter(firm.task().id)))
    body = json.dumps({"access_token": "x"}).encode()
    assert why(lambda: firm.guard.credential_received(request, 200, body)) == "server_error"
