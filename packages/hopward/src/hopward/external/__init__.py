"""External authorization servers: they exchange a person's token for one that a server called accepts.

    servers   `ExternalServers`: all of them; begins an exchange, and takes it on with each answer
    legs      which exchanges lead from the subject token to the server, and as whom
    forms     what is sent: RFC 8693, on-behalf-of, client credentials; and what an answer says
    issued    what must be true of a token before it is used for anything
    subjects  the tokens of people, kept for their tasks
    cache     tokens used again, where that is configured

No network: each question is a `TokenRequest` for whoever has it.
"""

from hopward.external.servers import ExternalRequest, ExternalServers, Obtained, SvidSource
from hopward.external.subjects import SubjectTokens

__all__ = ["ExternalRequest", "ExternalServers", "Obtained", "SubjectTokens", "SvidSource"]
