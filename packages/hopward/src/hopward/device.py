"""A browser in which a person answers what waits for them: the value that is stored of it."""

from hopward.clock import Instant
from hopward.model import Value


class Device(Value, frozen=True):
    """A browser that is, or with a one-time code may come to be, a person's way to answer.

    `secret` is a digest: of the code until it is paired, of the secret in its cookie from then on.
    `expires_at` is until when that counts. `label` is what the person calls it. `used_at` is when it was
    used last, give or take an hour. `issuer` is the OpenID provider's, where the person has logged in at one.
    """

    id: str
    person: str
    secret: str
    offered_by: str
    offered_at: Instant
    expires_at: Instant
    label: str = ""
    paired_at: Instant = 0
    used_at: Instant = 0
    issuer: str = ""
