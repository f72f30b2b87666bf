"""docs/reference/chain.md shows links and a proof as they are, and names every claim and every refusal."""

import json
import re
from typing import Any

from hopward import link, possession
from hopward.base64url import decode
from hopward.jose import MAX_TOKEN
from hopward.jwk import SigningKey
from hopward.model import MOST_ACTORS, plain
from hopward.testing.clock import FixedClock
from hopward.testing.samples import a_hop, a_task

from .markdown import ROOT, cells, page

PAGE = page("docs/reference/chain.md")
VECTORS: Any = json.loads((ROOT / "shared" / "vectors" / "link.json").read_text("utf-8"))
KEY = SigningKey.generate("ES256")
LINKS = link.write(a_task(), [a_hop(key="holder")], "root", "https://authority.example", KEY)
PRESENTED = possession.present(LINKS, KEY, "https://proxy.example", possession.about("x", {}), FixedClock())


def part(token: str, number: int) -> dict[str, Any]:
    return json.loads(decode(token.split(".")[number]))


def on_the_page(kind: str) -> list[str]:
    table = re.search(rf"<!-- token: {kind} -->\n\n((?:\|.*\n)+)", PAGE.text)
    assert table
    return [name for row in table[1].splitlines()[2:] for name in re.findall(r"`(\w+)`", cells(row)[0])]


def test_the_examples_of_the_page_are_links_and_a_proof_of_the_vectors() -> None:
    texts = [VECTORS["texts"]["task"], VECTORS["texts"]["refunder"], VECTORS["proofs"][0]["proof"]]
    shown = [json.loads(block.text) for block in PAGE.blocks if block.language == "json"]
    assert shown == [part(text, 1) for text in texts]


def test_the_page_names_the_claims_of_links_and_proofs() -> None:
    root, hop = (part(text, 1) for text in LINKS)
    assert set(on_the_page("link")) == root.keys() | hop.keys()
    assert set(on_the_page("proof")) == part(PRESENTED.proof, 1).keys()


def test_the_page_names_the_types_the_members_and_the_bounds() -> None:
    members = plain(PRESENTED)
    assert [row[0].strip("`") for row in PAGE.table("member")] == list(members)
    named = re.findall(r"`(\w+)`", PAGE.table("member")[1][1])
    assert set(named) == {*members["key"], *SigningKey.generate("EdDSA").public_jwk()}
    for text in (link.TYPE, possession.TYPE, str(MAX_TOKEN), f"{possession.LONGEST} seconds"):
        assert text in PAGE.text
    assert f"1 to {MOST_ACTORS} links" in PAGE.text


def test_every_refusal_of_the_vectors_is_one_of_the_page() -> None:
    named = {code for row in PAGE.table("") for code in re.findall(r"`(\w+)`", row[2])}
    refused = {case["error"] for case in (*VECTORS["cases"], *VECTORS["proofs"])} - {""}
    assert refused - named == set()
