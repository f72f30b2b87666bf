"""Hopward's OAuth authorization server: exchange, revocation, introspection, JWKS, metadata.

    GET  /.well-known/oauth-authorization-server   metadata (RFC 8414)
    GET  /jwks                                     public keys (RFC 7517)
    POST /token                                    an agent's own token, and token exchange (RFC 8693): for an
                                                   endpoint, for a call, for an agent to hand work on to
    POST /revoke                                   revocation (RFC 7009)
    POST /introspect                               introspection (RFC 7662)

With `[events.sources]`, security events of others (`hopward_authority.receiving`):

    POST /events/NAME                              a security event token (RFC 8935)

With `[events.receivers]`, others are told of ours (`hopward_authority.announcements`):

    GET  /.well-known/ssf-configuration            metadata (SSF 1.0)

With `[approvals] page`, below that address, for people and not for clients (`hopward_authority.pages`):

    GET  /approvals, /approvals/ID                 what waits for somebody's yes, and one of it in full
    POST /approvals/ID                             their answer
    GET, POST /pair, POST /unpair                  the browser they answer in
    GET, POST /authorize                           with anybody in `login` of a workflow: what an OAuth client
                                                   asks a person for, and their answer (RFC 6749)

Paths follow the issuer's own path, if it has one. Clients authenticate with `private_key_jwt` and nothing
else; those that people log in with may have no key. What may be exchanged for what, is decided in the core
(`hopward.exchange`); this package is the HTTP around it. Every token issued and every request refused leaves
a row in the decision log.
"""

from hopward_authority.app import create_app

__all__ = ["create_app"]
