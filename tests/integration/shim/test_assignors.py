"""The assignors against the real ones: the same members, the same topics, the same partitions each."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import count

import pytest
from confluent_kafka import Consumer

from migrator.embedded.process import wait_until
from shim.store.assignors import TP, Subscriber, assign
from tests.fixtures.kafka import CreateTopic, topic_name


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
@pytest.mark.parametrize("strategy", ["range", "roundrobin"])
def test_real_consumers_are_given_the_same(
    bootstrap_servers: str, create_topic: CreateTopic, strategy: str, static: bool
) -> None:
    topics = [create_topic(5), create_topic(4)]
    wishes = [topics[:1], topics, topics, topics[1:]]
    names = count(9, -1)  # so that the order of the instances is not the one in which they join
    conf = {
        "bootstrap.servers": bootstrap_servers,
        "group.id": topic_name("group"),
        "partition.assignment.strategy": strategy,
        "heartbeat.interval.ms": 100,
    }
    with ExitStack() as stack:
        group = [
            stack.enter_context(closing(Consumer(conf | ({"group.instance.id": f"i{next(names)}"} if static else {}))))
            for _ in wishes
        ]
        for consumer, wish in zip(group, wishes, strict=True):
            consumer.subscribe(wish)
        sizes = {name: len(group[0].list_topics(name).topics[name].partitions) for name in topics}
        instances = [f"i{9 - rank}" if static else None for rank in range(len(group))]

        def agrees() -> bool:
            assigned = dict(held(group))
            members = [
                Subscriber(consumer.memberid() or "", instance, frozenset(wish))
                for consumer, instance, wish in zip(group, instances, wishes, strict=True)
            ]
            return assigned == assign(strategy, members, sizes, {})

        assert wait_until(agrees, 60, 0.1), dict(held(group))


def held(group: Sequence[Consumer]) -> Iterator[tuple[TP, str]]:
    for consumer in group:
        consumer.poll(0)
        for place in consumer.assignment():
            yield (place.topic, place.partition), consumer.memberid()
