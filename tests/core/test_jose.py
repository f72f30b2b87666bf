"""Signed tokens: PyJWT and joserfc are the independent oracles, the advisories the list of traps."""

import hmac
import json
from typing import Any

import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopward.base64url import decode, encode
from hopward.clock import SECOND
from hopward.errors import TokenError
from hopward.jose import MAX_TOKEN, Claims, Expected, sign, unverified_kid, verify
from hopward.jwk import Algorithm, SigningKey, VerificationKey, key_set, thumbprint
from hopward.testing.clock import NOON

ISSUER = "https://authority.example"
AUDIENCE = "https://desk.example/mcp"
NOW = NOON // SECOND
EXPECTED = Expected(types=("at+jwt",), issuer=ISSUER, audience=AUDIENCE)
KEYS: dict[Algorithm, SigningKey] = {alg: SigningKey.generate(alg) for alg in ("ES256", "EdDSA")}
ALGORITHMS = pytest.mark.parametrize("alg", ["ES256", "EdDSA"])


def claims(**changes: Any) -> Claims:
    content: Claims = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "tok_1",
    }
    return {name: value for name, value in (content | changes).items() if value is not None}


def checked(token: str, expected: Expected = EXPECTED, now: int = NOON) -> Claims:
    return verify(token, {key.kid: key.verification() for key in KEYS.values()}, expected, now).claims


def refusal(token: str, expected: Expected = EXPECTED, now: int = NOON) -> str:
    with pytest.raises(TokenError) as refused:
        checked(token, expected, now)
    assert len(token) < 40 or token not in str(refused.value)
    return refused.value.error


def raw(header: str | bytes, payload: str | bytes, key: SigningKey = KEYS["ES256"]) -> str:
    """A genuinely signed token with exactly these bytes in it."""
    parts = [part.encode() if isinstance(part, str) else part for part in (header, payload)]
    content = ".".join(encode(part) for part in parts)
    return f"{content}.{encode(key.signature(content.encode()))}"


