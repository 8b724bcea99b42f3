"""What ``playbooks/compatibility.md`` says is complete, and true."""

import pytest

from tests.compatibility import document, judgements
from tests.compatibility.document import FILE, MarkError, written
from tests.compatibility.judgements import problems
from tests.compatibility.original import CODES, Entry, surface
from tests.compatibility.ours import lack


def test_no_name_of_the_original_is_missing_without_a_word() -> None:
    assert problems(surface()) == []


def test_the_document_is_up_to_date() -> None:
    before = FILE.read_text(encoding="utf-8")
    assert written(before) == before, "python -m tests.compatibility writes it"


def test_a_missing_name_is_found() -> None:
    invented = [
        Entry("confluent_kafka.TopicPartition.nonsense", "method"),
        Entry("confluent_kafka.TopicPartition", "class", ("topic", "nonsense")),
        Entry("confluent_kafka.OFFSET_END", "constant", value=5),
        Entry("confluent_kafka.admin.NewTopic.topic", "method"),
        Entry("confluent_kafka.nonsense", "function"),
    ]
    assert [lack(entry) for entry in invented] == [
        "is not there",
        "has no argument nonsense",
        "is -1, in the original 5",
        "cannot be called",
        "is not there",
    ]


def test_a_word_in_vain_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "confluent_kafka.TopicPartition": judgements.Judgement(
            "confluent_kafka.TopicPartition", "refused", "", absent=True
        ),
        "confluent_kafka.nonsense": judgements.Judgement("confluent_kafka.nonsense", "not yet", ""),
    }
    monkeypatch.setattr(judgements, "judgements", lambda: said)
    assert problems([Entry("confluent_kafka.TopicPartition", "class", ("topic",))]) == [
        "confluent_kafka.nonsense: the original has no such name",
        "confluent_kafka.TopicPartition: called absent, and it is there",
    ]


def test_a_document_without_its_marks_is_refused() -> None:
    with pytest.raises(MarkError):
        document.written("# nothing is marked")


def test_the_surface_is_what_people_know() -> None:
    found = {entry.key: entry for entry in surface()}
    assert found["confluent_kafka.Producer.produce"].arguments[:4] == ("topic", "value", "key", "partition")
    assert set(found["confluent_kafka.Consumer.commit"].arguments) == {"message", "offsets", "asynchronous"}
    assert "states" in found["confluent_kafka.admin.AdminClient.list_consumer_groups"].arguments
    assert found["confluent_kafka.admin.ConfigEntry.is_read_only"].kind == "attribute"
    assert found["confluent_kafka.OFFSET_END"].value == -1
    assert len(CODES) == 188
