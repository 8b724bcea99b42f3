"""Subscriptions: what may be subscribed to, by name and by expression, and what a second one replaces."""

import pytest

from tests.conformance.members import Called, Member, every, settle
from tests.conformance.records import fill, serve, take, values
from tests.conformance.side import Side

NOTHING: frozenset[tuple[str, int]] = frozenset()


def test_a_new_subscription_replaces_the_old(side: Side) -> None:
    one, two = side.topic(), side.topic()
    fill(side, one, [b"1"])
    fill(side, two, [b"2"])
    member = Member(side, side.name("group"), [one])
    assert values(take(member.consumer, 1)) == [b"1"]
    member.subscribe([two])
    assert values(take(member.consumer, 1)) == [b"2"]
    assert member.called == [
        Called("assign", every(one, 1), NOTHING),
        Called("revoke", every(one, 1), every(one, 1)),
        Called("assign", every(two, 1), NOTHING),
    ]


def test_a_new_subscription_replaces_the_callbacks(side: Side) -> None:
    topic = side.topic()
    called: list[str] = []
    consumer = side.consumer()
    consumer.subscribe(
        [topic], on_assign=lambda *_: called.append("first"), on_revoke=lambda *_: called.append("revoke")
    )
    consumer.subscribe([topic], on_assign=lambda *_: called.append("second"))
    serve([consumer], consumer.assignment)
    consumer.close()
    assert called == ["second"]


def test_regular_expressions(side: Side) -> None:
    prefix = side.name("matched")
    names = [side.topic(1, name=f"{prefix}-{suffix}") for suffix in ("a", "b")]
    side.topic(1, name=f"other-{prefix}-c")
    member = Member(side, side.name("group"), [f"^{prefix}-[ab]"])
    settle([member], frozenset((name, 0) for name in names))


def test_a_new_topic_that_matches(side: Side) -> None:
    prefix = side.name("matched")
    side.topic(1, name=f"{prefix}-a")
    member = Member(side, side.name("group"), [f"^{prefix}-.*"], topic_metadata_refresh_interval_ms=200)
    settle([member], frozenset({(f"{prefix}-a", 0)}))
    side.topic(2, name=f"{prefix}-b")
    settle([member], frozenset({(f"{prefix}-a", 0), (f"{prefix}-b", 0), (f"{prefix}-b", 1)}))


def test_expressions_and_names(side: Side) -> None:
    prefix, named = side.name("matched"), side.topic()
    side.topic(1, name=f"{prefix}-a")
    member = Member(side, side.name("group"), [f"^{prefix}", named])
    settle([member], frozenset({(f"{prefix}-a", 0), (named, 0)}))


@pytest.mark.parametrize("topics", [[], ["^("], [""], ["same", "same"]], ids=str)
def test_subscriptions_that_are_no_subscriptions(side: Side, topics: list[str]) -> None:
    with pytest.raises(side.api.KafkaException) as caught:
        side.consumer().subscribe(topics)
    assert caught.value.args[0].code() == side.code("_INVALID_ARG")
    assert caught.value.args[0].str() == "Failed to set subscription: Local: Invalid argument or configuration"


@pytest.mark.parametrize("topics", ["topic", ("topic",), None, 1, b"topic"], ids=repr)
def test_subscriptions_are_lists(side: Side, topics: object) -> None:
    with pytest.raises(TypeError, match="expected list of topic unicode strings"):
        side.consumer().subscribe(topics)


@pytest.mark.parametrize("name", ["on_assign", "on_revoke", "on_lost"])
def test_callbacks_are_callable(side: Side, name: str) -> None:
    for wrong in (None, 1):
        with pytest.raises(TypeError, match=f"{name} expects a callable"):
            side.consumer().subscribe(["topic"], **{name: wrong})


def test_unsubscribe_without_a_subscription(side: Side) -> None:
    consumer = side.consumer()
    assert consumer.unsubscribe() is None
    assert consumer.unassign() is None


def test_the_consumer_group_protocol(side: Side) -> None:
    """The new protocol of Kafka 4 is cooperative, and knows neither session nor assignor in the client."""
    topic = side.topic(2)
    fill(side, topic, [b"v"])
    group = {"group.id": side.name("group"), "group.protocol": "consumer", "auto.offset.reset": "earliest"}
    called: list[tuple[int, int]] = []
    with side.api.Consumer({**side.connection, **group}) as consumer:
        consumer.subscribe(
            [topic],
            on_assign=lambda one, partitions: called.append((len(partitions), len(one.assignment()))),
            on_revoke=lambda one, partitions: called.append((len(partitions), len(one.assignment()))),
        )
        assert values(take(consumer, 1)) == [b"v"]
        code, text = side.refusal(lambda: consumer.assign([side.tp(topic, 0)]))
        assert (code, text) == (side.code("_STATE"), "Failed to set assignment: Local: Erroneous state")
    assert called == [(2, 0), (2, 2)]
