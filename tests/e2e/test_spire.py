"""A real SPIRE: its server and agent run, and give SVIDs to the workloads that have an entry."""

import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest

from hopward import ExchangeRefusedError, TokenError
from hopward.base64url import decode
from hopward_authority.client import AgentClient, CertifiedAgent, Svid
from hopward_authority.mutual_tls import to_authority

from .project import HOPWARD
from .running import Running
from .served import Caller, Serve, ended, free_port, served
from .spire import TRUST_DOMAIN, Spire, running_spire
from .wire import told


@pytest.fixture(scope="module")
def spire() -> Iterator[Spire]:
    # Not pytest's folder: the path of a socket may be 107 bytes long.
    with TemporaryDirectory(prefix="spire") as folder, running_spire(Path(folder), jwt_seconds=30) as started:
        yield started


def test_a_workload_gets_its_own_svid_and_none_of_another_user(spire: Spire) -> None:
    own = spire.register("attested/own")
    other = spire.register("attested/other", user=4_294_967)
    assert spire.fetched(own)
    assert not spire.fetched(other)


def test_a_workload_whose_entry_is_deleted_gets_no_more_svids(spire: Spire) -> None:
    own = spire.register("deleted/own")
    assert spire.fetched(own)
    spire.delete(own)
    spire.gone(own)


class Desk:
    """A guarded recorder whose agent is a workload of SPIRE, the proxy and the authority running."""

    def __init__(self, folder: Path, spire: Spire, source: str, started: ExitStack, more: str = "") -> None:
        self.project = started.enter_context(served(folder))
        self.spire_id = spire.register(f"agent/{folder.name.replace('_', '-')}")
        self.issuer = f"http://127.0.0.1:{free_port()}"
        listen = self.issuer.removeprefix("http://")
        self.project.change(
            'issuer = "http://127.0.0.1:8700"\n', f'issuer = "{self.issuer}"\nlisten = "{listen}"\n'
        )
        trust = f'[identity.trust_domains."{TRUST_DOMAIN}"]\nalgorithms = ["ES256"]\n{source}\n\n{more}'
        identity = f'[agents.tester]\nidentity = {{ spiffe_id = "{self.spire_id}" }}\n'
        self.project.change("[agents.tester]\n", trust + identity)
        authority = Running([str(HOPWARD), "authority", "serve"], folder)
        started.enter_context(ended(authority)).wait_for("listens on .*\n")
        started.enter_context(ended(Serve(self.project)))
        self.started = started
        self.task = self.project.open_task()
        self.task_token = self.project.hopward("task", "token", self.task).strip()
        self.svid = Svid(spire.workload_api, self.spire_id)
        self.agent = AgentClient(self.issuer, self.svid)

    def caller(self) -> Caller:
        """A caller with a token that the agent has got just now."""
        endpoint = self.project.endpoint()
        token = self.agent.access_token(self.task_token, endpoint)
        return self.started.enter_context(closing(Caller(endpoint, token)))


def over(claims: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(claims["exp"], UTC)


def content(token: str) -> dict[str, Any]:
    """What a token says."""
    return json.loads(decode(token.split(".")[1]))


def test_a_workload_calls_a_tool_goes_on_when_its_svid_is_renewed_and_stops_when_its_entry_is_deleted(
    spire: Spire, tmp_path: Path
) -> None:
    """What it got before is over when the SVID is that it got it with: so long a deletion can take."""
    with ExitStack() as started:
        desk = Desk(tmp_path, spire, f'workload_api = "{spire.workload_api}"', started)
        caller = desk.caller()
        told(caller.call("note"))
        _, first = desk.svid.assertion(desk.issuer)
        svid = first
        while svid == first:
            _, svid = desk.svid.assertion(desk.issuer)
        renewed = desk.caller()
        told(renewed.call("note"))
        assert {row.task for row in desk.project.rows(kind="decision")} == {desk.task}

        spire.delete(desk.spire_id)
        spire.gone(desk.spire_id)
        with pytest.raises(TokenError) as refused:
            desk.agent.agent_token()
        assert refused.value.error == "svid_unavailable"
        assert content(renewed.token)["exp"] <= content(svid)["exp"]
        asked_at = datetime.now(UTC)
        while (answer := renewed.status("note")) == 200:
            assert asked_at < over(content(svid))
            asked_at = datetime.now(UTC)
        assert answer == 401


def test_an_authority_knows_svids_by_a_file_with_the_bundle(spire: Spire, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text(spire.bundle(), "utf-8")
    with ExitStack() as started:
        desk = Desk(tmp_path, spire, 'bundle_file = "bundle.json"', started)
        told(desk.caller().call("note"))


def test_a_svid_for_another_audience_or_of_another_workload_gets_no_token(
    spire: Spire, tmp_path: Path
) -> None:
    with ExitStack() as started:
        desk = Desk(tmp_path, spire, f'workload_api = "{spire.workload_api}"', started)
        other = spire.register("agent/other")
        with pytest.raises(ExchangeRefusedError, match="No agent is bound to this workload"):
            AgentClient(desk.issuer, Svid(spire.workload_api, other)).agent_token()

        class Elsewhere:
            def assertion(self, audience: str) -> tuple[str, str]:
                return desk.svid.assertion("https://elsewhere.example")

        with pytest.raises(ExchangeRefusedError, match="not for this authority alone"):
            AgentClient(desk.issuer, Elsewhere()).agent_token()


def test_a_workload_authenticates_with_its_certificate_over_mutual_tls(spire: Spire, tmp_path: Path) -> None:
    """And nobody does without one, with that of a workload no agent is bound to, or under another's name."""
    own, port, address = spire.register("authority"), free_port(), spire.workload_api
    url = f"https://127.0.0.1:{port}"
    mtls = f'[identity.mtls]\nlisten = "127.0.0.1:{port}"\nurl = "{url}"\nspiffe_id = "{own}"\n\n'
    with ExitStack() as started:
        desk = Desk(tmp_path, spire, f'workload_api = "{address}"', started, mtls)
        desk.agent = CertifiedAgent(url, address, desk.spire_id, own)
        told(desk.caller().call("note"))

        other = spire.register("agent/uncertified")
        with pytest.raises(ExchangeRefusedError, match="No agent is bound to this workload"):
            CertifiedAgent(url, address, other, own).agent_token()
        with pytest.raises(ExchangeRefusedError, match="cannot be reached"):
            CertifiedAgent(url, address, desk.spire_id, other).agent_token()
        with pytest.raises(TokenError, match="no SVID"):
            CertifiedAgent(url, address, f"{own}/x", own).agent_token()

        assertion = dict(
            zip(("client_assertion_type", "client_assertion"), desk.svid.assertion(desk.issuer), strict=True)
        )
        asked = {"grant_type": "client_credentials"}
        with httpx2.Client(verify=to_authority(address, other, own), trust_env=False) as certified:
            for form in ({"client_id": desk.spire_id}, {"client_id": "tester"}, {}, assertion):
                answer = certified.post(f"{url}/token", data={**asked, **form})
                assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), form
        strange = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        strange.check_hostname, strange.verify_mode = False, ssl.CERT_NONE
        with httpx2.Client(verify=strange, trust_env=False) as nobody, pytest.raises(httpx2.HTTPError):
            nobody.post(f"{url}/token", data={**asked, "client_id": desk.spire_id})
        plain = httpx2.post(f"{desk.issuer}/token", data={**asked, "client_id": desk.spire_id})
        assert (plain.status_code, plain.json()["error"]) == (401, "invalid_client")
