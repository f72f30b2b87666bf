"""The key ring: private files, refusal to start without them, rotation under running processes."""

import json
import os
from pathlib import Path

import pytest

from hopward.clock import SECOND
from hopward.errors import ConfigError, TokenError
from hopward.jose import Expected, sign, unverified_kid, verify
from hopward.jwk import key_set
from hopward.keys import KeyRing
from hopward.testing.clock import NOON, FixedClock

NOW = NOON // SECOND
EXPECTED = Expected(types=("at+jwt",), issuer="i", audience="a")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys"


@pytest.fixture
def ring(folder: Path, clock: FixedClock) -> KeyRing:
    return KeyRing.create(folder, "ES256", clock=clock)


def token(ring: KeyRing) -> str:
    content = {"iss": "i", "sub": "s", "aud": "a", "iat": NOW, "exp": NOW + 86_400, "jti": "t"}
    return sign(content, ring.signing, "at+jwt")


def accepted(ring: KeyRing, text: str, clock: FixedClock) -> bool:
    keys = ring.verification_keys()
    if unverified_kid(text) in keys:
        return bool(verify(text, keys, EXPECTED, clock.now()).claims)
    with pytest.raises(TokenError):
        verify(text, keys, EXPECTED, clock.now())
    return False


def test_new_keys_are_readable_by_their_owner_only(ring: KeyRing, folder: Path) -> None:
    ring.create_agent_key("helper", "EdDSA")
    for path in (folder, folder / "agents"):
        assert path.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.rglob("*.json")} == {
        "authority.json": 0o600,
        "helper.json": 0o600,
        "proxy.json": 0o600,
        "jwks.json": 0o644,
        "proxy-public.json": 0o644,
    }


def test_the_umask_does_not_decide_who_reads_the_keys(folder: Path, clock: FixedClock) -> None:
    old = os.umask(0)
    try:
        KeyRing.create(folder, "ES256", clock=clock).create_agent_key("helper", "ES256")
    finally:
        os.umask(old)
    assert KeyRing.open(folder, clock=clock).agent_key("helper")
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} == {0, 0o044}


def test_stored_keys_are_the_same_keys_again(ring: KeyRing, folder: Path, clock: FixedClock) -> None:
    made = ring.create_agent_key("helper", "EdDSA")
    again = KeyRing.open(folder, clock=clock)
    assert (again.signing.kid, again.proxy.kid) == (ring.signing.kid, ring.proxy.kid)
    assert again.agent_key("helper").kid == made.kid
    assert again.agent_key("helper").algorithm == "EdDSA"
    assert accepted(again, token(ring), clock)


def test_the_keys_of_the_ring_are_all_different(ring: KeyRing) -> None:
    kids = {ring.signing.kid, ring.proxy.kid, ring.create_agent_key("a", "ES256").kid}
    assert len(kids) == 3
    assert set(ring.verification_keys()) == {ring.signing.kid}


def test_without_keys_nothing_starts_and_the_way_out_is_told(folder: Path) -> None:
    with pytest.raises(ConfigError, match="hopward init"):
        KeyRing.open(folder)


@pytest.mark.parametrize("name", ["authority.json", "proxy.json"])
def test_each_missing_key_refuses_to_start(ring: KeyRing, folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=name):
        KeyRing.open(folder)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
@pytest.mark.parametrize("name", ["authority.json", "proxy.json", "agents/helper.json"])
def test_a_key_others_can_read_or_change_is_refused(
    ring: KeyRing, folder: Path, name: str, mode: int
) -> None:
    ring.create_agent_key("helper", "ES256")
    (folder / name).chmod(mode)
    with pytest.raises(ConfigError, match="chmod go="):
        KeyRing.open(folder).agent_key("helper")


@pytest.mark.parametrize("name", [".", "agents"])
def test_a_key_folder_others_can_enter_is_refused(ring: KeyRing, folder: Path, name: str) -> None:
    ring.create_agent_key("helper", "ES256")
    (folder / name).chmod(0o750)
    with pytest.raises(ConfigError, match="chmod go="):
        KeyRing.open(folder).agent_key("helper")


def test_a_link_is_not_followed_to_a_key(ring: KeyRing, folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    (folder / "authority.json").rename(elsewhere)
    (folder / "authority.json").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match=r"authority\.json"):
        KeyRing.open(folder)
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    with pytest.raises(ConfigError, match="not a folder"):
        KeyRing.open(linked)


def test_a_folder_in_place_of_a_key_is_refused(ring: KeyRing, folder: Path) -> None:
    (folder / "proxy.json").unlink()
    (folder / "proxy.json").mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=r"proxy\.json"):
        KeyRing.open(folder)


@pytest.mark.parametrize("name", ["authority.json", "proxy.json"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"x"',
        "{}",
        '{"active":{},"retired":[]}',
        '{"active":null,"retired":[]}',
        '{"active":[],"retired":[]}',
        '{"kty":"EC","crv":"P-256"}',
        "[" * 20_000,
        "\xff",
    ],
)
def test_a_damaged_key_file_is_one_clear_error(ring: KeyRing, folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=name):
        KeyRing.open(folder)


