"""Lines of bounded length: an over-long line costs that line and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from hopward_mcp.lines import Lines, Overlong


def test_lines_are_cut_wherever_the_reads_fall() -> None:
    lines = Lines(100)
    assert lines.feed(b"one\ntw") == [b"one"]
    assert lines.feed(b"o") == []
    assert lines.feed(b"\r\n\n  \nthree\n") == [b"two\r", b"three"]


def test_an_overlong_line_is_told_once_and_the_next_line_is_whole() -> None:
    lines = Lines(10)
    assert lines.feed(b"x" * 8) == []
    assert lines.feed(b"x" * 8) == [Overlong(b"x" * 16)]
    assert lines.feed(b"x" * 1000) == []
    assert lines.feed(b"xx\nnext\n") == [b"next"]


def test_an_overlong_line_in_one_read_is_told_too() -> None:
    assert Lines(4).feed(b"12345\n123\n") == [Overlong(b"12345"), b"123"]


def test_a_last_line_without_newline_counts() -> None:
    lines = Lines(100)
    lines.feed(b"whole\npart")
    assert lines.end() == [b"part"]
    assert lines.end() == []


@given(st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=20))
def test_how_the_stream_is_cut_into_reads_changes_nothing(stream: bytes, cuts: list[int]) -> None:
    whole = Lines(1000).feed(stream + b"\n")
    pieces, lines, rest = [], Lines(1000), stream + b"\n"
    for cut in cuts:
        pieces += lines.feed(rest[:cut])
        rest = rest[cut:]
    pieces += lines.feed(rest)
    assert pieces == whole
