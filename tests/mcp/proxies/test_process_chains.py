"""Over HTTP before a server with a `command`: chains that calls carry, and an authority elsewhere."""

from pathlib import Path
from typing import Any

import pytest

from .carrying import TEAM, Program, claims_of, decisions
from .installation import caller_token, opened, rows
from .processes import Processes, processes, shown
from .remoting import free_port, remote, serving
from .test_carried_http import Office

CREDENTIAL = "dev.hopward/credential"
CHAIN = "dev.hopward/chain"


def sent(served: Processes) -> dict[str, Any]:
    """The `_meta` of the only call that a process has received."""
    (call,) = [one["message"] for one in served.received if one["message"].get("method") == "tools/call"]
    return call["params"]["_meta"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_call_is_decided_as_the_agent_whose_chain_it_carries(tmp_path: Path, era: str) -> None:
    other = "\n[servers.other]\nurl = 'http://127.0.0.1:1/mcp'\nresource = 'urn:example:other'\n"
    other += 'credential = { by = "authorization" }\n'
    async with processes(tmp_path, more=TEAM + other) as served:
        with opened(tmp_path / "hopward.toml") as guard:
            office = Office(served.front, Program(guard))
            reader = office.program.handed(office.program.boss)
            token = office.token(office.program.boss)
            carried = {CHAIN: office.program.of_call(reader, "echo", {"x": 1})}
            if era == "modern":
                answered = await served.call(token, "echo", arguments={"x": 1}, meta=carried)
            else:
                session = await served.session(token)
                answered = await session.call("echo", arguments={"x": 1}, _meta=carried)
            assert shown(answered)["arguments"] == {"x": 1}
            assert decisions(served.front.guard) == [("boss>reader", "echo", "permit")]
            assert CHAIN not in sent(served)
            assert claims_of(sent(served)[CREDENTIAL])["act"]["sub"] == "agent:reader"
            assert office.program.leaks(served.record.read_text()) == []


async def test_an_authority_elsewhere_mints_the_credential_of_each_call(tmp_path: Path) -> None:
    port = free_port()
    async with processes(tmp_path, authority=remote(port)) as served:
        with opened(tmp_path / "hopward.toml", as_authority=True) as authority:
            token = caller_token(authority, "desk")[0]
            refused = (await served.call(token, "echo")).message["result"]
            assert refused["_meta"]["dev.hopward/decision"]["reason"] == "no_credential"
            assert len(served.workers) == 0
            with serving(tmp_path / "hopward.toml"):
                assert (await served.call(token, "echo")).message["result"]["vendor"] == {"kept": True}
            assert authority.issuer.verify(sent(served)[CREDENTIAL]).scope == ("desk/echo",)
            errors = [row.record["outcome"]["error"] for row in rows(served.front.guard, "outcome")]
            assert errors == ["no_credential authority_unreachable", ""]
