"""The keys of a proxy whose authority is another process: published ones, its own, and no other."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hopward.clock import SECOND
from hopward.errors import ConfigError, StateError
from hopward.jwk import SigningKey
from hopward.keys import KeyRing
from hopward.published import PublishedKeys
from hopward.testing.clock import FixedClock


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def ring(folder: Path, clock: FixedClock) -> KeyRing:
    return KeyRing.create(folder, "ES256", clock=clock)


def published(folder: Path) -> dict[str, object]:
    return json.loads((folder / "jwks.json").read_text())


def test_the_signing_key_is_not_needed(ring: KeyRing, folder: Path, clock: FixedClock) -> None:
    kid, jwks = ring.signing.kid, ring.jwks()
    (folder / "authority.json").unlink()
    keys = PublishedKeys(folder, clock)
    assert set(keys.verification_keys()) == {kid}
    assert keys.jwks() == jwks == published(folder)
    assert keys.proxy.kid == keys.proxy_key.kid == ring.proxy.kid


def test_nothing_is_signed_where_only_public_keys_are(ring: KeyRing, folder: Path, clock: FixedClock) -> None:
    keys = PublishedKeys(folder, clock)
    with pytest.raises(StateError, match="Only the authority signs"):
        _ = keys.signing
    with pytest.raises(StateError, match="Only the authority signs"):
        keys.rotate(keep=1)


def test_no_private_part_is_ever_published(ring: KeyRing, folder: Path) -> None:
    ring.rotate(keep=60)
    assert '"d"' not in (folder / "jwks.json").read_text()
    assert '"d"' not in (folder / "proxy-public.json").read_text()


def test_a_running_process_notices_what_the_authority_publishes(
    ring: KeyRing, folder: Path, clock: FixedClock
) -> None:
    keys = PublishedKeys(folder, clock)
    old = ring.signing.kid
    new = ring.rotate(keep=60).kid
    assert set(keys.verification_keys()) == {old, new}
    assert ring.drop(old)
    assert set(keys.verification_keys()) == {new}
    assert ring.drop(new)
    assert set(keys.verification_keys()) == {ring.signing.kid}


def test_a_key_is_published_before_anything_is_signed_with_it(ring: KeyRing, folder: Path) -> None:
    active = ring.signing.kid
    (folder / "authority.json").unlink()
    (folder / "authority.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        ring._replace(SigningKey.generate("ES256"), ())
    assert active not in PublishedKeys(folder, FixedClock()).verification_keys()


def test_rotations_at_the_same_moment_take_turns_and_lose_no_key(
    ring: KeyRing, folder: Path, clock: FixedClock
) -> None:
    rings = [KeyRing.open(folder, clock=clock) for _ in range(4)]
    first = ring.signing.kid
    with ThreadPoolExecutor(len(rings)) as threads:
        made = list(threads.map(lambda one: [one.rotate(keep=60).kid for _ in range(5)], rings))
    kids = {first, *(kid for each in made for kid in each)}
    assert len(kids) == 21
    assert set(ring.verification_keys()) == kids
    assert published(folder) == ring.jwks()


@pytest.mark.parametrize("stale", ["", "{", '{"keys": []}'])
def test_what_is_stale_or_damaged_is_published_again(ring: KeyRing, folder: Path, stale: str) -> None:
    (folder / "jwks.json").write_text(stale)
    ring.publish()
    assert published(folder) == ring.jwks()


def test_what_is_up_to_date_is_not_written_again(ring: KeyRing, folder: Path) -> None:
    before = (folder / "jwks.json").stat()
    ring.publish()
    assert (folder / "jwks.json").stat() == before


def test_a_key_whose_time_is_over_is_published_no_more(
    ring: KeyRing, folder: Path, clock: FixedClock
) -> None:
    ring.rotate(keep=60)
    clock.advance(61 * SECOND)
    ring.publish()
    assert set(PublishedKeys(folder, clock).verification_keys()) == {ring.signing.kid}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"keys": {}}',
        '{"keys": []}',
        '{"keys": [1]}',
        '{"keys": [{"kty": "oct", "k": "AAAA"}]}',
        '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}',
        "[" * 20_000,
    ],
)
def test_without_usable_public_keys_nothing_starts(
    ring: KeyRing, folder: Path, clock: FixedClock, text: str
) -> None:
    (folder / "jwks.json").write_text(text)
    with pytest.raises(ConfigError, match=r"jwks\.json"):
        PublishedKeys(folder, clock)


def test_a_private_key_in_place_of_public_ones_is_refused(
    ring: KeyRing, folder: Path, clock: FixedClock
) -> None:
    (folder / "jwks.json").write_text(json.dumps({"keys": [ring.signing.to_jwk()]}))
    with pytest.raises(ConfigError, match="does not hold public keys"):
        PublishedKeys(folder, clock)


def test_keys_that_vanish_or_are_damaged_stop_a_running_process(
    ring: KeyRing, folder: Path, clock: FixedClock
) -> None:
    keys = PublishedKeys(folder, clock)
    (folder / "jwks.json").write_text("{}")
    with pytest.raises(ConfigError):
        keys.verification_keys()
    (folder / "jwks.json").unlink()
    with pytest.raises(ConfigError):
        keys.verification_keys()
    ring.publish()
    assert set(keys.verification_keys()) == {ring.signing.kid}


def test_missing_published_keys_are_told_with_what_makes_them(
    ring: KeyRing, folder: Path, clock: FixedClock
) -> None:
    (folder / "jwks.json").unlink()
    with pytest.raises(ConfigError, match="hopward authority serve writes it"):
        PublishedKeys(folder, clock)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_published_keys_that_others_can_change_are_refused(
    ring: KeyRing, folder: Path, clock: FixedClock, mode: int
) -> None:
    (folder / "jwks.json").chmod(mode)
    with pytest.raises(ConfigError, match="can be changed by others"):
        PublishedKeys(folder, clock)


def test_a_link_is_not_followed_to_published_keys(
    ring: KeyRing, folder: Path, clock: FixedClock, tmp_path: Path
) -> None:
    (folder / "jwks.json").rename(tmp_path / "elsewhere.json")
    (folder / "jwks.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ConfigError, match=r"jwks\.json"):
        PublishedKeys(folder, clock)


def test_authority_and_proxy_may_share_the_folder_but_nobody_else_may_change_it(
    ring: KeyRing, folder: Path, clock: FixedClock
) -> None:
    for mode in (0o750, 0o755):
        folder.chmod(mode)
        assert PublishedKeys(folder, clock).verification_keys()
        assert KeyRing.open(folder, with_proxy=False).signing.kid == ring.signing.kid
        with pytest.raises(ConfigError, match="chmod go="):
            KeyRing.open(folder)
    folder.chmod(0o770)
    with pytest.raises(ConfigError, match="can be changed by others"):
        PublishedKeys(folder, clock)
    with pytest.raises(ConfigError, match="can be changed by others"):
        KeyRing.open(folder, with_proxy=False)


def test_the_authority_knows_the_proxy_without_its_private_key(ring: KeyRing, folder: Path) -> None:
    kid = ring.proxy.kid
    (folder / "proxy.json").unlink()
    assert KeyRing.open(folder, with_proxy=False).proxy_key.kid == kid
    with pytest.raises(ConfigError, match=r"proxy\.json"):
        KeyRing.open(folder)
    (folder / "proxy-public.json").write_text("{}")
    with pytest.raises(ConfigError, match="does not hold a public key"):
        KeyRing.open(folder, with_proxy=False)


def test_a_key_is_dropped_only_by_who_can_read_the_authoritys_keys(
    ring: KeyRing, folder: Path, clock: FixedClock
) -> None:
    keys = PublishedKeys(folder, clock)
    old = ring.signing.kid
    assert not keys.drop("another")
    assert keys.drop(old)
    new = ring.signing.kid
    assert set(keys.verification_keys()) == {new} != {old}
    (folder / "authority.json").unlink()
    with pytest.raises(ConfigError, match=r"authority\.json"):
        keys.drop(new)
