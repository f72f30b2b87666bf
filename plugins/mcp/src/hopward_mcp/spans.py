"""Guarded calls as OpenTelemetry spans, sent over OTLP/HTTP in the background.

Names and attributes follow the semantic conventions for MCP and GenAI (Development, as of 2026-10); what is
Hopward's own begins with `hopward.`. No arguments, results, subjects, tokens or texts of the other side.

A caller's trace context is taken from `_meta`, else from its HTTP headers (where both differ, the latter's
span is linked); a malformed one counts as none. Exporting never delays a call: when the queue is full, or the
collector does not answer, spans are dropped, and counted when the process ends.
"""

import logging
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version as installed
from typing import Any
from urllib.parse import urlsplit

import requests
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hopward import ConfigError, Decision, Outcome, Settings
from hopward_mcp.headers import SESSION
from hopward_mcp.jsonrpc import Message
from hopward_mcp.methods import VERSION_KEY, is_name, is_uri
from hopward_mcp.tracing import CONTEXT

_log = logging.getLogger(__name__)

_FLUSH = 3.0
"""Seconds the last spans have to reach the collector."""
_LONGEST_ID = 128
_RPC = "json-rpc "
_W3C = TraceContextTextMapPropagator()


class Spans:
    """Makes the spans of one process and sends them on."""

    def __init__(self, settings: Settings) -> None:
        telemetry = settings.telemetry
        if telemetry is None:
            raise ConfigError("There is no [telemetry] in hopward.toml.")
        # What it has to say of a collector that is gone, `_Counted` says once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = _Counted(telemetry.endpoint)
        about = {"service.name": telemetry.service_name, "service.version": installed("hopward-mcp")}
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("hopward-mcp", installed("hopward-mcp"))
        self._headers: Mapping[str, str] | None = None

    def begin(self, server: str, url: str, message: Message, version: str) -> "CallTrace":
        """Begin the span of a call that has arrived for a server."""
        parent = _extracted(message.params.get("_meta", {}))
        around = _extracted(self._headers or {})
        links: list[Link] = []
        if parent is None:
            parent = around
        elif around is not None and _span_context(around) != _span_context(parent):
            links.append(Link(_span_context(around)))
        meta: dict[str, Any] = message.params.get("_meta", {})
        said = meta.get(VERSION_KEY, version)
        attributes = {**_asked(message), "hopward.server": server}
        if isinstance(said, str) and said:
            attributes["mcp.protocol.version"] = said[:_LONGEST_ID]
        span = self._tracer.start_span(
            _name(attributes),
            context=parent if parent is not None else Context(),
            kind=SpanKind.SERVER,
            links=links,
            attributes={
                **attributes,
                "jsonrpc.request.id": str(message.id)[:_LONGEST_ID],
                **_from(self._headers),
            },
        )
        return CallTrace(self, span, attributes, _to(url))

    @contextmanager
    def ambient(self, headers: Mapping[str, str]) -> Generator[None]:
        """What begins inside came over HTTP with these headers."""
        self._headers = headers
        try:
            yield
        finally:
            self._headers = None

    def child(self, span: Span, attributes: Mapping[str, str | int]) -> Span:
        """The span of the way to the server."""
        return self._tracer.start_span(
            _name(attributes),
            context=trace.set_span_in_context(span, Context()),
            kind=SpanKind.CLIENT,
            attributes=attributes,
        )

    def end(self, span: Span) -> None:
        """End a span, once."""
        if span.is_recording():
            self._exporter.made += 1
            span.end()

    def close(self) -> None:
        """Send what is left, for a bounded time, and say how much was not."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_FLUSH)
        lost = self._exporter.made - self._exporter.sent
        if lost:
            _log.warning("hopward: %d of %d spans have not been exported", lost, self._exporter.made)


class CallTrace:
    """The spans of one call: since it has arrived, and on its way to the server."""

    def __init__(
        self, spans: Spans, span: Span, asked: Mapping[str, str], server: Mapping[str, str | int]
    ) -> None:
        self._spans = spans
        self._span = span
        self._asked = asked
        self._server = server
        self._onward: Span | None = None

    def decided(self, decision: Decision | None) -> None:
        """Note the decision; anything but a permit is the end."""
        if decision is None:
            self._fail("undecided", {})
            return
        verdict, chain = decision.verdict, decision.chain
        self._span.set_attributes(
            {
                "hopward.decision_id": decision.id,
                "hopward.verdict": verdict.name,
                "hopward.reason": verdict.reason,
                "hopward.observed": decision.observed,
                "hopward.task_id": chain.task,
            }
        )
        if not decision.permitted:
            self._fail(verdict.reason, {}, verdict.sentence)

    def waits(self, approval: str) -> None:
        """Note since when a person is waited for."""
        self._span.add_event("hopward.waits", {"hopward.approval_id": approval})

    def forwarded(self, key: int) -> Mapping[str, str]:
        """Begin the span of the way to the server; its context, for the server."""
        attributes = {**self._asked, **self._server, "jsonrpc.request.id": str(key)}
        self._onward = self._spans.child(self._span, attributes)
        context: dict[str, str] = {}
        _W3C.inject(context, trace.set_span_in_context(self._onward, Context()))
        return context

    def refused(self, reason: str) -> None:
        """It ends without a decision."""
        self._span.set_attribute("hopward.reason", reason)
        self._fail(reason, {})

    def ended(self, outcome: Outcome) -> None:
        """It has this outcome."""
        if outcome.status == "ok" or outcome.error == "mcp_task_made":
            self._end()
        elif outcome.error.startswith(_RPC):
            code = outcome.error.removeprefix(_RPC)
            self._fail(code, {"rpc.response.status_code": code})
        else:
            self._fail(outcome.error or outcome.status, {})

    def _fail(self, kind: str, more: Mapping[str, str], sentence: str | None = None) -> None:
        for span in (self._onward, self._span):
            if span is not None:
                span.set_attributes({"error.type": kind, **more})
                span.set_status(Status(StatusCode.ERROR, sentence))
        self._end()

    def _end(self) -> None:
        for span in (self._onward, self._span):
            if span is not None:
                self._spans.end(span)


class _Counted(SpanExporter):
    """Exports spans, and counts: `made` is how many there were, `sent` how many have arrived."""

    def __init__(self, endpoint: str) -> None:
        self.made = 0
        self.sent = 0
        self._endpoint = endpoint
        self._told = False
        session = requests.Session()
        # No proxy and no `.netrc` of whoever starts us.
        session.trust_env = False
        self._exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", session=session)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.sent += len(spans)
        elif not self._told:
            self._told = True
            _log.warning("hopward: spans cannot be exported to %s", self._endpoint)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _extracted(carrier: Mapping[str, Any]) -> Context | None:
    """The context in `_meta` or headers, None unless there is a well-formed one."""
    known = {key: carrier[key] for key in CONTEXT if isinstance(carrier.get(key), str)}
    if CONTEXT[0] not in known:
        return None
    context = _W3C.extract(known, Context())
    return context if _span_context(context).is_valid else None


def _span_context(context: Context) -> trace.SpanContext:
    return trace.get_current_span(context).get_span_context()


def _asked(message: Message) -> dict[str, str]:
    """What the conventions say of a request."""
    attributes = {"mcp.method.name": message.method}
    name: Any = message.params.get("name")
    uri: Any = message.params.get("uri")
    if message.method == "tools/call":
        attributes["gen_ai.operation.name"] = "execute_tool"
        if is_name(name):
            attributes["gen_ai.tool.name"] = name
    elif message.method == "prompts/get" and is_name(name):
        attributes["gen_ai.prompt.name"] = name
    elif is_uri(uri):
        attributes["mcp.resource.uri"] = uri
    return attributes


def _name(attributes: Mapping[str, object]) -> str:
    target = attributes.get("gen_ai.tool.name", attributes.get("gen_ai.prompt.name", ""))
    return f"{attributes['mcp.method.name']} {target}".rstrip()


def _from(headers: Mapping[str, str] | None) -> dict[str, str]:
    """How the caller has reached us."""
    if headers is None:
        return {"network.transport": "pipe"}
    session = {"mcp.session.id": headers[SESSION]} if SESSION in headers else {}
    return {"network.transport": "tcp", "network.protocol.name": "http", **session}


def _to(url: str) -> dict[str, str | int]:
    """How the server is reached; `url` is empty for one with a command."""
    if not url:
        return {"network.transport": "pipe"}
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {
        "network.transport": "tcp",
        "network.protocol.name": "http",
        "server.address": parts.hostname or "",
        "server.port": port,
    }