def header(key: SigningKey = KEYS["ES256"], /, **changes: Any) -> str:
    members = {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt"} | changes
    return json.dumps({name: value for name, value in members.items() if value is not None})


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@ALGORITHMS
def test_what_is_signed_here_verifies_here_and_by_two_other_libraries(alg: Algorithm) -> None:
    key = KEYS[alg]
    token = sign(claims(), key, "at+jwt")
    assert checked(token) == claims()
    ours = jwt.decode(
        token, jwt.PyJWK(key.public_jwk()), [alg], audience=AUDIENCE, options={"verify_exp": False}
    )
    assert ours == claims()
    theirs = joserfc.jwt.decode(token, joserfc.jwk.import_key(key.public_jwk()), algorithms=[alg])
    assert theirs.claims == claims()
    assert theirs.header == {"alg": alg, "kid": key.kid, "typ": "at+jwt"}


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@ALGORITHMS
def test_what_two_other_libraries_sign_verifies_here(alg: Algorithm) -> None:
    key = KEYS[alg]
    names = {"kid": key.kid, "typ": "at+jwt"}
    by_pyjwt = jwt.encode(claims(), jwt.PyJWK(key.to_jwk()), alg, headers=names)
    assert checked(by_pyjwt) == claims()
    private = joserfc.jwk.import_key(key.to_jwk())
    assert checked(joserfc.jwt.encode({"alg": alg, **names}, claims(), private, algorithms=[alg])) == claims()


@ALGORITHMS
def test_every_prefix_and_extension_of_a_token_is_refused(alg: Algorithm) -> None:
    """Advisory row 38 (CVE-2026-27840)."""
    token = sign(claims(), KEYS[alg], "at+jwt")
    for length in range(len(token)):
        refusal(token[:length])
    for extension in ("A", "AA", "AAAA", ".", ".AA", "=", "==", " ", "\n", "\0", "é", token, "." + token):
        refusal(token + extension)
        refusal(extension + token)


@ALGORITHMS
def test_a_change_of_any_one_character_is_refused(alg: Algorithm) -> None:
    token = sign(claims(), KEYS[alg], "at+jwt")
    for at in range(len(token)):
        for other in ("A", "B", "_"):
            if token[at] != other:
                refusal(token[:at] + other + token[at + 1 :])


def test_the_key_decides_the_algorithm() -> None:
    """Advisory row 36 (CVE-2026-11800): confusion, none, and the two algorithms swapped."""
    key, other = KEYS["ES256"], KEYS["EdDSA"]
    assert refusal(raw(header(alg="EdDSA"), json.dumps(claims()))) == "wrong_algorithm"
    assert refusal(raw(header(other, alg="ES256"), json.dumps(claims()), other)) == "wrong_algorithm"
    assert refusal(raw(header(other, kid=key.kid), json.dumps(claims()), other)) == "wrong_algorithm"
    assert refusal(raw(header(kid=other.kid), json.dumps(claims()))) == "wrong_algorithm"
    for wrong in ("none", "None", "NONE", "es256", "ES256K", "ES384", "HS256", "RS256", "Ed25519", ""):
        refusal(raw(header(alg=wrong), json.dumps(claims())))
    content = f"{encode(header(alg='HS256').encode())}.{encode(json.dumps(claims()).encode())}"
    mac = hmac.digest(json.dumps(key.public_jwk()).encode(), content.encode(), "sha256")
    with_public_key = f"{content}.{encode(mac)}"
    assert refusal(with_public_key) == "wrong_algorithm"
    unsigned = ".".join([encode(header(alg="none").encode()), encode(json.dumps(claims()).encode()), ""])
    assert refusal(unsigned) == "wrong_algorithm"


def test_an_unknown_key_is_refused_and_says_so() -> None:
    stranger = SigningKey.generate("ES256")
    assert refusal(sign(claims(), stranger, "at+jwt")) == "unknown_key"
    as_ours = raw(header(stranger, kid=KEYS["ES256"].kid), json.dumps(claims()), stranger)
    assert refusal(as_ours) == "bad_signature"


@pytest.mark.parametrize("value", [["exp"], ["b64"], ["unknown"], [], "", "exp", None, {}])
def test_an_unknown_or_empty_crit_is_refused(value: Any) -> None:
    """Advisory row 40 (CVE-2026-32597, CVE-2025-59420)."""
    text = json.dumps({**json.loads(header()), "crit": value})
    assert refusal(raw(text, json.dumps(claims()))) == "unsupported_header"


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "b64", "zip", "enc", "cty"])
def test_a_token_cannot_bring_its_own_key(name: str) -> None:
    """Advisory row 40 (CVE-2026-27962)."""
    stranger = SigningKey.generate("ES256")
    value = stranger.public_jwk() if name == "jwk" else "https://evil.example/jwks"
    assert refusal(raw(header(**{name: value}), json.dumps(claims()), stranger)) == "unsupported_header"
    assert refusal(raw(header(**{name: value}), json.dumps(claims()))) == "unsupported_header"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (header().replace('"alg": "ES256"', '"alg": "none", "alg": "ES256"'), "malformed"),
        (header().replace('"alg": "ES256"', '"alg": "ES256", "alg": "none"'), "malformed"),
        (header(kid=None), "unsupported_header"),
        (header(kid=""), "unsupported_header"),
        (header(kid=7), "unsupported_header"),
        (header(kid=["a"]), "unsupported_header"),
        (header(alg=None), "unsupported_header"),
        (header(typ=None), "unsupported_header"),
        (header(typ=1), "unsupported_header"),
        ("[]", "malformed"),
        ('"x"', "malformed"),
        ("", "malformed"),
        ("{", "malformed"),
        (header() + " x", "malformed"),
        ("[" * 9000, "malformed"),
        (b"\xff\xfe{}", "malformed"),
        (b"\xef\xbb\xbf" + header().encode(), "malformed"),
    ],
)
def test_a_header_with_two_readings_or_none_is_refused(text: str | bytes, error: str) -> None:
    assert refusal(raw(text, json.dumps(claims()))) == error


@pytest.mark.parametrize(
    "typ", ["JWT", "dpop+jwt", "AT+JWT", "at+jwt;x=1", "application/JWT", "application/application/at+jwt"]
)
def test_a_token_of_another_type_is_refused(typ: str) -> None:
    assert refusal(sign(claims(), KEYS["ES256"], typ)) == "wrong_type"


def test_the_long_form_of_a_type_is_the_same_type() -> None:
    assert checked(sign(claims(), KEYS["ES256"], "application/at+jwt")) == claims()


