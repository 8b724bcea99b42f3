"""The loop that reads: until every partition is at its frozen end, or somebody says stop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from migrator.drain.batch import Batch
from migrator.drain.keeping import Keeper
from migrator.drain.options import DrainOptions
from migrator.drain.patience import Answer, patiently
from migrator.drain.pool import WriterPool
from migrator.drain.prepare import Prepared, check_identity
from migrator.drain.reading import Reader, Track, out_of_range
from migrator.drain.surroundings import Surroundings
from migrator.errors import CannotStartError, RefusedError, StoppedError
from migrator.events import Waiting
from migrator.failpoints import Failpoint, reach
from migrator.kafka.records import PartitionFacts, TopicFacts
from migrator.kafka.source import Source
from migrator.plan import LossError

_READ_RECORDS = 2_000
_READ_SECONDS = 0.1
_IDENTITY_SECONDS = 30.0
_SILENCE_SECONDS = 5.0


@dataclass(slots=True)
class Loop:
    """Reads from Kafka and hands full batches to the writers.

    Attributes:
        around: what the drain works with.
        options: what the user asked for.
        prepared: the topics.
        tracks: every partition that is read, by topic and partition.
        source: where records come from.
        reader: sorts them into batches.
        pool: writes them.
        keeper: keeps leases, tells progress.
    """

    around: Surroundings
    options: DrainOptions
    prepared: Sequence[Prepared]
    tracks: Mapping[tuple[str, int], Track]
    source: Source
    reader: Reader
    pool: WriterPool
    keeper: Keeper
    _began: float = field(init=False)
    _heard: float = field(init=False)
    _flushed: float = field(init=False)
    _identified: float = field(init=False)
    _retired: set[tuple[str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._began = self._heard = self._flushed = self._identified = self.around.clock()

    def turn(self) -> str | None:
        """Reads to the end; returns ``max-messages`` when that many were read first, else None.

        Raises:
            LossError: the log no longer holds what comes next, and loss was not accepted.
            RefusedError: the topic is another one by now, or another drain has taken over.
            StoppedError: a producer's transaction stays open, or Kafka stays away.
        """
        self.source.assign({key: track.next for key, track in self.tracks.items() if not track.done})
        try:
            stopped = self._read_all()
            self._submit_rest()
            self.pool.finish(self.keeper.beat)
        finally:
            self.pool.abandon()
        self.keeper.tell()
        if stopped is None and not self.around.stop.is_set():
            self._check_identity()
        return stopped

    def _read_all(self) -> str | None:
        while not self.reader.done and not self.around.stop.is_set():
            self.keeper.beat()
            self.pool.check()
            if self._enough():
                return "max-messages"
            if self._too_fast():
                continue
            events = self.source.read(self._next_read(), _READ_SECONDS)
            reach(Failpoint.POLLED)
            for writer, batch in self.reader.feed(events, self.options.max_messages):
                self._flushed = self.around.clock()
                self._submit(writer, batch)
            for key in out_of_range(events):
                self._mend(key)
            self._retire()
            self._look_after(heard=bool(events))
        return None

    def _enough(self) -> bool:
        most = self.options.max_messages
        return most is not None and self.reader.delivered >= most

    def _too_fast(self) -> bool:
        rate = self.options.max_rate
        if rate is None:
            return False
        ahead = self.reader.delivered / rate - (self.around.clock() - self._began)
        return ahead > 0 and not self.around.stop.wait(min(ahead, _READ_SECONDS))

    def _next_read(self) -> int:
        rate, most = self.options.max_rate, self.options.max_messages
        limits = [_READ_RECORDS, self.options.batch_rows]
        if rate is not None:
            limits.append(max(1, int(rate * _READ_SECONDS)))
        if most is not None:
            limits.append(max(1, most - self.reader.delivered))
        return min(limits)

    def _submit_rest(self) -> None:
        for writer, batch in self.reader.flush():
            self._submit(writer, batch)

    def _submit(self, writer: int, batch: Batch) -> None:
        # A consumer that stands in a topic which is deleted and recreated goes on reading without a word. What was
        # read before the id was found unchanged is of the old topic.
        for topic in {span.place.topic for span in batch.spans}:
            self._check_topic_id(topic)
        self.pool.submit(writer, batch, self.keeper.beat)

    def _retire(self) -> None:
        done = {key for key, track in self.tracks.items() if track.done} - self._retired
        if done:
            self.source.pause(done)
            self._retired |= done

    def _look_after(self, *, heard: bool) -> None:
        now = self.around.clock()
        if now - self._flushed > self.options.flush_seconds:
            self._flushed = now
            self._submit_rest()
        if now - self._identified > _IDENTITY_SECONDS:
            self._identified = now
            self._check_identity()
        if heard:
            self._heard = now
        elif now - self._heard > _SILENCE_SECONDS:
            self._explain_silence(now - self._heard)

    def _explain_silence(self, seconds: float) -> None:
        trouble = self.source.trouble
        if trouble is not None:
            self.around.listener(Waiting(f"Kafka: {trouble.text}", seconds))
            if seconds > self.options.max_wait:
                raise StoppedError(f"Kafka has been away for {seconds:.0f} s: {trouble.text}", code="kafka-away")
        elif self.options.until.kind != "follow":
            self._look_for_transaction(seconds)

    def _look_for_transaction(self, seconds: float) -> None:
        where = ", ".join(
            f"{topic}[{partition}] at offset {self.tracks[topic, partition].next}"
            for topic, partition in self._unfinished()
        )
        self.around.listener(Waiting(f"a producer's open transaction: {where}", seconds))
        if seconds <= self.options.transaction_wait:
            return
        open_ones = [key for key in self._unfinished() if self._facts(key).last_stable < (self.tracks[key].end or 0)]
        if open_ones:
            raise _hanging(self.tracks[open_ones[0]], seconds)
        if seconds > self.options.max_wait:
            raise StoppedError(f"Kafka has delivered nothing for {seconds:.0f} s: {where}", code="kafka-silent")

    def _unfinished(self) -> list[tuple[str, int]]:
        return [key for key, track in self.tracks.items() if not track.done]

    def _facts(self, key: tuple[str, int]) -> PartitionFacts:
        topic, partition = key
        return self._topic_facts(topic).partitions[partition]

    def _topic_facts(self, topic: str) -> TopicFacts:
        return self._ask(lambda: self.around.cluster.topic_facts(topic))

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        try:
            return patiently(question, self.around.listener, self.around.stop, self.options.max_wait)
        except CannotStartError as error:
            if error.code != "topic-missing":
                raise
            raise RefusedError(
                f"{error.message}: it was deleted while it was drained",
                code="topic-gone",
                hint="what was committed stands in the table; a topic of the same name would be another one",
            ) from error

    def _check_topic_id(self, topic: str) -> None:
        frozen = next(prepared.source for prepared in self.prepared if prepared.source.topic == topic)
        if frozen.topic_id is not None and self._ask(lambda: self.around.cluster.topic_id(topic)) != frozen.topic_id:
            check_identity(frozen, self._topic_facts(topic))

    def _check_identity(self) -> None:
        for prepared in self.prepared:
            check_identity(prepared.source, self._topic_facts(prepared.source.topic))

    def _mend(self, key: tuple[str, int]) -> None:
        track, facts = self.tracks[key], self._facts(key)
        if facts.high < track.next:
            raise _shorter(track, facts)
        if facts.low > track.next:
            if not self.options.policy.accept_loss:
                self._submit_rest()
                self.pool.finish(self.keeper.beat)
                raise LossError(track.place.topic, {track.place.partition: (track.next, facts.low)})
            track.lose(facts.low)
        if not track.done:
            self.source.seek(*key, track.next)


def _hanging(track: Track, seconds: float) -> StoppedError:
    topic, partition, offset = track.place.topic, track.place.partition, track.next
    return StoppedError(
        f"topic {topic!r} partition {partition}: a producer's transaction has been open at offset {offset} for "
        f"{seconds:.0f} s, and what lies behind it cannot be read",
        code="transaction-open",
        hint="find and end it with Kafka's own tool, then run the drain again:\n"
        f"  kafka-transactions.sh --bootstrap-server HOST:PORT describe-producers --topic {topic} "
        f"--partition {partition}\n"
        f"  kafka-transactions.sh --bootstrap-server HOST:PORT abort --topic {topic} --partition {partition} "
        "--start-offset OFFSET",
    )


def _shorter(track: Track, facts: PartitionFacts) -> RefusedError:
    place = track.place
    return RefusedError(
        f"topic {place.topic!r} partition {place.partition} ends at {facts.high}, yet {track.next} comes next: "
        "its log was truncated (an unclean leader election, or a restore)",
        code="log-truncated",
        hint="what was drained is in the table; find out what happened to the log before going on:\n"
        f"  migrator drain --topic {place.topic} --dry-run",
    )
