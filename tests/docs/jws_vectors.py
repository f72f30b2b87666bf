"""Makes shared/vectors/jws.json: signed tokens, good and bad, without any code of Hopward.

    python -m tests.docs.jws_vectors

Signatures are made anew each time, so a new file differs from the old one; what it expects does not.
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

FILE = Path(__file__).parents[2] / "shared" / "vectors" / "jws.json"
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
L = 2**252 + 27742317777372353535851937790883648493
NOW = 1_764_111_600
CLAIMS = {
    "iss": "https://authority.example",
    "sub": "ines@desk.example",
    "aud": "https://desk.example/mcp",
    "iat": NOW,
    "exp": NOW + 60,
    "jti": "tok_0",
}
EC, ED = generate_private_key(SECP256R1()), Ed25519PrivateKey.generate()


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def header(key: str, **changes: Any) -> dict[str, Any]:
    return {"alg": {"ec": "ES256", "ed": "EdDSA"}[key], "kid": key, "typ": "at+jwt"} | changes


def signed(key: str, head: bytes, body: bytes) -> tuple[str, bytes]:
    """What is signed, and its genuine signature."""
    content = f"{b64(head)}.{b64(body)}"
    if key == "ed":
        return content, ED.sign(content.encode())
    r, s = decode_dss_signature(EC.sign(content.encode(), ECDSA(SHA256())))
    return content, r.to_bytes(32, "big") + s.to_bytes(32, "big")


def token(key: str, head: bytes | None = None, body: bytes | None = None) -> str:
    content, signature = signed(key, head or compact(header(key)), body or compact(CLAIMS))
    return f"{content}.{b64(signature)}"


def public() -> list[dict[str, str]]:
    numbers = EC.public_key().public_numbers()
    point = b64(ED.public_key().public_bytes_raw())
    x, y = (b64(one.to_bytes(32, "big")) for one in (numbers.x, numbers.y))
    return [
        {"kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256", "x": x, "y": y},
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "kid": "ed",
            "alg": "EdDSA",
            "x": point,
        },
    ]


def of_signatures() -> list[tuple[str, bool, str]]:
    content, good = signed("ec", compact(header("ec")), compact(CLAIMS))
    r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big")

    def pair(first: int, second: int) -> bytes:
        return first.to_bytes(32, "big") + second.to_bytes(32, "big")

    cases = {
        ("ES256: r and s of 32 bytes each", True): good,
        ("ES256: s is n - s, which is a signature too", True): pair(r, N - s),
        ("ES256: r is 0", False): pair(0, s),
        ("ES256: s is 0", False): pair(r, 0),
        ("ES256: r and s are 0", False): bytes(64),
        ("ES256: r is n", False): pair(N, s),
        ("ES256: s is n", False): pair(r, N),
        ("ES256: r and s are 1", False): pair(1, 1),
        ("ES256: all bits are set", False): b"\xff" * 64,
        ("ES256: s before r", False): good[32:] + good[:32],
        ("ES256: as DER", False): EC.sign(content.encode(), ECDSA(SHA256())),
        ("ES256: a byte short", False): good[:-1],
        ("ES256: a byte long", False): good + b"\0",
        ("ES256: a zero byte before each", False): b"\0" + good[:32] + b"\0" + good[32:],
        ("ES256: nothing", False): b"",
    }
    found = [(why, valid, f"{content}.{b64(made)}") for (why, valid), made in cases.items()]
    content, good = signed("ed", compact(header("ed")), compact(CLAIMS))
    large = int.from_bytes(good[32:], "little") + L
    eddsa = {
        ("EdDSA: as RFC 8032 has it", True): good,
        ("EdDSA: S is S + L", False): good[:32] + large.to_bytes(32, "little"),
        ("EdDSA: S is L", False): good[:32] + L.to_bytes(32, "little"),
        ("EdDSA: S is 0", False): good[:32] + bytes(32),
        ("EdDSA: R is 0", False): bytes(32) + good[32:],
        ("EdDSA: a byte short", False): good[:-1],
        ("EdDSA: a byte long", False): good + b"\0",
        ("EdDSA: nothing", False): b"",
    }
    return [*found, *((why, valid, f"{content}.{b64(made)}") for (why, valid), made in eddsa.items())]


def of_headers() -> list[tuple[str, bool, str]]:
    found = [
        (f"alg is {alg}", False, token("ec", compact(header("ec", alg=alg))))
        for alg in ("none", "None", "EdDSA", "ES384", "RS256", "HS256", "")
    ]
    found += [
        (f"kid is {kid!r}", False, token("ec", compact(header("ec", kid=kid))))
        for kid in ("ed", "", "../../dev/null", "' OR 1=1 --", "ec\u0000", ["ec"], None)
    ]
    found += [
        (f"{name} is there", False, token("ec", compact(header("ec", **{name: value}))))
        for name, value in {
            "jku": "https://evil.example/jwks",
            "x5u": "https://evil.example/cert",
            "jwk": public()[0],
            "x5c": ["AAAA"],
            "crit": ["exp"],
            "b64": False,
            "zip": "DEF",
        }.items()
    ]
    found += [
        (f"typ is {typ!r}", False, token("ec", compact(header("ec", typ=typ))))
        for typ in ("JWT", "dpop+jwt", "jwt", "at+JWT+x", "", None)
    ]
    found.append(
        ("typ has application/ before it", True, token("ec", compact(header("ec", typ="application/at+jwt"))))
    )
    twice = b'{"alg":"ES256","alg":"ES256","kid":"ec","typ":"at+jwt"}'
    unsigned = f"{b64(compact(header('ec', alg='none')))}.{b64(compact(CLAIMS))}."
    mac = f"{b64(compact(header('ec', alg='HS256')))}.{b64(compact(CLAIMS))}"
    digest = hmac.digest(json.dumps(public()[0]).encode(), mac.encode(), hashlib.sha256)
    found += [
        ("alg is none, and no signature", False, unsigned),
        ("HS256 with the public key as the secret", False, f"{mac}.{b64(digest)}"),
        (
            "a member of the header twice",
            False,
            token("ec", twice),
        ),
        ("the header is a list", False, token("ec", b"[]")),
    ]
    return found


def of_claims() -> list[tuple[str, bool, str]]:
    text = compact(CLAIMS).decode()
    changes: dict[str, Any] = {
        "aud is a list": {"aud": [CLAIMS["aud"]]},
        "aud is another": {"aud": "https://desk.example/mcp/"},
        "iss is another": {"iss": "https://authority.example/"},
        "exp is a text": {"exp": str(NOW + 60)},
        "exp is no whole number": {"exp": NOW + 60.5},
        "exp is true": {"exp": True},
        "exp has passed": {"iat": NOW - 60, "exp": NOW},
        "exp is not after iat": {"exp": NOW},
        "iat lies ahead": {"iat": NOW + 30},
        "nbf lies ahead": {"nbf": NOW + 30},
        "jti is empty": {"jti": ""},
        "sub is a number": {"sub": 7},
        "it is huge": {"x": "x" * 20_000},
    }
    found = [(why, False, token("ec", None, compact(CLAIMS | change))) for why, change in changes.items()]
    for name in CLAIMS:
        rest = {key: value for key, value in CLAIMS.items() if key != name}
        found.append((f"{name} is missing", False, token("ec", None, compact(rest))))
    bodies = {
        "a claim twice": (text[:-1] + ',"sub":"eve@desk.example"}').encode(),
        "a claim twice, once escaped": (text[:-1] + ',"s\\u0075b":"eve@desk.example"}').encode(),
        "nested too deeply": (text[:-1] + ',"x":' + "[" * 3000 + "]" * 3000 + "}").encode(),
        "not UTF-8": text.encode()[:-1] + b',"x":"\xff"}',
        "a byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "something behind it": text.encode() + b"{}",
        "a list": b"[]",
        "NaN": (text[:-1] + ',"x":NaN}').encode(),
        "half a character": (text[:-1] + ',"x":"\\ud800"}').encode(),
    }
    return [*found, *((f"claims: {why}", False, token("ec", None, body)) for why, body in bodies.items())]


def of_segments() -> list[tuple[str, bool, str]]:
    good = token("ec")
    head, body, signature = good.split(".")
    texts = {
        "padded": f"{head}.{body}.{signature}==",
        "in another alphabet": f"{head}.{body}.+/{signature[2:]}",
        "a newline behind it": good + "\n",
        "a blank before it": " " + good,
        "two parts": f"{head}.{body}",
        "four parts": good + ".AAAA",
        "an encrypted token's five parts": f"{head}...{body}.{signature}",
        "as JSON": json.dumps({"protected": head, "payload": body, "signature": signature}),
        "payload left out": f"{head}..{signature}",
        "nothing": "",
        "bits left over at the end": good[:-1] + chr(ord(good[-1]) + 1),
    }
    return [(why, False, text) for why, text in texts.items()]


def main() -> None:
    cases = [*of_signatures(), *of_headers(), *of_claims(), *of_segments()]
    document = {
        "about": "Compact JWS for one verifier: `keys` are a JWKS, `expected` what the token must say, `now` "
        "the time in seconds. `valid` is what a strict verifier answers. Made by tests/docs/jws_vectors.py.",
        "expected": {"typ": "at+jwt", "iss": CLAIMS["iss"], "aud": CLAIMS["aud"]},
        "now": NOW,
        "keys": public(),
        "cases": [{"why": why, "valid": valid, "token": text} for why, valid, text in cases],
    }
    FILE.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
