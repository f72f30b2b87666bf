"""Server-sent events: read whichever way they are cut, written with their ids."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopward_mcp.sse import KEEP_ALIVE, Event, Events, Place, StreamError, written

STREAM = (
    b": hello\n\n"
    b'event: message\r\nid: 7\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
    b"id: 8\ndata:\n\n"
    b"retry: 500\n\n"
    b"data:no space\n\n"
)
EVENTS = [
    Event(),
    Event(b'{"a":\n1}', "message", "7"),
    Event(b"", "", "8"),
    Event(None, "", None, "500"),
    Event(b"no space"),
]


def test_events_are_read_with_their_fields() -> None:
    assert list(Events(1000).feed(STREAM)) == EVENTS


@settings(max_examples=60)
@given(st.lists(st.integers(1, 30), max_size=20))
def test_how_the_stream_is_cut_changes_nothing_about_the_events(cuts: list[int]) -> None:
    events, rest, found = Events(1000), STREAM, []
    for cut in cuts:
        found += events.feed(rest[:cut])
        rest = rest[cut:]
    assert [*found, *events.feed(rest)] == EVENTS


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_an_event_is_complete_with_its_blank_line_however_lines_end(ending: bytes) -> None:
    events = Events(1000)
    assert list(events.feed(b"id: 1" + ending + b"data: a" + ending)) == []
    found = list(events.feed(ending))
    assert found == [Event(b"a", "", "1")]
    assert list(events.feed(b"data: b" + ending + ending)) == [Event(b"b")]


def test_a_line_feed_cut_from_its_carriage_return_ends_no_line() -> None:
    events = Events(1000)
    found = [
        event for piece in (b"data: a\r", b"\n", b"data: b\r", b"\n\r", b"\n") for event in events.feed(piece)
    ]
    assert found == [Event(b"a\nb")]


def test_an_event_over_the_limit_ends_the_stream() -> None:
    events = Events(100)
    assert list(events.feed(b"data: " + b"x" * 60)) == []
    with pytest.raises(StreamError):
        list(events.feed(b"x" * 60))


def test_many_small_events_are_no_large_event() -> None:
    events = Events(100)
    assert len([*events.feed(b"data: x\n\n" * 12), *events.feed(b"data: x\n\n" * 12)]) == 24


def test_fields_that_are_not_utf8_end_the_stream() -> None:
    with pytest.raises(StreamError):
        list(Events(100).feed(b"id: \xff\n\n"))


def test_the_place_in_a_stream_is_after_its_last_id_and_not_before_its_last_wait() -> None:
    place = Place()
    for event in Events(1000).feed(b"id: a\nretry: 2500\n\nid: b\ndata: x\n\ndata: y\n\nretry: soon\n\n"):
        place.note(event)
    assert (place.id, place.seconds) == ("b", 2.5)
    place.note(Event(id="", retry="0"))
    assert (place.id, place.seconds) == ("", 0.1)


def test_an_event_is_written_with_its_id_around_the_judged_data() -> None:
    event = Event(b"old", "message", "7", "10")
    assert written(event, b"new") == b"event: message\r\nid: 7\r\nretry: 10\r\ndata: new\r\n\r\n"
    assert written(Event(), None) == KEEP_ALIVE
    assert list(Events(1000).feed(written(event, b"new"))) == [Event(b"new", "message", "7", "10")]


@settings(max_examples=100)
@given(st.binary(max_size=80))
def test_no_bytes_make_the_reader_fail_otherwise_than_by_its_own_error(raw: bytes) -> None:
    with suppress(StreamError):
        list(Events(50).feed(raw))
