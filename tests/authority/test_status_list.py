"""The status list: what became of tokens, read by a decoder that is nothing of ours, and by our own."""

import base64
import json
import zlib
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest

from hopward import TokenError
from hopward.clock import SECOND
from hopward.jose import sign
from hopward.jwk import SigningKey
from hopward.statuslist import LARGEST, SIZE, StatusList, decoded, encoded, reference

from .conftest import Authority, MakeAuthority

EXTRA = "status_list = true\n"


@pytest.fixture
def listing(make_authority: MakeAuthority) -> Authority:
    return make_authority(extra=EXTRA)


def published(at: Authority) -> str:
    at.clock.advance(3 * SECOND)
    answer = at.http.get("/statuslist")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/statuslist+jwt"
    return answer.text


def status(at: Authority, token: str) -> int:
    """By the text of the draft alone: base64url, zlib, least significant bit first (section 4.1)."""
    said = at.claims(token)["status"]["status_list"]
    listed = at.claims(published(at))
    assert listed["sub"] == said["uri"] == "https://authority.example/statuslist"
    assert jwt.get_unverified_header(published(at))["typ"] == "statuslist+jwt"
    lst, bits = listed["status_list"]["lst"], listed["status_list"]["bits"]
    data = zlib.decompress(base64.urlsafe_b64decode(lst + "=="))
    text = "".join(f"{byte:08b}"[::-1] for byte in data)
    return int(text[said["idx"] * bits : (said["idx"] + 1) * bits][::-1], 2)


def test_a_token_is_valid_until_it_is_revoked(listing: Authority) -> None:
    token, other = listing.access_token(), listing.access_token()
    assert status(listing, token) == 0
    assert listing.post("/revoke", "helper", token=token).status_code == 200
    assert (status(listing, token), status(listing, other)) == (1, 0)


def test_a_quarantine_suspends_and_its_release_takes_that_back(listing: Authority) -> None:
    token, agent = listing.access_token(), listing.agent_token()
    listing.guard.quarantine("agent", "helper", by="carol", why="odd")
    assert (status(listing, token), status(listing, agent)) == (2, 2)
    listing.guard.release("agent", "helper", by="carol", why="fine")
    assert (status(listing, token), status(listing, agent)) == (0, 0)
    listing.guard.set_agent_state("helper", "retired", by="carol", why="replaced")
    assert (status(listing, token), status(listing, agent)) == (1, 1)


def test_the_end_of_a_task_a_subject_or_a_hop_ends_its_tokens(listing: Authority) -> None:
    task = listing.open_task()
    mine, handed = listing.task_token(task), listing.hop_token(task)
    other = listing.task_token(listing.open_task(subject="bob"))
    assert {status(listing, one) for one in (mine, handed, other)} == {0}
    listing.guard.revoke("subject", "alice", by="carol", why="x")
    assert [status(listing, one) for one in (mine, handed, other)] == [1, 1, 0]


def test_a_credential_for_one_call_is_in_no_list_and_without_the_setting_no_token_is(
    listing: Authority, authority: Authority
) -> None:
    answer = listing.credential(listing.access_token())
    assert "status" not in listing.claims(answer.json()["access_token"])
    assert "status" not in authority.claims(authority.access_token())
    assert authority.http.get("/statuslist").status_code == 404


def test_indices_are_random_unique_and_survive_a_restart(listing: Authority) -> None:
    token = listing.agent_token()
    with ThreadPoolExecutor(8) as pool:
        issue = lambda _: listing.guard.issuer.agent_token("other", listing.guard.ledger).token  # noqa: E731
        tokens = [*pool.map(issue, range(64)), token]
    indices = [listing.claims(one)["status"]["status_list"]["idx"] for one in tokens]
    assert len(set(indices)) == 65
    assert max(indices) - min(indices) > SIZE // 2
    again = listing.restarted()
    again.guard.revoke("agent", "helper", by="carol", why="x")
    assert status(again, token) == 1
    again.clock.advance(3600 * SECOND)
    assert list(again.guard.ledger.statuses()) == []


def read(at: Authority, text: str, uri: str = "https://authority.example/statuslist") -> StatusList:
    return StatusList.read(text, uri, at.guard.issuer.issuer, at.http.get("/jwks").json(), at.clock.now())


def test_our_own_reader_agrees_and_refuses_what_is_revoked_suspended_or_too_old(listing: Authority) -> None:
    token = listing.access_token()
    claims, now = listing.claims(token), listing.clock.now
    read(listing, published(listing)).check(claims, now())
    listing.guard.quarantine("subject", "alice", by="carol", why="odd")
    suspended = read(listing, published(listing))
    with pytest.raises(TokenError, match="suspended") as told:
        suspended.check(claims, now())
    assert told.value.error == "token_suspended"
    listing.guard.revoke("subject", "alice", by="carol", why="x")
    with pytest.raises(TokenError) as told:
        read(listing, published(listing)).check(claims, now())
    assert told.value.error == "token_revoked"
    with pytest.raises(TokenError, match="too old"):
        suspended.check(claims, now() + 61 * SECOND)


def test_a_list_that_is_not_the_authoritys_or_another_one_is_refused(listing: Authority) -> None:
    text = published(listing)
    with pytest.raises(TokenError):
        read(listing, text, "https://authority.example/other")
    with pytest.raises(TokenError):
        read(listing, text[:-4] + "AAAA")
    with pytest.raises(TokenError):
        read(listing, listing.access_token())
    content = listing.claims(text)
    with pytest.raises(TokenError):
        read(listing, sign(content, SigningKey.generate("ES256"), "statuslist+jwt"))
    listing.clock.advance(200 * SECOND)
    with pytest.raises(TokenError, match="expired"):
        read(listing, text)


def test_a_token_out_of_bounds_or_with_a_strange_claim_is_refused(listing: Authority) -> None:
    listed, now = read(listing, published(listing)), listing.clock.now()
    uri = listed.uri
    for claim in (
        {"status_list": {"idx": SIZE, "uri": uri}},
        {"status_list": {"idx": -1, "uri": uri}},
        {"status_list": {"idx": True, "uri": uri}},
        {"status_list": {"idx": "1", "uri": uri}},
        {"status_list": {"idx": 1, "uri": "https://elsewhere.example"}},
        {"status_list": {"idx": 1}},
        {},
        "valid",
    ):
        with pytest.raises(TokenError):
            listed.check({"status": claim}, now)
    with pytest.raises(TokenError):
        listed.check({}, now)
    assert reference({}) is None


def test_the_vectors_of_the_draft_are_read_and_written() -> None:
    one = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
    two = [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]
    assert encoded(dict(enumerate(one)), 16, 1) == "eNrbuRgAAhcBXQ"
    assert encoded(dict(enumerate(two)), 12, 2) == "eNo76fITAAPfAgc"
    listed = StatusList("u", 2, decoded("eNo76fITAAPfAgc"), 0)
    assert [listed.status(index) for index in range(12)] == two


def test_a_list_that_would_unpack_to_too_much_is_refused_before_it_does() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(bytes(64 * LARGEST), 9)).decode()
    for lst in (bomb, "eNrbuRgAAhc", "!!", "", "eNrbuRgAAhcBXQAA"):
        with pytest.raises(TokenError):
            decoded(lst)


def test_the_description_of_a_token_in_the_ledger_is_no_token(listing: Authority) -> None:
    token = listing.access_token()
    stored = json.dumps([body for _, body in listing.guard.ledger.statuses()])
    assert token not in stored
    assert token.rpartition(".")[2] not in stored
