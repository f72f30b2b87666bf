"""A collector of OTLP/HTTP over a real socket, which keeps every span it is sent."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SERVER = Span.SpanKind.SPAN_KIND_SERVER
CLIENT = Span.SpanKind.SPAN_KIND_CLIENT


@dataclass(frozen=True)
class Seen:
    """A span as it arrived. Ids are in hexadecimal digits."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    links: list[str]
    attributes: dict[str, Any]
    failed: bool
    told: str
    events: dict[str, dict[str, Any]]

    def is_parent(self, context: object) -> bool:
        """Whether a `traceparent` names this span, as one that is sampled (01; 03 says a random trace id)."""
        return context in (f"00-{self.trace}-{self.id}-01", f"00-{self.trace}-{self.id}-03")


@dataclass
class Collector:
    """`url` is its base; `spans` is everything so far, in the order it came, `bodies` the raw requests."""

    url: str
    spans: list[Seen] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        self.bodies.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            self.resources.append(_attributes(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans.extend(map(_seen, scope.spans))

    def pairs(self) -> list[tuple[Seen, Seen | None]]:
        """Each call's span, in the order they ended, and that of its way to the server."""
        below = {span.parent: span for span in self.spans if span.kind == CLIENT}
        return [(span, below.get(span.id)) for span in self.spans if span.kind == SERVER]


@contextmanager
def collecting() -> Generator[Collector]:
    """A running collector."""

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        yield collector
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def _seen(span: Span) -> Seen:
    return Seen(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        [link.span_id.hex() for link in span.links],
        _attributes(span.attributes),
        span.status.code == Status.StatusCode.STATUS_CODE_ERROR,
        span.status.message,
        {event.name: _attributes(event.attributes) for event in span.events},
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")