@pytest.mark.parametrize(
    "body",
    [
        '{"sub":"low","sub":"admin"}',
        '{"act":{"sub":"a","sub":"b"}}',
        '{"x":[{"a":1,"a":1}]}',
        '{"x":1e400}',
        '{"x":-1e400}',
        '{"x":NaN}',
        '{"x":Infinity}',
        '{"x":"\\ud800"}',
        '{"\\udfff":1}',
        '{"x":' + "9" * 5000 + "}",
        '{"x":' + "[" * 5000,
        '{"x":"\x01"}',
        "{'x':1}",
        '{"x":1,}',
        "[1]",
        "null",
    ],
)
def test_a_payload_that_can_be_read_two_ways_is_refused(body: str) -> None:
    inner = json.dumps(claims())[:-1] + "," + body[1:] if body.startswith("{") else body
    assert refusal(raw(header(), inner)) == "malformed"


def test_white_space_inside_the_signed_json_is_harmless() -> None:
    assert checked(raw(" " + header(), json.dumps(claims(), indent=3))) == claims()


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat", "jti"])
@pytest.mark.parametrize("value", [None, "", True, [AUDIENCE], {}, 1.5, 10**15, -1])
def test_every_required_claim_must_be_there_with_its_own_type(name: str, value: Any) -> None:
    """Advisory row 37, and the claims measured in the library comparison."""
    assert refusal(sign(claims(**{name: value}), KEYS["ES256"], "at+jwt")) == "bad_claim"


@pytest.mark.parametrize(
    ("name", "value"), [("sub", 7), ("jti", 7), ("exp", str(NOW + 60)), ("iat", str(NOW))]
)
def test_a_text_is_no_number_and_a_number_no_text(name: str, value: Any) -> None:
    assert refusal(sign(claims(**{name: value}), KEYS["ES256"], "at+jwt")) == "bad_claim"


@pytest.mark.parametrize(
    "aud", ["https://other.example/mcp", AUDIENCE + "/", AUDIENCE.upper(), AUDIENCE[:-1], " "]
)
def test_a_token_for_someone_else_is_refused(aud: str) -> None:
    assert refusal(sign(claims(aud=aud), KEYS["ES256"], "at+jwt")) == "wrong_audience"


@pytest.mark.parametrize("aud", [[AUDIENCE], [AUDIENCE, "https://other.example"], [], {AUDIENCE: 1}])
def test_a_token_without_our_sole_audience_is_refused(aud: Any) -> None:
    """Advisory row 37 (CVE-2026-55669); also when the caller compares the audience by itself."""
    token = sign(claims(aud=aud), KEYS["ES256"], "at+jwt")
    assert refusal(token) == "bad_claim"
    assert refusal(token, Expected(types=("at+jwt",), issuer=ISSUER, audience=None)) == "bad_claim"


@pytest.mark.parametrize("issuer", ["https://other.example", ISSUER + "/", "HTTPS://authority.example"])
def test_a_token_of_another_issuer_is_refused(issuer: str) -> None:
    assert refusal(sign(claims(iss=issuer), KEYS["ES256"], "at+jwt")) == "wrong_issuer"


def test_a_caller_may_compare_the_audience_by_itself() -> None:
    token = sign(claims(aud="https://anyone.example"), KEYS["ES256"], "at+jwt")
    assert checked(token, Expected(types=("at+jwt",), issuer=ISSUER, audience=None))


def test_an_unset_audience_or_issuer_accepts_nothing() -> None:
    """Advisory row 29."""
    token = sign(claims(), KEYS["ES256"], "at+jwt")
    assert refusal(token, Expected(types=("at+jwt",), issuer="", audience=AUDIENCE)) == "wrong_issuer"
    assert refusal(token, Expected(types=("at+jwt",), issuer=ISSUER, audience="")) == "wrong_audience"
    assert refusal(token, Expected(types=(), issuer=ISSUER, audience=AUDIENCE)) == "wrong_type"


def test_a_token_is_good_from_its_first_to_before_its_last_second() -> None:
    token = sign(claims(), KEYS["ES256"], "at+jwt")
    assert checked(token, now=NOON)
    assert checked(token, now=NOON + 60 * SECOND - 1)
    assert refusal(token, now=NOON + 60 * SECOND) == "expired"
    assert refusal(token, now=NOON - 1) == "not_yet_valid"


def test_the_clock_of_another_machine_may_be_ahead_but_nothing_lives_longer() -> None:
    token = sign(claims(), KEYS["ES256"], "at+jwt")
    skewed = Expected(types=("at+jwt",), issuer=ISSUER, audience=AUDIENCE, skew=5)
    assert checked(token, skewed, now=NOON - 5 * SECOND)
    assert refusal(token, skewed, now=NOON - 5 * SECOND - 1) == "not_yet_valid"
    assert refusal(token, skewed, now=NOON + 60 * SECOND) == "expired"


