"""What one worker may have at once: its share of what all of them may."""

import msgspec

from hopward import Settings


def share_of(settings: Settings) -> Settings:
    """The settings of one worker: limits that count processes, connections and requests are shared out."""
    proxy = settings.proxy
    count = proxy.workers
    own = msgspec.structs.replace(
        proxy,
        max_processes=proxy.max_processes // count,
        max_connections=proxy.max_connections // count,
        max_requests=proxy.max_requests // count,
        max_requests_per_caller=proxy.max_requests_per_caller // count,
    )
    return msgspec.structs.replace(settings, proxy=own)
