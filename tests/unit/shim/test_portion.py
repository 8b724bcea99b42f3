from shim.config.parsing import Kind, parse
from shim.consuming.portion import Portion


def portion(**settings: object) -> Portion:
    named = {name.replace("_", "."): value for name, value in settings.items()}
    return Portion(parse(Kind.CONSUMER, ({"group.id": "g", **named},), {}))


def test_it_grows_while_the_application_is_quick() -> None:
    sized = portion()
    asked = []
    for _ in range(6):
        asked.append(sized.rows(1))
        sized.learn(asked[-1], 50, 0.01)
    assert asked == [500, 1000, 2000, 4000, 4000, 4000]


def test_it_shrinks_while_the_application_is_slow() -> None:
    sized = portion()
    asked = []
    for _ in range(5):
        asked.append(sized.rows(1))
        sized.learn(asked[-1], 50, 10)
    assert asked == [500, 250, 125, 100, 100]


def test_it_stays_while_there_is_no_more() -> None:
    sized = portion()
    sized.rows(1)
    sized.learn(3, 50, 0.01)
    assert sized.rows(1) == 500


def test_large_records_are_not_all_asked_for_at_once() -> None:
    sized = portion()
    sized.rows(1)
    sized.learn(10, 100_000, 0.01)
    assert sized.rows(1) == sized.max_bytes(1) // 100_000 == 10
    for _ in range(20):  # it forgets, by and by
        sized.learn(3, 10, 0.01)
    assert sized.rows(1) == 500


def test_one_record_larger_than_everything() -> None:
    sized = portion(message_max_bytes=1000, fetch_max_bytes=1000, queued_max_messages_kbytes=1)
    sized.rows(1)
    sized.learn(1, 1_000_000_000, 0.01)
    assert sized.rows(1) == 1


def test_the_configuration_is_the_limit() -> None:
    sized = portion(queued_min_messages=700, max_partition_fetch_bytes=1000, fetch_max_bytes=2_000_000)
    assert (sized.max_bytes(1), sized.max_bytes(3), sized.max_bytes(100_000)) == (1000, 3000, 2_000_000)
    for _ in range(5):
        sized.learn(sized.rows(1000), 1, 0.01)
    assert sized.rows(1000) == 700


def test_every_partition_gets_its_share() -> None:
    sized = portion()
    sized.rows(10)
    assert sized.per_partition(10) == 50
    assert sized.per_partition(1000) == 20
    assert sized.per_partition(1) == 500