@pytest.mark.parametrize(
    "retired", [{}, [1], [{"until": "soon", "jwk": {}}], [{"until": "2026-01-01"}], None]
)
def test_damaged_retired_keys_are_one_clear_error(ring: KeyRing, folder: Path, retired: object) -> None:
    path = folder / "authority.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "retired": retired}))
    with pytest.raises(ConfigError, match="authority"):
        KeyRing.open(folder)


def test_existing_keys_are_never_overwritten(ring: KeyRing, folder: Path) -> None:
    ring.create_agent_key("helper", "ES256")
    with pytest.raises(ConfigError, match="already"):
        KeyRing.create(folder, "ES256")
    with pytest.raises(ConfigError, match="already"):
        ring.create_agent_key("helper", "ES256")
    again = KeyRing.open(folder)
    assert (again.signing.kid, again.proxy.kid) == (ring.signing.kid, ring.proxy.kid)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../proxy", "a/b", "/etc/x", "a\0b", "-x", ".x", "é", "a" * 129]
)
def test_an_agents_name_is_never_a_path(ring: KeyRing, name: str) -> None:
    with pytest.raises(ConfigError, match="no name for an agent"):
        ring.agent_key(name)
    with pytest.raises(ConfigError, match="no name for an agent"):
        ring.create_agent_key(name, "ES256")


def test_an_agent_without_a_key_here_is_told_so(ring: KeyRing) -> None:
    with pytest.raises(ConfigError):
        ring.agent_key("helper")
    ring.create_agent_key("other", "ES256")
    with pytest.raises(ConfigError, match=r"helper\.json"):
        ring.agent_key("helper")


def test_a_retired_key_verifies_until_its_tokens_are_over_and_signs_no_more(
    ring: KeyRing, folder: Path, clock: FixedClock
) -> None:
    old = token(ring)
    before = ring.signing.kid
    assert ring.rotate(keep=3600).kid == ring.signing.kid != before
    assert accepted(ring, old, clock)
    assert accepted(ring, token(ring), clock)
    assert [key["kid"] for key in ring.jwks()["keys"]] == [ring.signing.kid, before]
    clock.advance(3600 * SECOND)
    assert not accepted(ring, old, clock)
    assert [key["kid"] for key in ring.jwks()["keys"]] == [ring.signing.kid]
    assert not accepted(KeyRing.open(folder, clock=clock), old, clock)


def test_the_private_part_of_a_retired_key_is_gone(ring: KeyRing, folder: Path) -> None:
    secret = ring.signing.to_jwk()["d"]
    assert secret in (folder / "authority.json").read_text()
    ring.rotate(keep=3600)
    assert all(secret not in path.read_text() for path in folder.rglob("*.json"))
    assert (folder / "authority.json").stat().st_mode & 0o777 == 0o600


def test_several_rotations_keep_every_key_that_is_still_needed(ring: KeyRing, clock: FixedClock) -> None:
    tokens = [token(ring)]
    for _ in range(3):
        ring.rotate(keep=100)
        clock.advance(40 * SECOND)
        tokens.append(token(ring))
    assert [accepted(ring, text, clock) for text in tokens] == [False, True, True, True]
    ring.rotate(keep=100)
    assert len(ring.jwks()["keys"]) == 4


def test_the_published_keys_hold_no_private_part(ring: KeyRing) -> None:
    ring.rotate(keep=3600)
    assert set(key_set(ring.jwks())) == set(ring.verification_keys())
    assert all("d" not in key for key in ring.jwks()["keys"])


def test_a_dropped_key_is_neither_published_nor_accepted(ring: KeyRing, clock: FixedClock) -> None:
    retired = token(ring)
    ring.rotate(keep=3600)
    assert ring.drop(unverified_kid(retired))
    assert not accepted(ring, retired, clock)
    assert [key["kid"] for key in ring.jwks()["keys"]] == [ring.signing.kid]
    assert not ring.drop(unverified_kid(retired))
    assert not ring.drop(ring.proxy.kid)


def test_a_dropped_signing_key_is_replaced_and_the_others_stay(ring: KeyRing, clock: FixedClock) -> None:
    retired = token(ring)
    ring.rotate(keep=3600)
    active = token(ring)
    assert ring.drop(unverified_kid(active))
    assert unverified_kid(active) != ring.signing.kid
    assert not accepted(ring, active, clock)
    assert accepted(ring, retired, clock)
    assert accepted(ring, token(ring), clock)


def test_a_running_process_notices_a_rotation_made_by_another(
    ring: KeyRing, folder: Path, clock: FixedClock
) -> None:
    other = KeyRing.open(folder, clock=clock)
    ring.rotate(keep=3600)
    assert other.signing.kid == ring.signing.kid
    assert accepted(other, token(ring), clock)


def test_keys_that_vanish_or_become_readable_stop_a_running_process(ring: KeyRing, folder: Path) -> None:
    path = folder / "authority.json"
    text = path.read_text()
    path.unlink()
    for use in (lambda: ring.signing, ring.verification_keys, ring.jwks):
        with pytest.raises(ConfigError, match="gone"):
            use()
    path.write_text(text)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod"):
        ring.verification_keys()
    path.chmod(0o600)
    assert ring.verification_keys()


def test_no_temporary_file_stays_behind(ring: KeyRing, folder: Path) -> None:
    ring.rotate(keep=1)
    ring.create_agent_key("a", "ES256")
    with pytest.raises(ConfigError):
        ring.create_agent_key("a", "ES256")
    assert [path.name for path in folder.rglob(".*")] == []
