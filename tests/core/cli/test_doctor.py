"""`hopward doctor`"""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from hopward.jwk import SigningKey
from hopward.osuser import os_user

from .shell import Shell


@pytest.fixture
def sound(desk: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The support desk with a program that exists."""
    program = desk.write("bin/python", "#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return desk


def levels(shell: Shell, status: int = 0) -> dict[str, str]:
    run = shell("doctor --json") if status == 0 else shell.fails("doctor --json")
    return {finding["sentence"]: finding["level"] for finding in run.json_lines}


def test_a_sound_installation_has_notes_and_nothing_broken(sound: Shell) -> None:
    printed = sound("doctor")
    assert "0 broken" in printed.out
    assert set(levels(sound).values()) == {"ok", "note"}


def test_what_is_only_good_enough_for_development_is_said(sound: Shell) -> None:
    said = "\n".join(levels(sound))
    for text in (
        "issuer is http://",
        "not a power cut",
        "keeps whole arguments",
        "not encrypted at rest",
        "mints its own credentials",
        "assistant has neither key nor identity",
    ):
        assert text in said


def test_a_hardened_installation_has_fewer_notes(sound: Shell) -> None:
    path = sound.folder / "hopward.toml"
    text = path.read_text().replace("http://127.0.0.1:8700", "https://auth.example.com")
    path.write_text(text + '\n[log]\ndurability = "power"\narguments = "digest"\n')
    said = "\n".join(levels(sound))
    for text in ("issuer is http://", "not a power cut", "keeps whole arguments"):
        assert text not in said


def made_remote(shell: Shell) -> Path:
    """Ask the authority of the same settings; the folder of the keys."""
    path = shell.folder / "hopward.toml"
    remote = '[authority]\nmode = "remote"\ntoken_endpoint = "http://127.0.0.1:8700/token"'
    path.write_text(path.read_text().replace("[authority]", remote))
    return shell.folder / ".hopward/keys"


def test_doctor_says_who_mints(sound: Shell) -> None:
    assert "authority: Embedded: this process signs with ES256 key" in sound("doctor").out
    made_remote(sound)
    said = sound("doctor").out
    assert "authority: Remote: credentials come from http://127.0.0.1:8700/token, signed with" in said
    assert "mints its own credentials" not in said


def test_a_signing_key_within_the_proxys_reach_is_noted(sound: Shell) -> None:
    keys = made_remote(sound)
    assert "can read the authority's signing key" in sound("doctor").out
    (keys / "authority.json").unlink()
    assert "cannot sign by itself" in sound("doctor").out


@pytest.mark.parametrize("name", ["jwks.json", "proxy.json"])
def test_a_remote_authority_needs_published_keys_and_the_proxys_own(sound: Shell, name: str) -> None:
    keys = made_remote(sound)
    (keys / "authority.json").unlink()
    (keys / name).chmod(0o666)
    assert "changed by others" in sound.fails("doctor").out
    (keys / name).unlink()
    assert "There is no key" in sound.fails("doctor").out


def test_log_and_state_may_be_shared_with_a_remote_authority_and_with_nobody_else(sound: Shell) -> None:
    path = made_remote(sound).parent
    path.chmod(0o3770)
    (path / "decisions.db").chmod(0o660)
    sound("doctor")
    (path / "decisions.db").chmod(0o664)
    assert "chmod o-rwx" in sound.fails("doctor").out


def test_every_mistake_in_the_configuration_is_a_finding(sound: Shell) -> None:
    path = sound.folder / "hopward.toml"
    path.write_text(path.read_text().replace("resource =", "resorce =").replace("calls = 5", "calls = 0"))
    printed = sound.fails("doctor")
    assert 'servers.desk.resorce: unknown key; did you mean "resource"?' in printed.out
    assert "budget.calls: must be 1 to" in printed.out
    assert "2 broken" in printed.out


def test_a_file_that_others_can_change_or_read_is_broken(sound: Shell) -> None:
    for name, mode in (("hopward.toml", 0o666), (".hopward/decisions.db", 0o644), ("policies", 0o777)):
        path = sound.folder / name
        before = path.stat().st_mode
        path.chmod(mode)
        printed = sound.fails("doctor")
        assert str(path) in printed.out
        assert "chmod go-" in printed.out
        path.chmod(before)
    sound("doctor")


def test_a_missing_or_exposed_key_is_broken(sound: Shell) -> None:
    key = sound.folder / ".hopward/keys/proxy.json"
    key.chmod(0o640)
    assert "can be read or changed by others" in sound.fails("doctor").out
    key.unlink()
    assert "There is no key" in sound.fails("doctor").out


def test_a_decision_log_that_does_not_verify_is_broken(sound: Shell) -> None:
    sound("task open --workflow tickets")
    with closing(sqlite3.connect(sound.folder / ".hopward/decisions.db")) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE log SET agent = 'x' WHERE seq = 2")
    assert "does not verify: row 2" in sound.fails("doctor").out


def test_a_missing_decision_log_is_broken(sound: Shell) -> None:
    (sound.folder / ".hopward/decisions.db").unlink()
    assert "broken  log: " in sound.fails("doctor").out


def test_policies_that_do_not_load_are_broken(sound: Shell) -> None:
    sound.write("policies/broken.cedar", "permit (")
    assert "broken.cedar" in sound.fails("doctor").out


def test_a_failing_policy_test_is_broken(sound: Shell) -> None:
    sound.write(
        "policies/tests/a.toml",
        '[[case]]\nname = "no"\nagent = "assistant"\ntool = "desk/refund"\nexpect = "deny"\n',
    )
    assert "1 of 1 test cases fail" in sound.fails("doctor").out


def test_a_server_that_cannot_be_started_is_broken(sound: Shell, tmp_path: Path) -> None:
    (tmp_path / "bin/python").unlink()
    assert "desk cannot be started: there is no program 'python'" in sound.fails("doctor").out


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('workflow = "tickets"\n', "", "desk names no workflow"),
        (
            'by = "meta"',
            'by = "variable", name = "KEY", environment = "NOT_SET_HERE"',
            "read from NOT_SET_HERE",
        ),
        (
            'workflow = "tickets"\n',
            'workflow = "tickets"\npass_environment = ["NOT_SET_HERE"]\n',
            "desk gets NOT_SET_HERE from Hopward's environment",
        ),
        (
            "[servers.desk.tools.refund]",
            "[servers.desk.tools.pay_back]",
            "desk/refund, which nobody has classified",
        ),
        (
            'actions = ["read", "pay"]\nsensitivity',
            'actions = ["read", "send"]\nsensitivity',
            "than the ceiling",
        ),
        ('tools = ["desk/refund"]', 'tools = ["desk/nothing"]', "reaches no classified tool"),
        ('amount = "decimal"', 'amount = "decimal", note = "string"', "schema.cedarschema"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_noted(sound: Shell, old: str, new: str, told: str) -> None:
    path = sound.folder / "hopward.toml"
    text = path.read_text()
    head, workflow = text.split("[[workflows.tickets.capabilities]]")
    text = head + "[[workflows.tickets.capabilities]]" + workflow.replace("desk/*", "desk/refund")
    assert old in text
    path.write_text(text.replace(old, new))
    found = {sentence: level for sentence, level in levels(sound).items() if told in sentence}
    assert list(found.values()) == ["note"]


def test_an_unclassified_server_is_noted_with_the_command_that_proposes(shell: Shell) -> None:
    shell("init --agent assistant --server files -- /bin/sh")
    printed = shell("doctor")
    assert "Nothing of files is classified" in printed.out
    assert "hopward mcp classify files" in printed.out


def test_an_agent_that_is_no_longer_configured_is_noted(sound: Shell) -> None:
    sound("agent list")
    path = sound.folder / "hopward.toml"
    path.write_text(path.read_text().replace("assistant", "helper"))
    assert "assistant is registered no more" in sound("doctor").out


def test_doctor_reads_everything_and_changes_nothing(sound: Shell) -> None:
    def state() -> dict[str, bytes]:
        files = (path for path in sound.folder.rglob("*") if path.is_file() and path.suffix != ".db-shm")
        return {str(path): path.read_bytes() for path in files}

    before = state()
    sound("doctor")
    assert state() == before


def test_a_tool_that_pays_uncounted_is_noted_until_it_says_how_much(sound: Shell) -> None:
    told = "desk/refund pays, and nothing says how much, so no budget of money bounds it."
    assert levels(sound)[told] == "note"
    path = sound.folder / "hopward.toml"
    table = "[servers.desk.tools.refund]\n"
    spends = 'spends = { amount = "amount", currency = "EUR" }\n'
    path.write_text(path.read_text().replace(table, table + spends))
    assert told not in levels(sound)


ALONE = "Nobody can approve as operators what is done for"
CONFIRMS = "Members of operators approve what is done in their own name"
BY_CLIENT = "Whoever controls the MCP client of a member of operators can approve"


@pytest.mark.parametrize(
    ("group", "told"),
    [
        ('members = ["local:carol"]', set[str]()),
        ('members = ["USER"]', {ALONE}),
        ('members = ["USER", "local:carol"]', set[str]()),
        ('members = ["USER", "local:carol"]\npeople = 2', {ALONE}),
        ('members = ["USER"]\nsubject_may_approve = true', {CONFIRMS}),
        ('members = ["USER"]\nsubject_may_approve = true\nin_client = true', {CONFIRMS, BY_CLIENT}),
    ],
)
def test_who_could_approve_and_how_much_that_is_worth_is_noted(
    sound: Shell, group: str, told: set[str]
) -> None:
    path = sound.folder / "hopward.toml"
    members = group.replace("USER", os_user())
    path.write_text(path.read_text().replace('members = ["local:carol"]', members))
    found = levels(sound)
    assert {one for one in (ALONE, CONFIRMS, BY_CLIENT) if any(one in line for line in found)} == told


@pytest.mark.parametrize(
    ("until", "told"),
    [
        ("2026-01-01T00:00:00Z", "The former key of assistant does not count any more."),
        ("9998-01-01T00:00:00Z", "The former key of assistant counts for more than a month to come."),
        ("soon", "The former key of assistant counts until"),
    ],
)
def test_a_key_that_another_takes_over_from_is_noted_until_it_is_gone(
    sound: Shell, until: str, told: str
) -> None:
    until = until if until != "soon" else (datetime.now(UTC) + timedelta(days=2)).isoformat()
    key, former = (
        "{ " + ", ".join(f'{k} = "{v}"' for k, v in SigningKey.generate("ES256").public_jwk().items()) + " }"
        for _ in range(2)
    )
    path = sound.folder / "hopward.toml"
    text = path.read_text()
    assert text.count("[agents.assistant]\n") == 1
    entry = f"[agents.assistant]\nkey = {key}\nformer_key = {{ jwk = {former}, until = {until} }}\n"
    path.write_text(text.replace("[agents.assistant]\n", entry))
    found = [level for sentence, level in levels(sound).items() if told in sentence]
    assert found == ["note"]


def test_certificates_that_keys_are_fetched_under_are_looked_at(sound: Shell) -> None:
    path = sound.folder / "hopward.toml"
    issuer = (
        '[identity.issuers.cluster]\nissuer = "https://cluster.example"\nalgorithms = ["RS256"]\n'
        'discovery = true\nca_file = "cluster.pem"\n'
    )
    path.write_text(path.read_text() + issuer)
    file = sound.folder / "cluster.pem"
    assert levels(sound, 1)["The certificates of cluster in cluster.pem cannot be read."] == "broken"
    now = datetime.now(UTC)
    for days, noted in ((400, False), (5, True), (-5, True)):
        file.write_bytes(certificate(now + timedelta(days=days)))
        assert (
            any("A certificate of cluster in cluster.pem ends on" in line for line in levels(sound)) == noted
        )


def certificate(until: datetime) -> bytes:
    """A self-signed certificate that is good until then, as PEM."""
    key = SigningKey.generate("ES256").private
    assert isinstance(key, EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    begun = until - timedelta(days=800)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(begun).not_valid_after(until)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
