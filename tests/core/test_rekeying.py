"""A new key for an agent, without a moment in which it has none that counts."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hopward.assertion import ClientAuthenticator, client_assertion
from hopward.clock import SECOND
from hopward.config import read_settings
from hopward.errors import ConfigError, LedgerError, StateError, TokenError
from hopward.jwk import SigningKey
from hopward.keyfile import signing_key
from hopward.project import NewAgent, NewServer, create
from hopward.rekeying import Rotated, rotate
from hopward.retiring import retire
from hopward.testing.clock import FixedClock
from hopward.wiring import Guard

HOUR = 3600 * SECOND
AGENT = NewAgent("assistant", "ana", "Reads", ("files/*",), ("read",), "internal", ("files",))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    create(tmp_path, NewServer("files", ("server",)), AGENT)
    return tmp_path / "hopward.toml"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def guard(config: Path, clock: FixedClock) -> Iterator[Guard]:
    with closing(Guard.open(config, clock=clock)) as opened:
        yield opened


def rotated(guard: Guard, hours: int = 24) -> Rotated:
    return rotate(guard, "assistant", by="ana", why="every year", until=guard.now + hours * HOUR)


def files(config: Path) -> tuple[Path, Path]:
    folder = config.parent / ".hopward" / "keys" / "agents"
    return folder / "assistant.json", folder / "assistant.previous.json"


def authenticates(config: Path, clock: FixedClock, key: SigningKey) -> str:
    """The reason with which an authority that was started again refuses a key; empty where it does not."""
    with closing(Guard.open(config, clock=clock)) as again:
        clients = ClientAuthenticator(again.issuer, again.ledger.seen_once, again.key_revoked)
        try:
            clients.authenticate(client_assertion("assistant", again.issuer.issuer, key, clock=clock))
        except TokenError as error:
            return error.error
        return ""


def test_both_keys_let_the_agent_in_until_the_overlap_is_over_and_then_the_new_one_alone(
    guard: Guard, config: Path, clock: FixedClock
) -> None:
    new_file, old_file = files(config)
    old = signing_key(new_file)
    done = rotated(guard)
    new = signing_key(new_file)
    assert (done.key, done.previous) == (new.kid, old.kid)
    assert signing_key(old_file).kid == old.kid
    assert authenticates(config, clock, new) == authenticates(config, clock, old) == ""
    clock.advance(24 * HOUR - 1)
    assert authenticates(config, clock, old) == ""
    clock.advance(1)
    assert authenticates(config, clock, old) == "expired"
    assert authenticates(config, clock, new) == ""


def test_nothing_else_in_the_file_changes_and_a_second_rotation_takes_the_first_ones_place(
    guard: Guard, config: Path, clock: FixedClock
) -> None:
    before = config.read_text()
    rotated(guard)
    first = config.read_text()
    entry = read_settings(config).agents["assistant"]
    assert entry.former_key is not None
    assert entry.former_key.ends_at == guard.now + 24 * HOUR
    added = [line for line in first.splitlines() if line not in before.splitlines()]
    assert [line.split(" =")[0] for line in added] == ["key", "former_key"]
    assert all(line in first for line in before.splitlines() if not line.startswith("key ="))
    assert "# public; the private part is" in next(line for line in added if line.startswith("key ="))
    clock.advance(24 * HOUR)
    with closing(Guard.open(config, clock=clock)) as again:
        rotated(again)
    second = read_settings(config).agents["assistant"]
    assert second.former_key is not None
    assert second.former_key.jwk == entry.key
    assert config.read_text().count("former_key") == 1


def test_a_key_is_not_rotated_again_while_its_previous_one_counts(guard: Guard, config: Path) -> None:
    rotated(guard)
    before = config.read_bytes(), [path.read_bytes() for path in files(config)]
    with pytest.raises(StateError, match="counts until"):
        rotated(guard)
    assert (config.read_bytes(), [path.read_bytes() for path in files(config)]) == before


def test_who_did_it_why_and_which_keys_stand_in_the_log_and_no_private_part(
    guard: Guard, config: Path
) -> None:
    done = rotated(guard)
    row = next(guard.ledger.rows())
    assert row.record["event"] == "rotated"
    assert (row.record["by"], row.record["why"]) == ("ana", "every year")
    assert (row.record["key"], row.record["previous"]) == (done.key, done.previous)
    assert signing_key(files(config)[0]).to_jwk()["d"] not in json.dumps(row.record)
    assert signing_key(files(config)[0]).to_jwk()["d"] not in config.read_text()


def test_what_cannot_be_recorded_is_taken_back(
    guard: Guard, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = files(config)[0].read_bytes()

    def fails(_: object) -> None:
        raise LedgerError("no disk")

    monkeypatch.setattr(guard.ledger, "record", fails)
    before = config.read_bytes()
    with pytest.raises(LedgerError):
        rotated(guard)
    assert files(config)[0].read_bytes() == key
    assert not files(config)[1].exists()
    assert config.read_bytes() == before


def test_a_key_made_elsewhere_comes_as_its_public_part_alone(
    guard: Guard, config: Path, clock: FixedClock
) -> None:
    own, elsewhere = files(config)[0].read_bytes(), SigningKey.generate("EdDSA")
    until = guard.now + HOUR
    with pytest.raises(TokenError):
        rotate(guard, "assistant", by="ana", why="x", until=until, jwk=elsewhere.to_jwk())
    rotate(guard, "assistant", by="ana", why="x", until=until, jwk=elsewhere.public_jwk())
    assert authenticates(config, clock, elsewhere) == ""
    assert files(config)[0].read_bytes() == own


def test_a_leaked_old_key_is_revoked_at_once(guard: Guard, config: Path, clock: FixedClock) -> None:
    old = signing_key(files(config)[0])
    rotated(guard)
    guard.revoke("key", old.kid, by="ana", why="leaked")
    assert authenticates(config, clock, old) == "key_revoked"
    assert authenticates(config, clock, signing_key(files(config)[0])) == ""


def test_a_retired_agents_previous_key_ends_too(guard: Guard, config: Path, clock: FixedClock) -> None:
    done = rotated(guard)
    with closing(Guard.open(config, clock=clock)) as again:
        ended = retire(again, "assistant", by="ana", why="replaced")
    assert {one.id: one.refused for one in ended if one.kind == "key"} == {
        done.key: "key_revoked",
        done.previous: "key_revoked",
    }


def test_an_agent_without_a_key_here_has_none_to_rotate(guard: Guard, config: Path) -> None:
    files(config)[0].unlink()
    before = config.read_bytes()
    with pytest.raises(ConfigError, match="no key"):
        rotated(guard)
    assert config.read_bytes() == before
