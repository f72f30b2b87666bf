"""The strict parser: what two readers could read in two ways is refused, everything else survives."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopward_mcp.jsonrpc import INVALID_REQUEST, PARSE_ERROR, MessageError, Parser, dump

CLIENT = Parser(max_bytes=10_000, max_depth=16, every_key=True)
SERVER = Parser(max_bytes=10_000, max_depth=16, every_key=False)


def refused(raw: bytes, parser: Parser = CLIENT) -> MessageError:
    with pytest.raises(MessageError) as caught:
        parser.parse(raw)
    return caught.value


def call(params: str = "{}", message_id: str = "1") -> bytes:
    return f'{{"jsonrpc":"2.0","id":{message_id},"method":"tools/call","params":{params}}}'.encode()


def test_a_request_keeps_every_field_it_came_with() -> None:
    raw = b'{"vendor":[1,{"x":null}],"jsonrpc":"2.0","id":"a","method":"m","params":{"name":"n","new":1.5}}'
    message = CLIENT.parse(raw)
    assert (message.kind, message.id, message.method) == ("request", "a", "m")
    assert dump(message.body) == raw


def test_whole_and_large_numbers_are_written_as_they_were_read() -> None:
    raw = call('{"a":12345678901234567890123,"b":0.1,"c":-5,"d":1.0}')
    assert dump(CLIENT.parse(raw).body) == raw


@pytest.mark.parametrize(
    "params",
    [
        '{"name":"a","name":"b"}',
        '{"arguments":{"x":{"y":1,"y":2}}}',
        '{"arguments":[{"y":1,"\\u0079":2}]}',
    ],
)
def test_a_duplicate_key_is_refused_at_every_depth(params: str) -> None:
    for parser in (CLIENT, SERVER):
        fault = refused(call(params), parser)
        assert (fault.code, fault.reason, fault.id) == (INVALID_REQUEST, "duplicate_key", 1)


@pytest.mark.parametrize(
    "params",
    [
        '{"name":"a","Name":"b"}',
        '{"arguments":{"x":{"key":1,"KEY":2}}}',
        '{"arguments":{"stra\\u00dfe":1,"STRASSE":2}}',
        '{"arguments":{"k":1,"\\u212a":2}}',
        '{"Arguments":{}}',
        '{"nAmE":"a"}',
        '{"_META":{}}',
        '{"URI":"x"}',
        '{"notifications":{"ResourceSubscriptions":["secret://1"]}}',
        '{"notifications":{"resourcesubscriptions":["secret://1"],"toolsListChanged":true}}',
        '{"ref":{"type":"ref/prompt","name":"a","URI":"b"}}',
        '{"ref":{"TYPE":"ref/prompt","name":"a"}}',
    ],
)
def test_keys_of_a_client_that_differ_only_in_case_are_refused(params: str) -> None:
    fault = refused(call(params))
    assert (fault.code, fault.reason, fault.id) == (INVALID_REQUEST, "case_variant_key", 1)


def test_keys_in_a_servers_result_may_differ_in_case_because_results_are_data() -> None:
    raw = b'{"jsonrpc":"2.0","id":1,"result":{"name":1,"Name":2}}'
    assert dump(SERVER.parse(raw).body) == raw


@pytest.mark.parametrize(
    "key", ["Tools", "_Meta", "INPUTREQUESTS", "resourcetemplates", "iserror", "Prompts"]
)
def test_a_key_of_a_result_that_means_something_here_is_spelled_in_one_way(key: str) -> None:
    fault = refused(f'{{"jsonrpc":"2.0","id":1,"result":{{"{key}":[]}}}}'.encode(), SERVER)
    assert (fault.reason, fault.id) == ("case_variant_key", 1)


def test_params_of_a_servers_message_are_spelled_in_one_way_too() -> None:
    raw = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"_META":{}}}'
    assert refused(raw, SERVER).reason == "case_variant_key"


@pytest.mark.parametrize("key", ["Method", "PARAMS", "jsonRPC", "Id", "Result"])
def test_an_envelope_key_in_the_wrong_case_is_refused_in_both_directions(key: str) -> None:
    raw = f'{{"jsonrpc":"2.0","id":1,"method":"ping","{key}":{{}}}}'.encode()
    for parser in (CLIENT, SERVER):
        assert refused(raw, parser).code == INVALID_REQUEST


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" * 5000])
def test_a_number_that_is_not_finite_or_not_readable_is_refused(number: str) -> None:
    assert refused(call(f'{{"arguments":{{"x":{number}}}}}')).reason == "number"


@pytest.mark.parametrize("text", ['"\\ud800"', '{"\\udfff":1}', '"\\ud800\\ud800"'])
def test_a_lone_surrogate_is_refused_wherever_it_stands(text: str) -> None:
    fault = refused(call(f'{{"arguments":{{"x":{text}}}}}'))
    assert (fault.code, fault.reason) == (PARSE_ERROR, "lone_surrogate")


def test_a_surrogate_pair_is_one_character_and_passes() -> None:
    message = CLIENT.parse(call('{"arguments":{"x":"\\ud83d\\ude00"}}'))
    assert message.params["arguments"]["x"] == "\U0001f600"


@pytest.mark.parametrize("raw", [b"\xff", b'{"a":"\xc3\x28"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xc0\xaf"}'])
def test_bytes_that_are_not_utf8_are_refused(raw: bytes) -> None:
    assert refused(raw).reason == "not_utf8"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"{}}", b"nonsense", b"\xef\xbb\xbf{}", b'{"a":"\n"}', b"{'a':1}"]
)
def test_what_is_not_json_is_a_parse_error(raw: bytes) -> None:
    assert refused(raw).code == PARSE_ERROR


@pytest.mark.parametrize("raw", [b"1", b'"x"', b"null", b"true"])
def test_a_message_that_is_no_object_is_refused(raw: bytes) -> None:
    assert refused(raw).reason == "not_an_object"


def test_a_batch_is_refused_even_with_one_good_message() -> None:
    assert refused(b"[" + call() + b"]").reason == "batch"


def test_nesting_is_allowed_up_to_the_limit_and_no_further() -> None:
    # The envelope, params, arguments: three levels above the lists.
    for depth in (13, 14):
        raw = call('{"arguments":{"x":' + "[" * depth + "]" * depth + "}}")
        if depth == 13:
            assert CLIENT.parse(raw).id == 1
        else:
            assert refused(raw).reason == "too_deep"


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_nesting_that_would_exhaust_the_parser_is_refused(bracket: str) -> None:
    generous = Parser(max_bytes=10_000_000, max_depth=16, every_key=True)
    assert refused(bracket.encode() * 100_000, generous).reason == "too_deep"


def test_a_message_over_the_size_limit_is_refused_before_it_is_read() -> None:
    assert refused(b"x" * 10_001).reason == "too_large"


@pytest.mark.parametrize("message_id", ["1.5", "1.0", "true", "null", "{}", "[1]", "1e2"])
def test_an_id_that_is_neither_string_nor_integer_is_refused(message_id: str) -> None:
    fault = refused(call(message_id=message_id))
    assert (fault.code, fault.reason, fault.id) == (INVALID_REQUEST, "id", None)


def test_an_error_answers_no_id_where_two_ids_were_given() -> None:
    assert refused(b'{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}').id is None
    assert refused(b'{"jsonrpc":"2.0","id":1,"ID":2,"method":"m"}').id is None


@pytest.mark.parametrize("version", ['"1.0"', "2.0", "null", '"2.0 "'])
def test_only_json_rpc_two_is_spoken(version: str) -> None:
    raw = f'{{"jsonrpc":{version},"id":1,"method":"m"}}'.encode()
    assert refused(raw).reason == "version"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"jsonrpc":"2.0","id":1,"method":5}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":null}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":1}}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","result":{}}',
        b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}',
        b'{"jsonrpc":"2.0","id":1,"result":1}',
        b'{"jsonrpc":"2.0","id":1,"error":"x"}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","result":{}}',
    ],
)
def test_a_message_of_the_wrong_shape_is_refused(raw: bytes) -> None:
    for parser in (CLIENT, SERVER):
        assert refused(raw, parser).code in (INVALID_REQUEST, -32602)


def test_an_error_may_answer_a_message_whose_id_was_unreadable() -> None:
    message = SERVER.parse(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}')
    assert (message.kind, message.id) == ("response", None)


def test_one_bad_message_leaves_no_trace_in_the_next() -> None:
    refused(call('{"name":"a","name":"b"}'))
    assert CLIENT.parse(call('{"name":"a"}')).params == {"name": "a"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.text(), values, max_size=4))
def test_what_passes_is_written_so_that_any_reader_reads_the_same(params: dict[str, object]) -> None:
    raw = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", "params": params}).encode()
    try:
        message = CLIENT.parse(raw)
    except MessageError:
        return
    assert json.loads(dump(message.body)) == json.loads(raw)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0123eE.-\\untrfalse ', max_size=40).map(str.encode))
def test_no_bytes_make_the_parser_fail_otherwise_than_by_refusing(raw: bytes) -> None:
    for parser in (CLIENT, SERVER):
        with suppress(MessageError):
            parser.parse(raw)
