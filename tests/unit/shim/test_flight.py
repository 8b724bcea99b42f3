"""What an application said of the records that it was handed, and what is to become of them."""

from shim.model import AcknowledgeType
from shim.sharing.flight import ACCEPTED, RELEASED_AT_ONCE, Delivery, Flight, Settling, Word
from shim.store.claims import Claimed
from shim.store.records import Record
from shim.store.settlements import Rejection, Release


def jobs(*offsets: int) -> list[Claimed]:
    return [Claimed(10 + offset, 0, Record("emails", 0, offset, None, b"", None, -1, 0, 0)) for offset in offsets]


def flight(*deliveries: Delivery) -> Flight:
    made = Flight()
    for delivery in deliveries:
        made.add(delivery)
    return made


def test_everything_is_accepted_claim_by_claim() -> None:
    aloft = flight(Delivery(1, jobs(0)), Delivery(2, jobs(1, 2)), Delivery(1, jobs(3)))
    assert aloft.take() == []
    aloft.say_of_all(ACCEPTED)
    assert aloft.unacknowledged == 0
    assert aloft.take() == [
        Settling(1, jobs(0, 3), accepted=[10, 13]),
        Settling(2, jobs(1, 2), accepted=[11, 12]),
    ]
    assert (aloft.take(), aloft.unacknowledged) == ([], 0)


def test_each_record_is_spoken_of_and_the_last_word_counts() -> None:
    aloft = flight(Delivery(1, jobs(0, 1, 2, 3)))
    assert not aloft.say(("emails", 0, 4), ACCEPTED)
    for offset, word in enumerate((ACCEPTED, Word(AcknowledgeType.RELEASE, "later", 5), ACCEPTED)):
        assert aloft.say(("emails", 0, offset), word)
    assert aloft.say(("emails", 0, 2), Word(AcknowledgeType.REJECT, "never"))
    assert aloft.unacknowledged == 1
    (settling,) = aloft.take()
    assert (settling.accepted, settling.released) == ([10], [Release(11, "later", 5)])
    assert (settling.rejected, settling.ids) == ([Rejection(12, "never")], [10, 11, 12])
    assert (settling.plain, aloft.unacknowledged) == (False, 1)
    assert not aloft.say(("emails", 0, 0), ACCEPTED)
    aloft.say_of_all(RELEASED_AT_ONCE)
    assert [one.released for one in aloft.take()] == [[Release(13, None, 0)]]


def test_what_is_said_later_of_the_same_claim_joins() -> None:
    early, late = Settling(1), Settling(1)
    early.accept(jobs(0, 1))
    late.add(jobs(2)[0], RELEASED_AT_ONCE)
    assert early.plain
    early.join(late)
    assert early == Settling(1, jobs(0, 1, 2), accepted=[10, 11], released=[Release(12, None, 0)])
