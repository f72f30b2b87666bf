"""What is taken out of a server's messages, and what is left as it is."""

import json

from hopward_mcp.concealment import Concealment

REMOVED = "[credential removed by Hopward]"


def shown(concealment: Concealment, text: str) -> str:
    return json.loads(concealment.concealed(json.dumps(text).encode()))


def test_an_api_key_is_taken_out_however_it_is_spelled_in_json() -> None:
    concealment = Concealment(['quo"te\\d', ""])
    assert shown(concealment, 'a quo"te\\d b') == f"a {REMOVED} b"


def test_of_two_keys_the_longer_is_taken_out_whole() -> None:
    for keys in (["sk-1", "Bearer sk-1"], ["Bearer sk-1", "sk-1"]):
        assert shown(Concealment(keys), "Bearer sk-1, sk-1") == f"{REMOVED}, {REMOVED}"


def test_whatever_a_known_key_has_signed_is_taken_out() -> None:
    concealment = Concealment([])
    concealment.learn("eyJhIjoxfQ.eyJiIjoyfQ.c2ln")
    assert shown(concealment, "x eyJhIjoxfQ.eyJjIjozfQ.b3RoZXI y") == f"x {REMOVED} y"
    assert shown(concealment, "eyJhIjoxfQ.eyJiIjoyfQ.c2ln.more") == f"{REMOVED}.more"


def test_what_is_no_secret_stays_and_costs_no_copy() -> None:
    concealment = Concealment(["key-of-the-desk"])
    concealment.learn("eyJhIjoxfQ.eyJiIjoyfQ.c2ln")
    for text in (b"key-of-a-desk", b"eyJhIjoyfQ.eyJiIjoyfQ.c2ln", b""):
        assert concealment.concealed(text) is text
    assert concealment.concealed(b"eyJhIjoxfQ alone") == b"eyJhIjoxfQ alone"


def test_only_so_many_signing_keys_are_remembered_the_latest_ones() -> None:
    concealment = Concealment([])
    for number in range(200):
        concealment.learn(f"header-{number}.b.c")
    assert concealment.concealed(b"header-199.b.c") == REMOVED.encode()
    assert concealment.concealed(b"header-0.b.c") == b"header-0.b.c"
