"""docs/reference/credential.md names exactly the claims that each kind of token has."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from hopward import selfsigned
from hopward.base64url import decode
from hopward.chain import entered
from hopward.claims import CallDetails
from hopward.delegation import extended
from hopward.exchange import PROXY
from hopward.issuer.handing import Handed
from hopward.issuer.minting import issue
from hopward.model import Chain, Task
from hopward.testing.clock import NOON
from hopward.testing.installation import (
    DESK,
    DESK_UPSTREAM,
    EVERYTHING,
    ISSUER,
    Installation,
    an_installation,
)
from hopward.testing.samples import NOTE, a_hop
from hopward.wire import ExchangeForm

from .markdown import cells, page

PAGE = page("docs/reference/credential.md")
CALL = CallDetails(server="desk", tool="refund", arguments_digest="sha-256:" + "0" * 64, decision="dec_1")


def on_the_page(kind: str) -> list[str]:
    table = re.search(rf"<!-- token: {kind} -->\n\n((?:\|.*\n)+)", PAGE.text)
    assert table
    return [cells(row)[0].strip("`") for row in table[1].splitlines()[2:]]


def of(token: str) -> dict[str, Any]:
    return json.loads(decode(token.split(".")[1]))


def handed_on(place: Installation, task: Task) -> Chain:
    """The chain of an agent that was handed work, with everything that a chain can have."""
    hop = a_hop("hop_" + "1" * 24, task=task.id, capabilities=(EVERYTHING,))
    place.ledger.record([replace(NOTE, opens=hop)])
    return msgspec.structs.replace(extended(entered(task), hop), lineage=("token:tok_0",))


def test_the_page_names_the_claims_of_every_kind_of_token(tmp_path: Path) -> None:
    place = an_installation(tmp_path)
    issuer, ledger = place.issuer, place.ledger
    opened = place.open_task()
    task = issuer.task_token(opened, ledger).token
    chain = handed_on(place, opened)
    hop = issue(lambda: Handed(chain, "dec_1").prepared(ISSUER, ledger, NOON), place.keyring, ledger).token
    key = f"jkt:{place.keyring.proxy.verification().thumbprint}"
    agent = issuer.agent_token("other", ledger, key).token
    form = ExchangeForm(subject_token=hop, actor_token=agent, target=DESK)
    access = issuer.exchange(form, issuer.clients["other"], ledger, key).token
    form = ExchangeForm(subject_token=access, target=DESK_UPSTREAM, scope=("desk/refund",), call=CALL)
    credential = issuer.exchange(form, issuer.clients[PROXY], ledger).token
    session = selfsigned.write(chain, issuer.issuer, place.keyring.proxy, place.clock)
    tokens = {"credential": credential, "access": access, "task": task, "agent": agent, "session": session}
    tokens["hop"] = hop
    assert {kind: set(on_the_page(kind)) for kind in tokens} == {k: set(of(t)) for k, t in tokens.items()}
    ledger.close()


def test_the_credential_shown_on_the_page_has_the_claims_of_its_table() -> None:
    shown = next(json.loads(block.text) for block in PAGE.blocks if block.language == "json")
    assert list(shown) == on_the_page("credential")
