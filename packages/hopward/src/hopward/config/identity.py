"""The rules of `[identity]` and of agents' identities: one workload is one agent, and is vouched for."""

from collections.abc import Iterator

from hopward.config import forms
from hopward.config.problem import KeyPath, Problem, Table, items, table, tables, text
from hopward.workload import SPIFFE_ALGORITHMS, is_trust_domain, spiffe_id

LONGEST_TOKEN = 24 * 60 * 60
"""Seconds; a workload token that lives longer is a password."""

_KEYS_OF_ISSUER = ("jwks_file", "jwks_uri", "discovery")
_KEYS_OF_DOMAIN = ("bundle_file", "bundle_url", "workload_api")
_NEEDED = {"issuer": "who vouches for it", "subject": "what its tokens call it"}
_FETCHED = ("jwks_uri", "discovery", "bundle_url")


def identity_problems(document: Table) -> Iterator[Problem]:
    """Every rule broken by `[identity]`, and by who agents say they are."""
    section = table(document.get("identity"))
    issuers, domains = table(section.get("issuers")), table(section.get("trust_domains"))
    yield from _issuers(issuers)
    for name, domain in domains.items():
        path: KeyPath = ("identity", "trust_domains", name)
        if not is_trust_domain(name):
            yield Problem(path, "a trust domain is 1 to 255 of a-z, 0-9, '.', '-' and '_'")
        yield from _source(path, table(domain), _KEYS_OF_DOMAIN)
        for index, algorithm in enumerate(items(table(domain).get("algorithms"))):
            if algorithm == "EdDSA" and algorithm not in SPIFFE_ALGORITHMS:
                yield Problem((*path, "algorithms", index), "no JWT-SVID is signed with EdDSA")
    if "mtls" in section:
        yield from _mtls(table(section["mtls"]), domains)
    yield from _agents(document, issuers, domains)


def _issuers(issuers: Table) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, issuer in issuers.items():
        path: KeyPath = ("identity", "issuers", name)
        wrong = forms.wrong_name(name)
        if wrong:
            yield Problem(path, wrong)
        url = text(table(issuer).get("issuer"))
        wrong = forms.wrong_issuer(url)
        if url.strip() and wrong:
            yield Problem((*path, "issuer"), wrong)
        first = seen.setdefault(forms.alike(url), name)
        if url and first != name:
            yield Problem((*path, "issuer"), f'is the issuer of "{first}" too')
        yield from _source(path, table(issuer), _KEYS_OF_ISSUER)


def _source(path: KeyPath, entry: Table, keys: tuple[str, ...]) -> Iterator[Problem]:
    """What is wrong with where keys come from, and with the limits of the tokens they verify."""
    named = [key for key in keys if entry.get(key) not in (None, False)]
    if len(named) != 1:
        yield Problem(path, f"needs exactly one of {', '.join(keys)}: where its keys come from")
    for key in ("jwks_uri", "bundle_url"):
        url = text(entry.get(key))
        wrong = forms.wrong_endpoint(url) if url.strip() else ""
        if wrong:
            yield Problem((*path, key), wrong)
    address = text(entry.get("workload_api"))
    if address.strip() and not (address.startswith("unix:/") and not forms.has_control(address)):
        yield Problem((*path, "workload_api"), "must be unix:PATH, the path beginning with /")
    for key in ("jwks_file", "bundle_file", "ca_file"):
        wrong = forms.wrong_path(text(entry.get(key)))
        if wrong:
            yield Problem((*path, key), wrong)
    if "ca_file" in entry and not any(key in named for key in _FETCHED):
        yield Problem((*path, "ca_file"), "has no effect: nothing is fetched over https")
    if entry.get("algorithms") == []:
        yield Problem((*path, "algorithms"), "is empty, so no token could be verified")
    seconds = entry.get("longest_seconds", 1)
    if isinstance(seconds, int) and not 1 <= seconds <= LONGEST_TOKEN:
        yield Problem((*path, "longest_seconds"), f"must be 1 to {LONGEST_TOKEN} seconds (a day)")


def _mtls(section: Table, domains: Table) -> Iterator[Problem]:
    path: KeyPath = ("identity", "mtls")
    listen, url, name = (text(section.get(key)) for key in ("listen", "url", "spiffe_id"))
    wrong = forms.wrong_listen(listen)
    if listen.strip() and wrong:
        yield Problem((*path, "listen"), wrong)
    wrong = forms.wrong_base(url) or ("" if url.startswith("https://") else "must begin with https://")
    if url.strip() and wrong:
        yield Problem((*path, "url"), wrong)
    found = spiffe_id(name)
    if name.strip() and found is None:
        yield Problem((*path, "spiffe_id"), "must be spiffe://TRUST-DOMAIN/PATH, exactly as the SVID has it")
    elif found is not None and "workload_api" not in table(domains.get(found.trust_domain)):
        told = f'needs workload_api in [identity.trust_domains."{found.trust_domain}"]'
        yield Problem((*path, "spiffe_id"), told)


def _agents(document: Table, issuers: Table, domains: Table) -> Iterator[Problem]:
    holders: dict[tuple[str, ...], str] = {}
    for at, name, agent in tables(document, "agents"):
        if "identity" not in agent:
            continue
        path: KeyPath = (*at, "identity")
        identity = table(agent["identity"])
        if "key" in agent:
            yield Problem((*at, "key"), "stands beside identity; an agent proves who it is in one way")
        if "spiffe_id" in identity:
            yield from _spiffe(path, identity, domains)
            mark = ("spiffe", text(identity["spiffe_id"]))
        else:
            yield from _oidc(path, identity, issuers)
            mark = ("oidc", text(identity.get("issuer")), text(identity.get("subject")))
        first = holders.setdefault(mark, name)
        if all(mark) and first != name:
            yield Problem(path, f'is the identity of agent "{first}" too; each could speak as the other')


def _oidc(path: KeyPath, identity: Table, issuers: Table) -> Iterator[Problem]:
    for key, what in _NEEDED.items():
        if key not in identity:
            yield Problem((*path, key), f"missing: {what}; or spiffe_id alone")
    issuer = text(identity.get("issuer"))
    if issuer.strip() and issuer not in issuers:
        yield Problem((*path, "issuer"), f"there is no [identity.issuers.{issuer}]")
    for claim in ("iss", "sub", "aud", "exp", "iat", "nbf", "jti"):
        if claim in table(identity.get("claims")):
            yield Problem((*path, "claims", claim), "is checked anyway, and not by its value here")


def _spiffe(path: KeyPath, identity: Table, domains: Table) -> Iterator[Problem]:
    for key in ("issuer", "subject", "claims"):
        if key in identity:
            yield Problem((*path, key), "has no effect beside spiffe_id; leave it out")
    written = text(identity["spiffe_id"])
    found = spiffe_id(written)
    if written.strip() and found is None:
        yield Problem((*path, "spiffe_id"), "must be spiffe://TRUST-DOMAIN/PATH, exactly as the SVID has it")
    elif found is not None and found.trust_domain not in domains:
        told = f'there is no [identity.trust_domains."{found.trust_domain}"]'
        yield Problem((*path, "spiffe_id"), told)
