"""Callers whose tokens are bound to a key (RFC 9449 section 7): every request is proved, no way is weaker."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .fronting import Answered, Fronted, front, modern_call
from .installation import rows
from .proving import KEY, OTHER, bound


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Fronted]:
    """An endpoint that takes bound tokens only."""
    delivery = '{ by = "authorization" }\ndpop = "required"'
    async with front(tmp_path, ("desk",), delivery) as running:
        yield running


def challenge(answered: Answered) -> str:
    assert answered.status == 401, answered
    return answered.headers["www-authenticate"]


async def test_a_bound_caller_calls_and_the_log_says_so(fronted: Fronted) -> None:
    caller = bound(fronted)
    for _ in range(2):
        answered = await caller.call()
        assert (answered.status, answered.message["result"]["vendor"]) == (200, 1)
    chains = [row.record["chain"] for row in rows(fronted.guard, "decision")]
    assert [chain["bound"] for chain in chains] == [f"jkt:{KEY.kid}"] * 2


async def test_neither_the_proof_nor_its_header_goes_upstream(fronted: Fronted) -> None:
    caller = bound(fronted)
    shown = caller.headers()
    await caller.call(shown)
    (call,) = fronted.servers["desk"].calls
    told = json.dumps([*call.headers])
    assert shown["DPoP"] not in told
    assert caller.token not in told
    assert call.header("dpop") is None


async def test_a_stolen_bound_token_is_worth_nothing(fronted: Fronted) -> None:
    caller = bound(fronted)
    stolen = {
        "invalid_token": [
            caller.headers(scheme="Bearer", dpop=""),
            caller.headers(key=OTHER),
        ],
        "invalid_request": [
            caller.headers(scheme="Bearer"),
            caller.headers(dpop=""),
            {"DPoP": caller.headers()["DPoP"]} | {"Authorization": f"Basic {caller.token}"},
        ],
        "invalid_dpop_proof": [
            caller.headers(method="GET"),
            caller.headers(url=caller.url("other")),
            caller.headers(url="http://evil.example/desk/mcp"),
            caller.headers(token="another"),
            caller.headers(token=""),
            caller.headers(dpop="x"),
            caller.headers(dpop=caller.token),
        ],
    }
    for error, requests in stolen.items():
        for headers in requests:
            assert f'error="{error}"' in challenge(await caller.call(headers)), headers
    assert fronted.servers["desk"].received == []


async def test_a_proof_that_somebody_has_seen_is_of_no_use(fronted: Fronted) -> None:
    caller = bound(fronted)
    shown = caller.headers()
    assert (await caller.call(shown)).status == 200
    answered = await caller.call(shown)
    assert challenge(answered).startswith('DPoP algs="ES256 EdDSA", resource_metadata="')
    assert 'error="invalid_dpop_proof"' in challenge(answered)
    assert len(fronted.servers["desk"].calls) == 1


async def test_two_proof_headers_are_refused(fronted: Fronted) -> None:
    caller = bound(fronted)
    message, repeated = modern_call("echo")
    one, two = (caller.headers() for _ in range(2))
    headers = [*repeated.items(), *one.items(), ("DPoP", two["DPoP"]), ("Content-Type", "application/json")]
    answered = await fronted.send("POST", "/desk/mcp", headers, json.dumps(message).encode())  # type: ignore[arg-type]
    assert answered.status == 400
    assert "dpop" in answered.message["error"]["message"]


async def test_an_unbound_token_with_a_proof_is_refused_not_taken_for_bound(fronted: Fronted) -> None:
    caller = bound(fronted, None)
    assert 'error="invalid_token"' in challenge(await caller.call())
    assert (await caller.call({"Authorization": f"Bearer {caller.token}"})).status == 200


async def test_the_url_of_a_proof_is_the_configured_one_whatever_the_host_says(fronted: Fronted) -> None:
    caller = bound(fronted)
    host = fronted.base.removeprefix("http://").replace("127.0.0.1", "localhost")
    elsewhere = caller.headers(url=f"http://{host}/desk/mcp") | {"Host": host}
    assert 'error="invalid_dpop_proof"' in challenge(await caller.call(elsewhere))
    assert (await caller.call(caller.headers() | {"Host": host})).status == 200


async def test_every_request_of_a_session_is_proved_and_the_session_stays_with_the_key(
    fronted: Fronted,
) -> None:
    caller = bound(fronted)
    greeting = {"id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
    answered = await fronted.post("", greeting, caller.headers())
    session = {"Mcp-Session-Id": answered.headers["mcp-session-id"]}
    note = {"method": "notifications/initialized"}
    assert (await fronted.post("", note, caller.headers() | session)).status == 202
    bearer = caller.headers(scheme="Bearer", dpop="") | session
    assert 'error="invalid_token"' in challenge(await fronted.post("", note, bearer))
    wrong = caller.headers(method="POST") | session
    assert 'error="invalid_dpop_proof"' in challenge(await fronted.send("DELETE", "/desk/mcp", wrong))
    right = caller.headers(method="DELETE") | session
    assert (await fronted.send("DELETE", "/desk/mcp", right)).status in (200, 204)


async def test_a_challenge_names_both_ways_in_and_the_metadata_what_is_required(fronted: Fronted) -> None:
    told = challenge(await fronted.send("POST", "/desk/mcp", {}))
    assert told.startswith("Bearer resource_metadata=")
    assert told.endswith(', DPoP algs="ES256 EdDSA"')
    document = await fronted.send("GET", "/.well-known/oauth-protected-resource/desk/mcp", {})
    assert document.message["dpop_bound_access_tokens_required"] is False
    assert document.message["dpop_signing_alg_values_supported"] == ["ES256", "EdDSA"]


async def test_a_bearer_presented_where_a_bound_token_is_required_is_refused(strict: Fronted) -> None:
    caller, bearer = bound(strict), bound(strict, None)
    assert (await caller.call()).status == 200
    for headers in ({"Authorization": f"Bearer {bearer.token}"}, bearer.headers()):
        told = challenge(await bearer.call(headers))
        assert told.startswith('DPoP algs="ES256 EdDSA", ')
        assert 'error="invalid_token"' in told
    assert challenge(await strict.send("POST", "/desk/mcp", {})).startswith("DPoP ")
    document = await strict.send("GET", "/.well-known/oauth-protected-resource/desk/mcp", {})
    assert document.message["dpop_bound_access_tokens_required"] is True
    assert len(strict.servers["desk"].calls) == 1


async def test_a_nonce_is_demanded_told_with_every_answer_and_then_good(tmp_path: Path) -> None:
    limits = "dpop_nonce = true"
    async with front(tmp_path, ("desk",), limits=limits) as fronted:
        caller = bound(fronted)
        answered = await caller.call()
        assert 'error="use_dpop_nonce"' in challenge(answered)
        assert 'error="use_dpop_nonce"' in challenge(await caller.call(caller.headers(nonce="made-up")))
        caller.nonce = answered.headers["dpop-nonce"]
        answered = await caller.call()
        assert (answered.status, answered.headers["dpop-nonce"]) == (200, caller.nonce)
        assert len(fronted.servers["desk"].calls) == 1


async def test_refused_proofs_are_counted_in_the_log(fronted: Fronted) -> None:
    caller = bound(fronted)
    await caller.call(caller.headers(scheme="Bearer", dpop=""))
    fronted.app.tally.close()
    assert "unproved_token" in {row.reason for row in rows(fronted.guard, "refusal")}
