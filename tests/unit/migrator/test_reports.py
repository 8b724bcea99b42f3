"""What librdkafka says of a failure, in whatever order it says it, becomes one reason and one way out."""

import itertools

import pytest
from confluent_kafka import KafkaError

from migrator.errors import CannotStartError
from migrator.kafka.properties import kafka_properties
from migrator.kafka.reports import Reports

SSL = KafkaError._SSL  # noqa: SLF001  librdkafka's own codes are spelled with an underscore
DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001
NO_TLS = {"security.protocol": "SSL"}
IN_SHORT = "Disconnected: SSL connection closed by peer"
IN_FULL = f"SSL handshake failed: {IN_SHORT}: connecting to a PLAINTEXT broker listener?"


def heard(*texts: str, code: int = SSL) -> CannotStartError:
    reports = Reports(kafka_properties("kafka:9092", None, NO_TLS))
    for number, text in enumerate(texts):
        state = f" (after {number}ms in state SSL_HANDSHAKE)"
        reports.error(KafkaError(code, f"ssl://kafka:9092/bootstrap: {text}{state}"))
    return reports.cannot_start()


@pytest.mark.parametrize("texts", [(IN_FULL,), (IN_SHORT,), *itertools.permutations((IN_FULL, IN_SHORT, IN_SHORT))])
def test_a_port_without_tls_is_named_whichever_report_comes_last(texts: tuple[str, ...]) -> None:
    error = heard(*texts)
    assert error.code == "tls-failed"
    assert "-X security.protocol=PLAINTEXT" in error.hint


@pytest.mark.parametrize("texts", [(IN_FULL, IN_SHORT), (IN_SHORT, IN_FULL)])
def test_the_reason_in_full_outlives_the_one_in_short(texts: tuple[str, ...]) -> None:
    assert IN_FULL in heard(*texts).message


def test_another_reason_takes_its_place() -> None:
    assert "certificate verify failed" in heard(IN_FULL, "SSL handshake failed: certificate verify failed").message


def test_without_a_reason_nothing_is_made_up() -> None:
    reports = Reports(kafka_properties("kafka:9092"))
    reports.error(KafkaError(DOWN, "1/1 brokers are down"))
    assert "no answer" in reports.cannot_start().message
