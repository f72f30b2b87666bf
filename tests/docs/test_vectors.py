"""The language-neutral test vectors under shared/vectors hold for this implementation.

Their expectations were written by hand, and their hashes made without any code of Hopward.
"""

import json
from typing import Any

import msgspec
import pytest

from hopward.canonical import canonical, compact, digest
from hopward.capability import NOTHING, attenuate, covers, within
from hopward.claims import scope_text
from hopward.clock import SECOND
from hopward.constraint import MISSING, Constraint, OneOf, check, satisfies
from hopward.errors import TokenError
from hopward.foreign import Foreign, foreign_keys, verify_foreign
from hopward.jose import Expected, verify
from hopward.jwk import key_set
from hopward.ledger.chain import GENESIS, row_hash
from hopward.model import Capability, Tool, ToolCall

from .markdown import ROOT

Case = dict[str, Any]

COLUMNS = ("kind", "at", "task", "agent", "server", "tool", "verdict", "reason", "decision", "record")


def cases(name: str) -> list[Case]:
    path = ROOT / "shared" / "vectors" / f"{name}.json"
    return json.loads(path.read_text("utf-8"))["cases"]


@pytest.mark.parametrize("case", cases("canonical"), ids=lambda case: case["json"])
def test_a_json_text_has_the_canonical_form_and_digest_of_its_vector(case: Case) -> None:
    value = json.loads(case["json"])
    assert canonical(value).decode("utf-8") == case["canonical"]
    assert digest(value) == case["digest"]


@pytest.mark.parametrize("case", cases("credential"), ids=lambda case: case["scope"])
def test_a_call_has_the_scope_and_the_arguments_digest_of_its_vector(case: Case) -> None:
    call = ToolCall(server=case["server"], tool=case["tool"], arguments=json.loads(case["arguments"]))
    assert scope_text([call.name]) == case["scope"]
    assert digest(call.arguments) == case["arguments_digest"]


def test_the_rows_have_the_envelopes_and_hashes_of_their_vectors() -> None:
    previous = GENESIS
    for case in cases("row-hash"):
        envelope = {name: case[name] for name in COLUMNS} | {"seq": case["seq"]}
        envelope["record"] = json.loads(case["record"])
        columns: Any = tuple(case[name] for name in COLUMNS)
        assert case["previous"] == previous
        assert compact(envelope).decode("utf-8") == case["envelope"]
        assert row_hash(previous, case["seq"], columns) == case["hash"]
        previous = case["hash"]


@pytest.mark.parametrize("case", cases("constraint"), ids=lambda c: f"{c['constraint']} {c['value']}")
def test_an_argument_satisfies_a_constraint_exactly_if_its_vector_says_so(case: Case) -> None:
    constraint = msgspec.convert(case["constraint"], Constraint)
    value = MISSING if case["value"] is None else json.loads(case["value"])
    assert satisfies(constraint, value) is case["satisfied"]


def test_every_constraint_of_the_vectors_is_one_that_may_be_written() -> None:
    written = [msgspec.convert(case["constraint"], Constraint) for case in cases("constraint")]
    assert [c for c in written if check(c) is not None and c != OneOf(())] == []


@pytest.mark.parametrize("case", cases("capability"), ids=lambda case: case["why"])
def test_a_capability_covers_a_call_exactly_if_its_vector_says_so(case: Case) -> None:
    call = ToolCall(**(case["call"] | {"arguments": json.loads(case["call"]["arguments"])}))
    capability, tool = msgspec.convert(case["capability"], Capability), msgspec.convert(case["tool"], Tool)
    assert covers(capability, call, tool) is case["covers"]


@pytest.mark.parametrize("case", cases("meet"), ids=lambda case: case["why"])
def test_two_capabilities_meet_in_that_of_their_vector_from_either_side(case: Case) -> None:
    a, b = (msgspec.convert(case[side], Capability) for side in ("a", "b"))
    meet = NOTHING if case["meet"] is None else msgspec.convert(case["meet"], Capability)
    assert attenuate(a, b) == attenuate(b, a) == meet
    assert within(meet, a)
    assert within(meet, b)


JWS: dict[str, Any] = json.loads((ROOT / "shared" / "vectors" / "jws.json").read_text("utf-8"))


LOOSER = {
    *(f"{name} is there" for name in ("jku", "x5u", "jwk", "x5c")),
    "aud is a list",
}
"""What others put into their tokens: a key that is named there is not followed, and not refused either."""


@pytest.mark.parametrize("case", JWS["cases"], ids=lambda case: case["why"])
def test_a_token_of_another_issuer_is_taken_likewise_but_for_what_others_do(case: Case) -> None:
    wanted, names = JWS["expected"], ("iss", "sub", "aud", "exp", "iat", "jti")
    algorithms = frozenset({"ES256", "EdDSA"})
    expected = Foreign(algorithms, (wanted["typ"],), wanted["iss"], wanted["aud"], names, skew=0)
    keys = foreign_keys({"keys": JWS["keys"]}, algorithms)
    if case["valid"] or case["why"] in LOOSER:
        verify_foreign(case["token"], keys, expected, JWS["now"] * SECOND)
    else:
        with pytest.raises(TokenError):
            verify_foreign(case["token"], keys, expected, JWS["now"] * SECOND)


@pytest.mark.parametrize("case", JWS["cases"], ids=lambda case: case["why"])
def test_a_token_is_taken_exactly_if_its_vector_says_so(case: Case) -> None:
    wanted, now = JWS["expected"], JWS["now"] * SECOND
    expected = Expected(types=(wanted["typ"],), issuer=wanted["iss"], audience=wanted["aud"])
    if case["valid"]:
        verify(case["token"], key_set({"keys": JWS["keys"]}), expected, now)
    else:
        with pytest.raises(TokenError):
            verify(case["token"], key_set({"keys": JWS["keys"]}), expected, now)
