"""Which release of the original the shim stands for, for code that asks before it uses something."""

_VERSION = "2.16.1"
_LIBRARY_VERSION = "2.16.0", 0x021000FF


def version() -> str:
    """Returns the release of ``confluent_kafka`` whose API this is."""
    return _VERSION


def libversion() -> tuple[str, int]:
    """Returns the release of librdkafka whose behaviour this is, as text and as a number."""
    return _LIBRARY_VERSION
