"""The test vectors of signed links and proofs hold for this implementation.

They were signed, spelled and digested by other libraries (joserfc, rfc8785), with keys that are gone.
"""

import json
from typing import Any

import msgspec
import pytest

from hopward import link, possession
from hopward.canonical import digest
from hopward.clock import SECOND
from hopward.commitment import as_opened
from hopward.errors import TokenError
from hopward.jwk import key_set

from .markdown import ROOT

Case = dict[str, Any]

VECTORS: Case = json.loads((ROOT / "shared" / "vectors" / "link.json").read_text("utf-8"))
KEYS = key_set(VECTORS["jwks"])


def texts(case: Case) -> list[str]:
    return [VECTORS["texts"][name] for name in case["links"]]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["why"])
def test_links_open_what_their_vector_says_or_are_refused_for_its_reason(case: Case) -> None:
    if case["error"]:
        with pytest.raises(TokenError) as refused:
            link.read(texts(case), KEYS, VECTORS["issuer"], case["now"])
        assert refused.value.error == case["error"]
        return
    linked = link.read(texts(case), KEYS, VECTORS["issuer"], case["now"])
    assert linked.holder == case["holder"]
    found = [as_opened(one) for one in (linked.task, *linked.hops)]
    assert json.loads(msgspec.json.encode(found)) == case["opened"]
    committed = [hop.parent_digest for hop in linked.hops]
    assert committed == [digest(one) for one in case["opened"]][:-1]


@pytest.mark.parametrize("case", VECTORS["proofs"], ids=lambda case: case["why"])
def test_a_proof_counts_exactly_if_its_vector_says_so(case: Case) -> None:
    now, request = VECTORS["cases"][0]["now"], json.loads(VECTORS["request"])
    presented = possession.read({"links": texts(case), "key": case["key"], "proof": case["proof"]})
    linked = link.read(presented.links, KEYS, VECTORS["issuer"], now)
    asked = possession.about(request["method"], request["params"])
    seen: list[int] = []

    def once(proof: str, until: int) -> bool:
        seen.append(until)
        return True

    if case["error"]:
        with pytest.raises(TokenError) as refused:
            possession.check(presented, linked, VECTORS["place"], asked, once, now)
        assert (refused.value.error, seen) == (case["error"], [])
    else:
        possession.check(presented, linked, VECTORS["place"], asked, once, now)
        assert seen == [now + 59 * SECOND]


def test_every_text_of_the_vectors_is_one_that_a_case_needs() -> None:
    used = {name for case in (*VECTORS["cases"], *VECTORS["proofs"]) for name in case["links"]}
    assert used == VECTORS["texts"].keys()
