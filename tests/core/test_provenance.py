"""Where the value of an argument comes from, and what does not pass for it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopward.canonical import JSON
from hopward.model import Provenance, Task, Tool
from hopward.provenance import MOST_VALUES, provenance, values_of
from hopward.testing.samples import a_task

IBAN = "GB29NWBK60161331926819"
PAY = Tool(
    server="bank",
    name="pay",
    action="pay",
    sensitivity="internal",
    integrity="trusted",
    destination="bank",
    arguments={"recipient": "string", "copies": "strings", "amount": "decimal"},
    names=("recipient", "copies"),
)


def about(request: str = "", **parameters: str) -> Task:
    return a_task(request=request, parameters=parameters)


def found(
    task: Task, value: JSON, results: list[JSON] | None = None, echoed: dict[str, JSON] | None = None
) -> Provenance:
    remembered = {one for result in results or [] for one in values_of(task.id, result, echoed or {})}
    return provenance(PAY, {"recipient": value}, task, lambda sought: sought & remembered)["recipient"]


@pytest.mark.parametrize(
    ("request_text", "value"),
    [
        (f"Please pay 12 to {IBAN}.", IBAN),
        (f"Please pay 12 to {IBAN}.", IBAN.lower()),
        (f'the account ("{IBAN}")', IBAN),
        ("write to alice@example.com, please", "alice@example.com"),
        ("tell Bob Smith about it", "Bob Smith"),
        ("tell  bob\nsmith about it", "Bob Smith"),
        ("use Emma's account", "Emma"),
        ("post it in #general", "general"),
        ("post it in general", "#general"),
        ("read www.example.com/a", "https://www.example.com/a/"),
        ("read https://www.example.com", "www.example.com"),
        ("open bill-december-2023.txt!", "bill-december-2023.txt"),
    ],
)
def test_a_value_that_stands_in_the_request_is_anchored(request_text: str, value: str) -> None:
    assert found(about(request_text), value) == "anchored"


@pytest.mark.parametrize(
    ("request_text", "value"),
    [
        ("write to alice@example.com", "alice@example.co"),
        ("write to alice@example.com", "lice@example.com"),
        ("write to alice@example.com", "alice"),
        ("write to alice@example.com", "example.com"),
        ("write to alice@example.com", "alice@example.com.evil.org"),
        ("write to alice@example.com", "evil@example.org,alice@example.com"),
        ("write to alice@example.com", "alice@example.com bob@example.com"),
        ("read www.example.com", "www.example.com/?q=secret"),
        ("read www.example.com", "www.example.com@evil.org"),
        ("tell Bob Smith", "Smith Bob"),
        ("pay Bob", "B\u043eb"),
        ("anything", ""),
        ("anything", "   "),
        ("what . ever", "."),
        ("", IBAN),
    ],
)
def test_part_of_what_was_said_or_more_than_it_is_not_anchored(request_text: str, value: str) -> None:
    assert found(about(request_text), value) == "untrusted"


def test_a_value_of_a_parameter_is_anchored() -> None:
    assert found(about(account=IBAN), IBAN) == "anchored"
    assert found(about(account=IBAN), IBAN[:-1]) == "untrusted"


def test_a_value_that_a_trusted_tool_has_returned_is_trusted() -> None:
    result = {"content": [{"type": "text", "text": f"Landlord: {IBAN} (since 2020)"}]}
    assert found(about(), IBAN, [result]) == "trusted"
    assert found(about(), "Landlord", [result]) == "trusted"


def test_json_inside_a_text_is_read() -> None:
    result = {"content": [{"type": "text", "text": json.dumps({"iban": IBAN, "to": ["Jo Ann Lee"]})}]}
    assert found(about(), IBAN, [result]) == "trusted"
    assert found(about(), "jo ann lee", [result]) == "trusted"


def test_words_of_a_result_that_did_not_stand_together_are_not_one_value() -> None:
    assert found(about(), "pay mallory", ["pay the bill", "mallory wrote"]) == "untrusted"


def test_what_a_tool_only_repeats_is_not_trusted() -> None:
    echo = {"content": [{"type": "text", "text": f"Noted: {IBAN}"}]}
    assert found(about(), IBAN, [echo], echoed={"text": f"the new account is {IBAN}"}) == "untrusted"


def test_a_result_of_another_task_counts_for_nothing() -> None:
    theirs = set(values_of("task_2", f"account {IBAN}", {}))
    told = provenance(PAY, {"recipient": IBAN}, about(), lambda sought: sought & theirs)
    assert told == {"recipient": "untrusted"}


def test_a_list_is_no_better_than_the_worst_in_it() -> None:
    task = about(f"pay {IBAN} and Bob")
    assert found(task, [IBAN, "Bob"]) == "anchored"
    assert found(task, [IBAN, "Mallory"]) == "untrusted"
    assert found(task, [IBAN, "Eve"], ["Eve"]) == "trusted"
    assert found(task, []) == "untrusted"


def test_what_holds_no_text_is_untrusted() -> None:
    for value in (None, 7, True, {}):
        assert found(about("7 true none"), value) == "untrusted"


def test_only_arguments_that_name_something_and_are_there_are_told() -> None:
    task = about(f"pay 7 to {IBAN}")
    told = provenance(PAY, {"recipient": IBAN, "amount": 7, "note": "x"}, task, lambda _: frozenset())
    assert told == {"recipient": "anchored"}
    assert provenance(PAY, {"amount": 7}, task, lambda _: frozenset()) == {}


def test_of_an_endless_result_only_so_much_is_remembered_and_the_rest_is_untrusted() -> None:
    words = " ".join(f"w{number}" for number in range(MOST_VALUES * 3))
    remembered = values_of("task_1", words, {})
    assert len(remembered) == MOST_VALUES
    assert len(values_of("task_1", ["x " * 200_000, IBAN], {})) < MOST_VALUES
    assert found(about(), IBAN, [["x " * 200_000, IBAN]]) == "untrusted"


def test_a_result_nested_without_end_is_not_followed() -> None:
    deep: JSON = IBAN
    for _ in range(500):
        deep = [deep]
    assert found(about(), IBAN, [deep]) == "untrusted"
    assert values_of("task_1", "[" * 10_000, {}) == ()


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=20))
def test_no_text_makes_it_raise(request: str, result: str, value: str) -> None:
    assert found(about(request), value, [result]) in ("anchored", "trusted", "untrusted")


@given(st.text(alphabet=st.characters(categories=["Ll", "Nd"]), min_size=1, max_size=20))
def test_a_word_is_anchored_by_itself_and_not_by_a_longer_one(word: str) -> None:
    assert found(about(f"go {word} on"), word) == "anchored"
    assert found(about(f"go x{word}x on"), word) == "untrusted"