def test_not_before_counts_and_an_end_before_the_beginning_is_refused() -> None:
    assert refusal(sign(claims(nbf=NOW + 10), KEYS["ES256"], "at+jwt")) == "not_yet_valid"
    assert refusal(sign(claims(nbf="soon"), KEYS["ES256"], "at+jwt")) == "bad_claim"
    assert refusal(sign(claims(exp=NOW), KEYS["ES256"], "at+jwt")) == "bad_claim"
    assert refusal(sign(claims(nbf=NOW + 61), KEYS["ES256"], "at+jwt")) == "bad_claim"


def test_base64_has_one_spelling() -> None:
    token = sign(claims(), KEYS["ES256"], "at+jwt")
    first, payload, signature = token.split(".")
    assert refusal(f"{first}=.{payload}.{signature}") == "malformed"
    assert refusal(f"{first}.{payload}.{signature}==") == "malformed"
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    leftover = last[last.index(signature[-1]) ^ 1]
    assert refusal(f"{first}.{payload}.{signature[:-1]}{leftover}") == "malformed"
    for odd in ("+", "/", " ", "\n", "%", "\u00e9", "\uff21"):
        refusal(f"{first}.{payload[:-1]}{odd}.{signature}")


@ALGORITHMS
@pytest.mark.parametrize("size", [0, 1, 32, 63, 65, 72, 128])
def test_a_signature_has_exactly_its_length(alg: Algorithm, size: int) -> None:
    key = KEYS[alg]
    content, _, signature = sign(claims(), key, "at+jwt").rpartition(".")
    data = (decode(signature) + b"\0" * 64)[:size] if size > 64 else decode(signature)[:size]
    refusal(f"{content}.{encode(data)}")


def test_a_signature_with_the_same_numbers_in_more_bytes_is_refused() -> None:
    content, _, signature = sign(claims(), KEYS["ES256"], "at+jwt").rpartition(".")
    data = decode(signature)
    assert refusal(f"{content}.{encode(data[:32] + bytes(1) + data[32:])}") == "bad_signature"


def test_zero_and_out_of_range_signatures_are_refused() -> None:
    """The "psychic" signature (r = s = 0), and values that are not reduced."""
    content, _, signature = sign(claims(), KEYS["ES256"], "at+jwt").rpartition(".")
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r = decode(signature)[:32]
    for data in (
        bytes(64),
        bytes(32) + r,
        r + bytes(32),
        r + n.to_bytes(32, "big"),
        n.to_bytes(32, "big") + r,
    ):
        assert refusal(f"{content}.{encode(data)}") == "bad_signature"


def test_a_token_that_is_too_long_is_neither_made_nor_read() -> None:
    with pytest.raises(TokenError):
        sign(claims(pad="x" * MAX_TOKEN), KEYS["ES256"], "at+jwt")
    fitting = MAX_TOKEN - len(raw(header(), json.dumps(claims(pad=""))))
    pad = "x" * (fitting // 4 * 3)
    assert len(raw(header(), json.dumps(claims(pad=pad)))) <= MAX_TOKEN
    assert checked(raw(header(), json.dumps(claims(pad=pad))))
    assert refusal(raw(header(), json.dumps(claims(pad=pad + "x" * 8)))) == "malformed"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_claims_json_cannot_carry_are_not_signed(value: Any) -> None:
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        sign(claims(x=value), KEYS["ES256"], "at+jwt")


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(st.text(alphabet="AZaz09-_=", max_size=40), max_size=5).map(".".join)))
def test_no_text_makes_the_verifier_fail_in_another_way(text: str) -> None:
    refusal_only = pytest.raises(TokenError)
    with refusal_only:
        checked(text)
    with refusal_only:
        unverified_kid(text)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.text(), s),
        max_leaves=8,
    )
)
def test_no_signed_content_makes_the_verifier_fail_in_another_way(content: Any) -> None:
    text = json.dumps(content)
    for token in (raw(header(), text), raw(text, json.dumps(claims()))):
        with pytest.raises(TokenError):
            checked(token)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["scope", "client_id", "txn", "x", "é"]),
        st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**53), 2**53) | st.booleans(),
    )
)
def test_any_claims_come_back_as_they_were_signed(extra: Claims) -> None:
    for key in KEYS.values():
        assert checked(sign(claims(**extra), key, "at+jwt")) == claims(**extra)


