"""docs/reference/credential.md names exactly the claims that each kind of token has."""

import json
import re
from pathlib import Path
from typing import Any

from hopward import selfsigned
from hopward.base64url import decode
from hopward.chain import entered
from hopward.claims import CallDetails
from hopward.exchange import PROXY
from hopward.testing.installation import DESK, DESK_UPSTREAM, an_installation
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


def test_the_page_names_the_claims_of_every_kind_of_token(tmp_path: Path) -> None:
    place = an_installation(tmp_path)
    issuer, ledger = place.issuer, place.ledger
    task = issuer.task_token(place.open_task(), ledger).token
    agent = issuer.agent_token("helper", ledger).token
    form = ExchangeForm(subject_token=task, actor_token=agent, target=DESK)
    access = issuer.exchange(form, issuer.clients["helper"], ledger).token
    form = ExchangeForm(subject_token=access, target=DESK_UPSTREAM, scope=("desk/refund",), call=CALL)
    credential = issuer.exchange(form, issuer.clients[PROXY], ledger).token
    session = selfsigned.write(entered(place.open_task()), issuer.issuer, place.keyring.proxy, place.clock)
    tokens = {"credential": credential, "access": access, "task": task, "agent": agent, "session": session}
    assert {kind: set(on_the_page(kind)) for kind in tokens} == {k: set(of(t)) for k, t in tokens.items()}
    ledger.close()


def test_the_credential_shown_on_the_page_has_the_claims_of_its_table() -> None:
    shown = next(json.loads(block.text) for block in PAGE.blocks if block.language == "json")
    assert list(shown) == on_the_page("credential")
