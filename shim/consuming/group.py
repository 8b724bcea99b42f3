"""A consumer's part in its consumer group: joins, follows, is lost, leaves; all of it inside the application's poll.

The coordinator tells, from its own thread, that the group changed or that the membership ended (`member`).
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import monotonic

from shim.client.bell import Bell
from shim.client.notices import Notices
from shim.config.settings import Settings, Severity
from shim.consuming.committer import Fence
from shim.consuming.committing import Commits
from shim.consuming.database import Database, DatabaseError
from shim.consuming.holdings import Holdings
from shim.consuming.listener import RebalanceListener
from shim.consuming.member import Activity, Member
from shim.consuming.subscription import Subscription
from shim.errors import KafkaError
from shim.message import Message
from shim.protocol.codes import Broker, Local
from shim.protocol.topic_names import flaw
from shim.store import groups, topics
from shim.store.beats import BeatState
from shim.store.groups import Assignment, Membership

_REFUSED_SECONDS = 1.0
_COMMIT_SECONDS = 3.0


class Group:
    """One consumer's membership, over all its lives as a member.

    Args:
        settings: the consumer's.
        database: where the group is.
        listener: tells the application of its assignment.
        commits: what has to be done before anything is given back.
        notices: is told what the application's log should say.
        tell: hands an event to the application.
        activity: of the application.
        bell: rung when something has to be done.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        listener: RebalanceListener,
        commits: Commits,
        notices: Notices,
        tell: Callable[[Message], None],
        activity: Activity,
        bell: Bell,
    ) -> None:
        self._settings = settings
        self._database = database
        self._listener = listener
        self._commits = commits
        self._notices = notices
        self._tell = tell
        self._activity = activity
        self._bell = bell
        self._subscription: Subscription | None = None
        self.renew()

    def renew(self) -> None:
        """Begins anew, as no member. For the forked child: its parent goes on as the one that it was."""
        self._member: Member | None = None
        self._holdings: Holdings | None = None
        self._changed = False
        self._farewelled = False
        self._unmet: frozenset[str] = frozenset()
        self._retry_at = 0.0
        self._bound: str | None = None

    @property
    def bound(self) -> str | None:
        """The protocol by which the application may assign: its last group's; None before it was a member."""
        return self.protocol or self._bound

    @property
    def protocol(self) -> str | None:
        """``eager`` or ``cooperative``, as the group does it; None for no member."""
        return None if self._holdings is None else self._holdings.protocol

    @property
    def member_id(self) -> str | None:
        """The id as a member; None for none."""
        return self._member.member_id if self._member is not None and self._member.live else None

    @property
    def generation(self) -> int:
        """The group's generation; -1 for no member."""
        return self._holdings.generation if self._holdings is not None and self.member_id is not None else -1

    @property
    def settled(self) -> bool:
        """Whether it holds what it is to hold."""
        return self._holdings is not None and self._holdings.settled

    @property
    def restless(self) -> bool:
        """Whether the next look will change what is assigned."""
        member, holdings = self._member, self._holdings
        if member is None or holdings is None:
            return False
        return self._subscription is None or self._changed or not member.live or member.generation > holdings.generation

    @property
    def pause_s(self) -> float:
        """Seconds until `tend` has something to do even if nobody rings."""
        if self._subscription is None:
            return inf
        rest = max(0.0, self._retry_at - monotonic())
        return rest if self._holdings is None or self._changed else max(rest, self._holdings.pause_s)

    def subscribe(self, subscription: Subscription) -> None:
        """Subscribes in place of what was subscribed before; the next poll joins the group."""
        self._subscription = self._listener.subscription = subscription
        self._changed = True
        self._unmet = frozenset()
        self._retry_at = 0.0
        self._bell.ring()

    def unsubscribe(self) -> None:
        """Ends the subscription; the next poll gives everything back, and leaves the group."""
        self._subscription = None
        self._bell.ring()

    def tend(self, consumer: object) -> None:
        """Does what there is to do about the group, callbacks included.

        Raises:
            DatabaseError: it could not be done, and is tried again.
        """
        if self._listener.telling:
            return
        member = self._member
        if member is not None and not member.live:
            if member.state == "overdue" and not self._farewelled:
                self._bid_farewell(member)
                return  # the application sees the event before it learns what it lost
            self._lose(consumer, member)
        try:
            self._proceed(consumer)
        except groups.UnknownMemberError:
            self._end("gone")
        except groups.FencedInstanceError:
            self._end("fenced")

    def close(self, consumer: object) -> None:
        """Gives everything back, and leaves the group, unless it is a static member, which goes to come back."""
        if self._member is not None and not self._member.live:
            self._lose(consumer, self._member)
        else:
            self._depart(consumer, static=self._settings.group_instance_id is not None)

    def _proceed(self, consumer: object) -> None:
        member, holdings = self._member, self._holdings
        if self._subscription is None:
            self._depart(consumer)
        elif self._retry_at > monotonic():
            return
        elif member is None or holdings is None or self._changed:
            self._join(consumer, self._subscription)
        elif member.generation > holdings.generation or holdings.pause_s <= 0:
            assignment = holdings.read()
            if assignment.generation == holdings.generation or not self._survey(self._subscription):
                holdings.follow(consumer, assignment)

    def _join(self, consumer: object, subscription: Subscription) -> None:
        member, holdings = self._member, self._holdings
        if holdings is not None and holdings.eager and holdings.holds:
            holdings.revoke(consumer)
            holdings.release()
            self._bell.ring()
            return  # the callback may have changed everything; the next look joins
        if self._survey(subscription):
            return
        member_id = self._new_member_id() if member is None else member.member_id
        assignment = self._ask_to_join(member_id, subscription, rejoin=member is not None)
        if assignment is None:
            return
        self._changed = False
        if member is None or holdings is None:
            holdings = self._begin(Member(self._settings, member_id, assignment.generation, self._activity, self._bell))
        holdings.begin_anew()
        holdings.quiet = self._unmet >= set(subscription.topics)
        holdings.follow(consumer, assignment)

    def _begin(self, member: Member) -> Holdings:
        self._member, self._farewelled = member, False
        self._holdings = Holdings(self._database, self._commits, self._listener, member)
        self._database.coordinator.add(member)
        return self._holdings

    def _ask_to_join(self, member_id: str, subscription: Subscription, *, rejoin: bool) -> Assignment | None:
        """Joins; where the group will not have this consumer the application is told, and None returned."""
        membership = self._membership(member_id, subscription)
        try:
            with self._database.connection() as conn:
                return groups.join(conn, self._database.grouping, membership, rejoin=rejoin)
        except groups.InconsistentProtocolError:
            error = Broker.INCONSISTENT_GROUP_PROTOCOL
            self._say(KafkaError(error, f"JoinGroup failed: {error.text}"))
            self._retry_at = monotonic() + _REFUSED_SECONDS
        except groups.InvalidPatternError as invalid:
            text = f"Failed to set subscription: {invalid.reason}: {', '.join(invalid.patterns)}"
            self._say(KafkaError(Local.INVALID_ARG, text))
            self._retry_at = inf  # until the next subscription
        return None

    def _depart(self, consumer: object, *, static: bool = False) -> None:
        """Leaves; a static member that goes to come back just stops to beat."""
        member, holdings = self._member, self._holdings
        if member is None or holdings is None:
            return
        try:
            if not self._listener.telling:
                holdings.revoke(consumer)
        finally:
            self._commits.finish(_COMMIT_SECONDS)
            self._part(member)
            if not static:
                self._leave(member)

    def _leave(self, member: Member) -> None:
        """Says so to the group; should the database not hear it, the lease ends the membership."""
        with suppress(DatabaseError), self._database.connection() as conn:
            groups.leave(conn, self._database.grouping, member.group_id, member.member_id)

    def _part(self, member: Member) -> None:
        """Is no member from here on."""
        self._bound = self.bound
        self._member = self._holdings = None
        self._commits.fence = Fence(self._settings.group_id)
        self._database.coordinator.remove(member.member_id)

    def _end(self, state: BeatState) -> None:
        """Takes note that the membership is over; what is to be done about that, the next look does."""
        if self._member is not None:
            self._database.coordinator.remove(self._member.member_id)
            self._member.state = state
        self._bell.ring()

    def _bid_farewell(self, member: Member) -> None:
        self._farewelled = True
        limit, excess = round(self._settings.max_poll_interval_s * 1000), round(member.excess_s * 1000)
        text = f"Application maximum poll interval ({limit}ms) exceeded by {excess}ms"
        advice = "(adjust max.poll.interval.ms for long-running message processing): leaving group"
        self._notices.log(Severity.WARNING, "MAXPOLL", f"{text} {advice}")
        self._say(KafkaError(Local.MAX_POLL_EXCEEDED, text))

    def _lose(self, consumer: object, member: Member) -> None:
        """Gives up what others may hold by now: nothing of it can be committed."""
        holdings = self._holdings
        try:
            if member.state == "fenced":
                self._stop()
            elif holdings is not None and not self._listener.telling:
                holdings.lose(consumer)
        finally:
            self._part(member)

    def _stop(self) -> None:
        """Ends for good: were a fenced static member to join again, the two would oust each other for ever."""
        fenced = Broker.FENCED_INSTANCE_ID.text
        text = f"Fatal error: {fenced}: Fatal consumer error: {fenced}"
        self._subscription = None
        self._commits.stop(KafkaError(Local.FATAL))
        self._notices.log(Severity.ERROR, "FATAL", text)
        self._say(KafkaError(Local.FATAL, text))

    def _say(self, error: KafkaError, topic: str | None = None) -> None:
        """Hands an event to the application; what comes of it has to wait until it was seen."""
        self._tell(Message.from_event(error, topic, 0))
        self._bell.ring()

    def _survey(self, subscription: Subscription) -> bool:
        """Tells which topics of the subscription there are not, and makes them where that is asked for.

        Returns:
            whether there was something to tell: each is told once.
        """
        only = subscription.names if len(subscription.names) == len(subscription.topics) else None
        texts = self._database.describing
        with self._database.connection() as conn:
            existing = set(topics.describe_topics(conn, texts, only))
            if self._settings.allow_auto_create_topics:
                for topic in [one for one in subscription.names if one not in existing and not flaw(one)]:
                    topics.create_topic(conn, texts, topic, self._settings.topic_partitions)
                    existing.add(topic)
        unmet = subscription.unmet(existing)
        news = [one for one in unmet if one not in self._unmet]
        for topic in news:
            text = f"Subscribed topic not available: {topic}: {Broker.UNKNOWN_TOPIC_OR_PART.text}"
            self._say(KafkaError(Broker.UNKNOWN_TOPIC_OR_PART, text), topic)
        self._unmet = frozenset(unmet)
        if self._holdings is not None:
            self._holdings.quiet = self._unmet >= set(subscription.topics)
        return bool(news)

    def _membership(self, member_id: str, subscription: Subscription) -> Membership:
        settings = self._settings
        return Membership(
            group_id=settings.group_id,
            member_id=member_id,
            instance_id=settings.group_instance_id,
            client_id=settings.client_id,
            host=socket.gethostname(),
            topics=subscription.topics,
            strategies=settings.strategies,
            session_ms=round(settings.session_timeout_s * 1000),
        )

    def _new_member_id(self) -> str:
        return groups.new_member_id(self._settings.client_id, self._settings.group_instance_id)