def test_the_kid_can_be_read_without_believing_anything() -> None:
    assert unverified_kid(sign(claims(), KEYS["EdDSA"], "x")) == KEYS["EdDSA"].kid


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    """RFC 8037 appendix A.3."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "sig"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert VerificationKey.from_jwk(jwk).kid == thumbprint(jwk)


@ALGORITHMS
def test_a_thumbprint_agrees_with_another_library(alg: Algorithm) -> None:
    assert joserfc.jwk.import_key(KEYS[alg].public_jwk()).thumbprint() == KEYS[alg].kid


@ALGORITHMS
def test_a_private_key_survives_being_stored(alg: Algorithm) -> None:
    again = SigningKey.from_jwk(json.loads(json.dumps(KEYS[alg].to_jwk())))
    assert again.kid == KEYS[alg].kid
    assert checked(sign(claims(), again, "at+jwt")) == claims()
    assert KEYS[alg].to_jwk()["d"] not in repr(again)


@ALGORITHMS
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"d": "AAAA"}, "private_key"),
        ({"k": "AAAA"}, "private_key"),
        ({"p": "AAAA"}, "private_key"),
        ({"use": "enc"}, "unsupported_key"),
        ({"use": None}, "unsupported_key"),
        ({"key_ops": ["sign"]}, "unsupported_key"),
        ({"key_ops": ["encrypt"]}, "unsupported_key"),
        ({"key_ops": []}, "unsupported_key"),
        ({"key_ops": "verify"}, "unsupported_key"),
        ({"alg": "RS256"}, "unsupported_key"),
        ({"alg": None}, "unsupported_key"),
        ({"crv": "P-384"}, "unsupported_key"),
        ({"crv": "X25519"}, "unsupported_key"),
        ({"kty": "RSA"}, "unsupported_key"),
        ({"kty": "oct"}, "unsupported_key"),
        ({"x": "AAAA"}, "unusable_key"),
        ({"x": "="}, "unusable_key"),
        ({"x": 7}, "unusable_key"),
        ({"kid": ""}, "unusable_key"),
        ({"kid": 7}, "unusable_key"),
    ],
)
def test_a_key_that_is_not_for_verifying_is_refused_when_it_is_loaded(
    alg: Algorithm, changes: dict[str, Any], error: str
) -> None:
    with pytest.raises(TokenError) as refused:
        VerificationKey.from_jwk({**KEYS[alg].public_jwk(), **changes})
    assert refused.value.error == error


@ALGORITHMS
def test_a_coordinate_has_one_length_even_where_its_value_would_be_the_same(alg: Algorithm) -> None:
    jwk = KEYS[alg].public_jwk()
    with pytest.raises(TokenError, match="32 bytes"):
        VerificationKey.from_jwk({**jwk, "x": encode(b"\0" + decode(jwk["x"]))})


def test_a_point_off_the_curve_is_no_key() -> None:
    jwk = KEYS["ES256"].public_jwk()
    with pytest.raises(TokenError, match="curve"):
        VerificationKey.from_jwk({**jwk, "y": jwk["x"]})


@ALGORITHMS
def test_halves_of_two_keys_are_no_key(alg: Algorithm) -> None:
    stranger = SigningKey.generate(alg).to_jwk()
    with pytest.raises(TokenError, match="belong together"):
        SigningKey.from_jwk({**KEYS[alg].to_jwk(), "d": stranger["d"]})


@pytest.mark.parametrize("d", [bytes(32), b"\xff" * 32])
def test_a_private_number_out_of_range_is_no_key(d: bytes) -> None:
    with pytest.raises(TokenError):
        SigningKey.from_jwk({**KEYS["ES256"].to_jwk(), "d": encode(d)})


def test_a_key_set_leaves_out_what_it_does_not_know() -> None:
    ours = [key.public_jwk() for key in KEYS.values()]
    rsa = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa"}
    encryption = {**SigningKey.generate("ES256").public_jwk(), "use": "enc"}
    assert set(key_set({"keys": [rsa, *ours, encryption]})) == {key.kid for key in KEYS.values()}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"keys": {}},
        {"keys": ["x"]},
        {"keys": [KEYS["ES256"].to_jwk()]},
        {"keys": [KEYS["ES256"].public_jwk(), KEYS["ES256"].public_jwk()]},
        {"keys": [{**KEYS["ES256"].public_jwk(), "x": "AAAA"}]},
    ],
)
def test_a_key_set_that_is_damaged_or_secret_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(TokenError):
        key_set(document)
