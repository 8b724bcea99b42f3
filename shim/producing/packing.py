"""Messages into drafts: where each goes, and what it looks like as a row. Decided before any head is locked."""

from collections.abc import Collection, Sequence

import psycopg

from shim.errors import KafkaError, from_postgres
from shim.producing.delivery import Reporter
from shim.producing.drafts import Drafts
from shim.producing.json_view import considered_views, first_sight, parsed_view
from shim.producing.outbox import Outbox, Parcel
from shim.producing.outgoing import ANY_PARTITION, TOPIC, VALUE, Outgoing, Row, paired
from shim.producing.routes import Learned, Routes
from shim.protocol.codes import Broker, Local
from shim.store import append
from shim.store.pool import Pool
from shim.store.rows import encode_tail
from shim.store.topics import Texts
from shim.store.values import JSON_NULL, View


class Packing:
    """Encodes messages.

    Args:
        pool: where topics are read and doubtful values judged, when that is needed.
        texts: the statements of `shim.store.append`.
        routes: what is known of topics.
        reporter: is told which messages can go nowhere.
        outbox: where parcels are kept.
        patience_s: how many seconds the server may be silent before another connection is tried.
        careful: whether no value is trusted at first sight.

    Attributes:
        careful: the same; it becomes so when Postgres has refused a value's view.
    """

    def __init__(
        self,
        pool: Pool,
        texts: Texts,
        routes: Routes,
        outbox: Outbox,
        reporter: Reporter,
        patience_s: float,
        *,
        careful: bool = False,
    ) -> None:
        self._pool = pool
        self._patience_s = patience_s
        self._outbox = outbox
        self._reporter = reporter
        self._texts = texts
        self._routes = routes
        self.careful = careful

    def pack(self, parcel: Parcel) -> None:
        """Encodes a parcel's messages; those that can go nowhere are taken out and reported.

        Raises:
            psycopg.Error: Postgres is gone; the parcel stays as it was.
        """
        rows = parcel.rows
        try:
            drafts, refused = self._encode(rows, parcel.epoch_ms)
        except psycopg.Error as failure:
            error = from_postgres(failure)
            if error.retriable():
                raise
            self._reporter.undeliverable(parcel, error)
            return
        kept = [row for place, row in enumerate(rows) if place not in refused] if refused else rows
        if self._outbox.replace(parcel, rows, kept, drafts):
            for place, error in refused.items():
                self._reporter.failed([rows[place]], error)

    def _encode(self, rows: Sequence[Row], epoch_ms: float) -> tuple[Drafts, dict[int, KafkaError]]:
        """Returns the drafts of the messages that can go, and by their places why the others cannot."""
        routes, unwritable = self._look_up({row[TOPIC] for row in rows})
        views = considered_views([row[VALUE] for row in rows], self._judge, careful=self.careful)
        drafts = Drafts()
        refused: dict[int, KafkaError] = {}
        for place, (topic, partition, key, value, timestamp_ms, _, _, queued_at, terms, *raw) in enumerate(rows):
            route = routes.get(topic)
            if route is None:
                refused[place] = unwritable.get(topic) or KafkaError(Broker.UNKNOWN_TOPIC_OR_PART)
                continue
            chosen = route.partition(key, queued_at) if partition == ANY_PARTITION else partition
            if not 0 <= chosen < route.partitions:
                refused[place] = KafkaError(Local.UNKNOWN_PARTITION)
                continue
            stamp = timestamp_ms or int(queued_at * 1000 + epoch_ms)
            view = views.get(place) or first_sight(value or b"")
            drafts.add(topic, chosen, encode_tail(key, value, paired(raw), stamp, view), terms)
        return drafts, refused

    def _look_up(self, names: Collection[str]) -> Learned:
        routes = self._routes.known(names)
        missing = [name for name in names if name not in routes]
        if not missing:
            return Learned(routes, {})
        with self._pool.connection(patience=self._patience_s) as conn:
            learned = self._routes.learn(conn, missing)
        return learned._replace(routes=routes | learned.routes)

    def _judge(self, values: Sequence[str]) -> list[str | None]:
        with self._pool.connection(patience=self._patience_s) as conn:
            return append.judge_json(conn, self._texts, values)


def without_view(parcel: Parcel, place: int, sqlstate: str) -> bytes:
    """Returns the tail of a message whose JSON view Postgres refused: the view is null, and says why."""
    message = Outgoing.of(parcel.rows[place])
    view = View(f"{parsed_view(message.value).encoding}-{sqlstate}", JSON_NULL)
    return encode_tail(message.key, message.value, paired(message.headers), parcel.stamp(place), view)
