"""Guarded calls as spans, at a collector over a real socket; and that nothing is there without one."""

import asyncio
import json
import signal
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hopward_mcp.tracing import Tracing

from .collecting import Collector, Seen, collecting
from .fronting import Fronted, front, modern_call
from .installation import http_server, install, opened, rows, started, stdio_server
from .operating import operated
from .piping import INITIALIZE, Client
from .processes import process_server
from .recording_http import RecordingServer
from .stepping import FORM, GROUPS, PAGE, held

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{CALLER}-01"
UNSAMPLED = f"00-{TRACE}-{CALLER}-00"
MODERN = "2026-07-28"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


def telemetry(collector: Collector) -> str:
    return f'\n[telemetry]\nendpoint = "{collector.url}"\nservice_name = "desk-proxy"\n'


class Session:
    """A client of `hopward mcp run`, whose spans arrive when it has ended."""

    def __init__(self, folder: Path, settings: str, **changes: str) -> None:
        self.client = Client(folder, settings=settings, **changes)
        self.client.ask(INITIALIZE)

    def call(self, name: str, meta: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
        params: dict[str, Any] = {"name": name, "arguments": arguments}
        if meta is not None:
            params["_meta"] = meta
        return self.client.ask({"id": "mine", "method": "tools/call", "params": params})

    def end(self) -> str:
        status, _, err = self.client.end()
        assert status == 0
        return err

    def metas(self) -> list[dict[str, Any]]:
        """The `_meta` of the calls the server has received, without the credential."""
        calls = [sent["params"] for sent in self.client.received() if sent["method"] == "tools/call"]
        return [
            {key: value for key, value in call.get("_meta", {}).items() if "credential" not in key}
            for call in calls
        ]


@pytest.fixture
def session(tmp_path: Path, collector: Collector) -> Iterator[Session]:
    running = Session(tmp_path, stdio_server(tmp_path / "record") + telemetry(collector))
    yield running
    if running.client.process.poll() is None:
        running.client.process.kill()
    running.client.process.communicate()


def test_the_spans_of_caller_proxy_and_server_nest(session: Session, collector: Collector) -> None:
    session.call("echo", {"traceparent": PARENT, "tracestate": "vendor=x", "baggage": "user=1"}, x=1)
    session.end()
    ((call, onward),) = collector.pairs()
    assert onward is not None
    assert (call.trace, call.parent) == (TRACE, CALLER)
    assert (onward.trace, onward.parent) == (TRACE, call.id)
    (meta,) = session.metas()
    assert onward.is_parent(meta.pop("traceparent"))
    assert meta == {"tracestate": "vendor=x", "baggage": "user=1"}


def test_a_call_is_described_as_the_conventions_say(session: Session, collector: Collector) -> None:
    session.call("echo")
    session.end()
    ((call, onward),) = collector.pairs()
    assert onward is not None
    assert (call.name, onward.name, call.parent) == ("tools/call echo", "tools/call echo", "")
    common = {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": "2025-11-25",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "echo",
        "network.transport": "pipe",
        "hopward.server": "desk",
    }
    with opened(session.client.config) as guard:
        (decision,) = rows(guard, "decision")
    assert call.attributes == {
        **common,
        "jsonrpc.request.id": "mine",
        "hopward.decision_id": decision.decision,
        "hopward.verdict": "permit",
        "hopward.reason": "permitted",
        "hopward.observed": False,
        "hopward.task_id": decision.task,
    }
    assert onward.attributes == {**common, "jsonrpc.request.id": "2"}
    assert [call.failed, onward.failed] == [False, False]
    assert collector.resources[0]["service.name"] == "desk-proxy"


@pytest.mark.parametrize("answer", ["cancel", "accept", "none"])
def test_a_call_that_waits_for_a_person_is_one_span_that_says_since_when(
    tmp_path: Path, collector: Collector, answer: str
) -> None:
    held(tmp_path, "refund")
    groups = GROUPS.replace(f'page = "{PAGE}"\n', "")
    client = Client(tmp_path, settings=stdio_server(tmp_path / "record") + groups + telemetry(collector))
    client.ask({**INITIALIZE, "params": {**INITIALIZE["params"], "capabilities": FORM}})
    asked = client.call("refund", {"amount": 5}, "mine")
    if answer == "none":
        client.send({"method": "notifications/cancelled", "params": {"requestId": "mine"}})
    else:
        client.ask({"id": asked["id"], "result": {"action": answer, "content": {"approve": "yes"}}})
    client.end()
    ((call, onward),) = collector.pairs()
    with opened(client.config) as guard:
        (approval,) = guard.approvals.find(())
    assert call.events == {"hopward.waits": {"hopward.approval_id": approval.id}}
    assert call.failed == (answer != "accept")
    assert (onward is None) == call.failed
    ended = {"accept": "permit", "cancel": "step-up", "none": None}[answer]
    assert call.attributes.get("hopward.verdict") == ended


def test_a_refused_call_is_a_span_with_its_reason_and_goes_nowhere(
    session: Session, collector: Collector
) -> None:
    session.call("refund", amount=100)
    session.call("nothing like a tool name")
    session.end()
    (refused, none), (malformed, nowhere) = collector.pairs()
    assert (none, nowhere) == (None, None)
    assert refused.attributes["hopward.verdict"] == "deny"
    assert refused.attributes["error.type"] == refused.attributes["hopward.reason"] == "outside_task"
    assert refused.failed
    assert refused.told
    assert (malformed.name, malformed.attributes["error.type"]) == ("tools/call", "name")
    assert "gen_ai.tool.name" not in malformed.attributes


@pytest.mark.parametrize(
    ("tool", "kind"), [("fail", "tool_error"), ("broken", "-32050"), ("flood", "answer_too_large")]
)
def test_how_a_call_has_failed_is_on_both_its_spans(
    tmp_path: Path, collector: Collector, tool: str, kind: str
) -> None:
    settings = stdio_server(tmp_path / "record") + telemetry(collector)
    session = Session(tmp_path, settings, proxy="max_message_bytes = 200000")
    session.call(tool)
    session.end()
    ((call, onward),) = collector.pairs()
    assert onward is not None
    assert [span.attributes["error.type"] for span in (call, onward)] == [kind, kind]
    assert call.failed
    code = kind if kind.startswith("-") else None
    assert call.attributes.get("rpc.response.status_code") == code


def test_a_call_that_is_lost_or_given_up_has_a_span_that_says_so(
    session: Session, collector: Collector
) -> None:
    client = session.client
    client.send({"id": 7, "method": "tools/call", "params": {"name": "slow"}})
    session.call("echo")
    client.send({"method": "notifications/cancelled", "params": {"requestId": 7}})
    session.call("die")
    while client.read()["method"] != "notifications/tools/list_changed":
        pass
    session.end()
    kinds = [call.attributes.get("error.type") for call, _ in collector.pairs()]
    assert kinds == [None, "cancelled", "server_lost"]


@pytest.mark.parametrize(
    "given",
    [
        {"traceparent": "garbage"},
        {"traceparent": 7},
        {"traceparent": f"00-{'0' * 32}-{CALLER}-01"},
        {"traceparent": "ff" + PARENT[2:], "tracestate": ["x"]},
        {"traceparent": PARENT + "\r\nx: y"},
        {"tracestate": "vendor=x"},
    ],
)
def test_a_malformed_context_is_replaced_and_no_error(
    session: Session, collector: Collector, given: dict[str, Any]
) -> None:
    assert "result" in session.call("echo", {**given, "other": 1})
    session.end()
    ((call, onward),) = collector.pairs()
    assert onward is not None
    assert (call.parent, call.trace == TRACE) == ("", False)
    (meta,) = session.metas()
    assert onward.is_parent(meta.pop("traceparent"))
    assert meta == {"other": 1}


def test_a_caller_that_does_not_sample_is_not_sampled(session: Session, collector: Collector) -> None:
    session.call("echo", {"traceparent": UNSAMPLED})
    session.call("echo", {"traceparent": PARENT})
    session.end()
    assert len(collector.pairs()) == 1
    shown = session.metas()[0]["traceparent"]
    assert shown.startswith(f"00-{TRACE}-")
    assert shown.endswith("-00")


def test_no_argument_result_subject_or_token_is_in_what_is_exported(
    session: Session, collector: Collector
) -> None:
    session.call("echo", secret="hush-hush")
    session.call("refund", amount=987_654)
    session.end()
    exported = b"".join(collector.bodies)
    assert b"tools/call echo" in exported
    token = json.loads(session.client.record.read_bytes().splitlines()[-1])
    credential = token["params"]["_meta"]["dev.hopward/credential"]
    for kept in (b"hush-hush", b"987654", b"local:", credential.encode()):
        assert kept not in exported


def test_without_telemetry_nothing_is_loaded_and_meta_stays_as_it_is(tmp_path: Path) -> None:
    session = Session(tmp_path, stdio_server(tmp_path / "record"), PYTHONPROFILEIMPORTTIME="1")
    given = {"traceparent": PARENT, "tracestate": "a=b", "baggage": "user=1"}
    session.call("echo", given)
    session.call("echo", {"traceparent": "garbage"})
    session.call("echo")
    loaded = session.end()
    assert "hopward_mcp.stdio" in loaded
    assert "opentelemetry" not in loaded
    assert session.metas() == [given, {"traceparent": "garbage"}, {}]


def test_a_collector_that_is_not_there_delays_nothing_and_is_told_once(tmp_path: Path) -> None:
    missing = '\n[telemetry]\nendpoint = "http://127.0.0.1:9"\n'
    session = Session(tmp_path, stdio_server(tmp_path / "record") + missing, OTEL_BSP_SCHEDULE_DELAY="10")
    for _ in range(20):
        assert "result" in session.call("echo")
    err = session.end()
    assert "40 of 40 spans have not been exported" in err
    assert err.count("spans cannot be exported to http://127.0.0.1:9") <= 1
    assert "Traceback" not in err


def test_what_a_full_queue_drops_is_counted(tmp_path: Path, collector: Collector) -> None:
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}
    settings = stdio_server(tmp_path / "record") + telemetry(collector)
    session = Session(tmp_path, settings, OTEL_BSP_SCHEDULE_DELAY="600000", **small)
    call = {"method": "tools/call", "params": {"name": "echo"}}
    lines = [json.dumps({"jsonrpc": "2.0", "id": number, **call}) for number in range(200)]
    session.client.send("\n".join(lines).encode())
    for _ in lines:
        session.client.read()
    err = session.end()
    lost = 400 - len(collector.spans)
    assert lost >= 0
    assert (f"{lost} of 400 spans have not been exported" in err) == (lost > 0)


