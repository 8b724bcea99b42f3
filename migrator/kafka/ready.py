"""Whether a cluster answers: the question that is asked of a broker that has just been started."""

from contextlib import suppress

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_RECONNECT_MS = 50


class ReadinessProbe:
    """Asks a broker for its metadata, again and again until it answers; connects anew within milliseconds."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._client = AdminClient(
            {
                "bootstrap.servers": bootstrap_servers,
                "reconnect.backoff.ms": _RECONNECT_MS,
                "reconnect.backoff.max.ms": _RECONNECT_MS,
                "log_level": 0,  # a refused connection is the expected answer of a broker that still starts
            }
        )

    def answers(self, timeout: float = 0.5) -> bool:
        """Whether a metadata request is answered with at least one broker within ``timeout`` seconds."""
        try:
            return bool(self._client.list_topics(timeout=timeout).brokers)
        except KafkaException:
            return False

    def wake_group_coordinator(self, timeout: float = 10.0) -> None:
        """Have a new broker make its offsets topic now, so that the first consumer group need not wait 3 s for it."""
        asked = self._client.describe_consumer_groups(["nobody"], request_timeout=timeout)
        with suppress(KafkaException):
            asked["nobody"].result()


def metadata_answers(bootstrap_servers: str, timeout: float = 5.0) -> bool:
    """Whether the cluster answers a metadata request within ``timeout`` seconds."""
    return ReadinessProbe(bootstrap_servers).answers(timeout)
