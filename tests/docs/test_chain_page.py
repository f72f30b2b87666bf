"""docs/reference/chain.md shows links and a proof as they are made, and why they are refused."""

import json
from typing import Any

import msgspec

from hopward import link, possession
from hopward.clock import to_seconds
from hopward.commitment import as_opened
from hopward.jose import MAX_TOKEN
from hopward.jwk import SigningKey
from hopward.model import MOST_ACTORS, Hop, Task
from hopward.testing.clock import FixedClock
from hopward.testing.samples import a_hop, a_task

from .markdown import page
from .test_tokens import of as claims_of

PAGE = page("docs/reference/chain.md")
KEY = SigningKey.generate("ES256")
LINKS = link.write(a_task(), [a_hop(key="holder")], "root", "https://authority.example", KEY)
PRESENTED = possession.present(LINKS, KEY, "https://proxy.example", possession.about("x", {}), FixedClock())


CODES = ("chain_broken", "chain_widened", "wrong_holder", "wrong_request", "replayed", "malformed")


def examples(member: str) -> list[dict[str, Any]]:
    """The JSON objects on the page that have this member."""
    shown = [json.loads(block.text) for block in PAGE.blocks if block.language == "json"]
    return [value for value in shown if member in value]


def test_the_links_on_the_page_are_made_as_links_are() -> None:
    shown, kinds = examples("cnf"), {"task": Task, "hop": Hop}
    assert shown
    for value in shown:
        kind = "hop" if "hop" in value else "task"
        assert value.keys() == claims_of(LINKS[kind == "hop"]).keys()
        opened = msgspec.convert({**value[kind], "state": "open"}, kinds[kind])
        assert as_opened(opened).keys() == value[kind].keys()
        assert (value["jti"], value["act"]["sub"]) == (opened.id, f"agent:{opened.agent}")
        seconds = (to_seconds(opened.opened_at), to_seconds(opened.expires_at))
        assert (value["iat"], value["exp"]) == seconds
        assert value["cnf"]["jkt"] == value[kind].get("key", value["cnf"]["jkt"])


def test_the_proof_on_the_page_is_made_as_proofs_are() -> None:
    (shown,) = examples("about")
    assert shown.keys() == claims_of(PRESENTED.proof).keys()
    assert shown["exp"] - shown["iat"] == possession.LONGEST


def test_the_page_names_the_types_the_bounds_and_the_codes_of_refusals() -> None:
    for text in (link.TYPE, possession.TYPE, str(MAX_TOKEN), f"{possession.LONGEST} seconds", *CODES):
        assert text in PAGE.text
    assert f"1 to {MOST_ACTORS} links" in PAGE.text