# Over HTTP.


@asynccontextmanager
async def traced(folder: Path, collector: Collector, more: str = "") -> AsyncGenerator[Fronted]:
    """A front whose spans have arrived at the collector when it has ended."""
    async with front(folder, ("desk",), more=more + telemetry(collector)) as fronted:
        yield fronted
        tracing: Tracing = fronted.app._endpoints["/desk/mcp"].gate.tracing  # type: ignore[attr-defined]
        await asyncio.to_thread(tracing.close)


def sent(server: RecordingServer) -> tuple[dict[str, Any], str | None]:
    """`_meta` and the header of the last call a server has received."""
    received = server.calls[-1]
    return received.message["params"].get("_meta", {}), received.header("traceparent")


async def test_over_http_the_header_and_meta_agree_on_the_proxys_span(
    tmp_path: Path, collector: Collector
) -> None:
    async with traced(tmp_path, collector) as fronted:
        message, headers = modern_call("echo")
        token = fronted.token()
        await fronted.post(token, message, {**headers, "traceparent": PARENT, "baggage": "user=1"})
        meta, header = sent(fronted.servers["desk"])
        assert fronted.servers["desk"].calls[-1].header("baggage") == "user=1"
        assert meta["traceparent"] == header
    ((call, onward),) = collector.pairs()
    assert onward is not None
    assert (call.trace, call.parent) == (TRACE, CALLER)
    assert onward.is_parent(header)
    assert call.attributes["network.transport"] == "tcp"
    assert call.attributes["mcp.protocol.version"] == MODERN
    assert onward.attributes["server.address"] == "127.0.0.1"


