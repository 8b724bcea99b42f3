"""Pass, fail and inconclusive: what each is made of."""

from collections import Counter

import pytest

from migrator.cli.verify_choice import only_topic, parse_classes, parse_sample
from migrator.digest import Record
from migrator.errors import Exit, UsageError
from migrator.verify.classes import FATAL, Class, Difference, Place
from migrator.verify.outcome import Outcome, Result, decide
from migrator.verify.sample import choose, sampled


def answer(*doubts: str, compared: int = 10, **counts: int) -> Result:
    return decide(Counter({Class(name): count for name, count in counts.items()}), compared, doubts, FATAL)[0]


def counting(kind: str) -> Result:
    return decide(Counter({Class(kind): 1}), 10, (), FATAL)[0]


def test_messages_that_are_the_same_pass() -> None:
    assert answer() is Result.PASS
    assert answer(purged=5, expired=2, native=7, dead_letter=1, skipped=3) is Result.PASS


def test_nothing_compared_is_never_a_pass() -> None:
    assert answer(compared=0) is Result.INCONCLUSIVE
    assert answer(compared=0, purged=5) is Result.INCONCLUSIVE


@pytest.mark.parametrize("kind", sorted(FATAL))
def test_a_difference_fails(kind: str) -> None:
    assert counting(kind) is Result.FAIL


def test_a_difference_fails_whatever_else_is_in_doubt() -> None:
    assert answer("a doubt", missing=1, in_flight=4) is Result.FAIL
    assert answer(compared=0, missing=1) is Result.FAIL


@pytest.mark.parametrize("kind", ["in_flight", "unreadable"])
def test_what_could_not_be_compared_is_inconclusive(kind: str) -> None:
    assert counting(kind) is Result.INCONCLUSIVE


def test_a_doubt_is_inconclusive() -> None:
    assert answer("the table keeps no values") is Result.INCONCLUSIVE


def test_the_user_says_which_classes_fail() -> None:
    counts = Counter({Class.REORDERED: 2, Class.GONE: 1})
    assert decide(counts, 10, (), frozenset({Class.MISSING}))[0] is Result.PASS
    assert decide(counts, 10, (), frozenset({Class.GONE}))[0] is Result.FAIL


@pytest.mark.parametrize(
    ("result", "status"),
    [(Result.PASS, Exit.DONE), (Result.FAIL, Exit.ANSWER_IS_NO), (Result.INCONCLUSIVE, Exit.INCONCLUSIVE)],
)
def test_each_answer_has_its_exit_status(result: Result, status: Exit) -> None:
    outcome = Outcome("emails", "full", result, (), 1, Counter(), (), {}, 1, 0, 1.0)
    assert outcome.exit is status


def test_the_document_names_every_class_and_shows_no_bytes() -> None:
    difference = Difference(Class.ALTERED, Place(2, 7), job=5, kafka="aa", table="bb")
    altered, ranges = Counter({Class.ALTERED: 1}), {2: range(3, 9)}
    outcome = Outcome("emails", "full", Result.FAIL, ("a doubt",), 9, altered, (difference,), ranges, 64, 0, 1.0)
    document = outcome.document()
    assert (document["schema_version"], document["command"], document["topic"]) == (1, "verify", "emails")
    assert document["partitions"] == [{"partition": 2, "from_offset": 3, "to_offset": 9}]
    assert document["sample"] == "1/64"
    assert set(document["classes"]) == {kind.value for kind in Class}
    assert document["differences"] == [
        {
            "class": "altered",
            "partition": 2,
            "offset": 7,
            "stop_offset": None,
            "count": 1,
            "message_id": None,
            "job_id": 5,
            "kafka_digest": "aa",
            "table_digest": "bb",
            "of": None,
        }
    ]


def test_a_sample_takes_about_as_many_as_it_says_from_everywhere() -> None:
    for start in (0, 5_000_000):
        chosen = [offset for offset in range(start, start + 64_000) if sampled(3, offset, 64)]
        assert 800 < len(chosen) < 1_200
        assert len({offset // 8_000 for offset in chosen}) == 8


def test_a_sample_of_one_in_one_is_everything() -> None:
    records = [Record(offset, (1, 1), None, None, None) for offset in range(5)]
    assert choose(0, records, 1) is records


@pytest.mark.parametrize("text", ["", "64", "2/64", "1/0", "1/70000", "1/x"])
def test_a_sample_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_sample(text)


def test_classes_are_read_from_a_list() -> None:
    assert parse_classes("missing, gone") == {Class.MISSING, Class.GONE}
    assert parse_classes(None) == FATAL
    with pytest.raises(UsageError, match="lost"):
        parse_classes("lost")


@pytest.mark.parametrize("topics", [(), ("a", "b")])
def test_one_topic_is_compared_at_a_time(topics: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        only_topic(topics)