async def test_meta_goes_before_the_header_and_the_headers_span_is_linked(
    tmp_path: Path, collector: Collector
) -> None:
    other = "00-11111111111111111111111111111111-2222222222222222-01"
    async with traced(tmp_path, collector) as fronted:
        message, headers = modern_call("echo")
        message["params"]["_meta"]["traceparent"] = PARENT
        await fronted.post(fronted.token(), message, {**headers, "traceparent": other})
    ((call, _),) = collector.pairs()
    assert (call.parent, call.links) == (CALLER, ["2222222222222222"])


async def test_a_session_of_the_older_era_over_http_is_named(tmp_path: Path, collector: Collector) -> None:
    async with traced(tmp_path, collector) as fronted:
        token = fronted.token()
        session = {"Mcp-Session-Id": await fronted.initialize(token)}
        call: dict[str, Any] = {"id": 5, "method": "tools/call", "params": {"name": "echo"}}
        await fronted.post(token, call, session)
        call["params"]["name"] = "hidden"
        await fronted.post(token, call, session)
    (permitted, onward), (refused, none) = collector.pairs()
    for span in (permitted, refused):
        assert span.attributes["mcp.session.id"] == session["Mcp-Session-Id"]
        assert span.attributes["mcp.protocol.version"] == "2025-11-25"
    assert onward is not None
    assert none is None
    assert refused.failed


async def test_a_process_behind_http_and_a_server_over_http_behind_stdio_are_traced_too(
    tmp_path: Path, collector: Collector
) -> None:
    (tmp_path / "front").mkdir()
    (tmp_path / "run").mkdir()
    record = tmp_path / "record"
    async with traced(tmp_path / "front", collector, process_server(record, name="tool")) as fronted:
        message, headers = modern_call("echo")
        answered = await fronted.post(fronted.token("tool"), message, headers, "tool")
        assert answered.message["result"]
    received = [json.loads(line)["message"] for line in record.read_bytes().splitlines()]
    ((_, onward),) = collector.pairs()
    assert onward is not None
    assert onward.is_parent(received[-1]["params"]["_meta"]["traceparent"])
    collector.spans.clear()
    async with RecordingServer() as server:
        settings = http_server(server.url) + telemetry(collector)
        session = await asyncio.to_thread(Session, tmp_path / "run", settings)
        await asyncio.to_thread(session.call, "echo", {"traceparent": PARENT})
        await asyncio.to_thread(session.end)
        meta, header = sent(server)
    ((call, onward),) = collector.pairs()
    assert onward is not None
    assert (call.parent, meta["traceparent"]) == (CALLER, header)
    assert onward.is_parent(header)


def test_what_is_read_or_prompted_is_a_span_of_its_own_name(session: Session, collector: Collector) -> None:
    ask = session.client.ask
    ask({"id": 1, "method": "resources/read", "params": {"uri": "ticket://1"}})
    ask({"id": 2, "method": "prompts/get", "params": {"name": "summary"}})
    ask({"id": 3, "method": "tools/list"})
    session.end()
    seen: list[Seen] = [call for call, _ in collector.pairs()]
    assert [span.name for span in seen] == ["resources/read", "prompts/get summary"]
    assert seen[0].attributes["mcp.resource.uri"] == "ticket://1"
    assert all("gen_ai.operation.name" not in span.attributes for span in seen)


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_workers_of_serve_send_their_spans_by_the_time_they_have_ended(
    collector: Collector, workers: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="h") as name:
        limits = f"workers = {workers}"
        async with operated(Path(name), limits, telemetry(collector), TMPDIR=name) as serve:
            if workers > 1:
                await serve.until_said(f"{workers} workers serve")
            token = serve.front.token()
            for _ in range(4):
                assert (await serve.front.call(token, "echo")).message["result"]
            serve.change(collector.url, "http://127.0.0.1:9")
            serve.tell(signal.SIGHUP)
            await serve.until_said("telemetry")
            serve.tell(signal.SIGTERM)
            assert await serve.over() == 0
    assert len(collector.pairs()) == 4


async def test_without_the_packages_of_telemetry_nothing_starts_that_is_to_trace(
    tmp_path: Path, collector: Collector
) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").touch()
    config = install(tmp_path, stdio_server(tmp_path / "record") + telemetry(collector))
    for words in (["mcp", "run", "desk"], ["mcp", "serve"]):
        process = started(config, *words, PYTHONPATH=str(tmp_path))
        _, err = await asyncio.to_thread(process.communicate, timeout=30)
        assert process.returncode == 2
        assert "[telemetry] needs the OpenTelemetry packages, which are not installed." in err.decode()
        assert "hopward-mcp[otel]" in err.decode()
        assert "Traceback" not in err.decode()
