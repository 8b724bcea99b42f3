"""Headers whose names are not UTF-8, read past the Python client, with librdkafka's own functions.

The Python client decodes header names as UTF-8 and fails on the others. Kafka's protocol calls a name a string but no
broker checks it, so such records exist, and no record may be lost for its headers. The wheel carries librdkafka as a
shared object; here it is driven with ``ctypes`` to read single records again.
"""

import ctypes
import time
import uuid
from collections.abc import Mapping
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_ssize_t, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import confluent_kafka

from migrator.kafka.records import Headers

_CONSUMER = 1
_TEXT_BYTES = 512
_POLL_MS = 100
_READ_AHEAD = 1_000
"""How many records are rather read past than jumped over: a jump costs a request."""


class RawHeaders:
    """A second reader, for single records; it opens its own connection when it is first needed."""

    def __init__(self, settings: Mapping[str, Any], timeout: float = 30.0) -> None:
        """Keeps the settings; nothing is opened yet.

        Args:
            settings: librdkafka's keys, as the first reader has them.
            timeout: seconds that one record may take.
        """
        self._settings = settings
        self._timeout = timeout
        self._handle: int | None = None
        self._position: tuple[str, int, int] | None = None

    def read(self, topic: str, partition: int, offset: int) -> Headers | str:
        """Returns a record's headers with their exact bytes, or the reason why they cannot be had."""
        library = _library()
        if library is None:
            return "a header name is not UTF-8, and librdkafka's own library was not found to read it with"
        self._handle = self._handle or self._open(library)
        if self._handle is None:
            return "a header name is not UTF-8, and a second reader could not be opened to read it with"
        self._stand_at(library, topic, partition, offset)
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            message = library.rd_kafka_consumer_poll(self._handle, _POLL_MS)
            if not message:
                continue
            try:
                at = message.contents
                if at.err == 0 and at.offset >= offset:
                    self._position = (topic, partition, at.offset + 1)
                    return _headers(library, message) if at.offset == offset else _MOVED
            finally:
                library.rd_kafka_message_destroy(message)
        self._position = None
        return f"a header name is not UTF-8, and reading the record again took more than {self._timeout:g} s"

    def close(self) -> None:
        """Ends the second reader."""
        library = _library()
        if library is not None and self._handle is not None:
            library.rd_kafka_consumer_close(self._handle)
            library.rd_kafka_destroy(self._handle)
        self._handle = None

    def _open(self, library: Any) -> int | None:
        conf = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set_log_cb(conf, None)  # without it librdkafka writes to standard error
        text = ctypes.create_string_buffer(_TEXT_BYTES)
        group = {"group.id": f"kafka-to-postgres-{uuid.uuid4()}", "enable.partition.eof": "false"}
        for key, value in {**self._settings, **group}.items():
            if library.rd_kafka_conf_set(conf, key.encode(), _spelled(value).encode(), text, _TEXT_BYTES) != 0:
                library.rd_kafka_conf_destroy(conf)
                return None
        handle: int | None = library.rd_kafka_new(_CONSUMER, conf, text, _TEXT_BYTES)
        if handle is None:
            library.rd_kafka_conf_destroy(conf)
            return None
        library.rd_kafka_poll_set_consumer(handle)
        return handle

    def _stand_at(self, library: Any, topic: str, partition: int, offset: int) -> None:
        if self._position is not None and self._position[:2] == (topic, partition):
            ahead = offset - self._position[2]
            if 0 <= ahead <= _READ_AHEAD:
                return
        partitions = library.rd_kafka_topic_partition_list_new(1)
        library.rd_kafka_topic_partition_list_add(partitions, topic.encode(), partition)
        library.rd_kafka_topic_partition_list_set_offset(partitions, topic.encode(), partition, offset)
        library.rd_kafka_assign(self._handle, partitions)
        library.rd_kafka_topic_partition_list_destroy(partitions)


_MOVED = "a header name is not UTF-8, and the record was gone when it was read again"


class _Message(ctypes.Structure):
    """``rd_kafka_message_t`` of librdkafka's public header."""

    _fields_ = (
        ("err", c_int),
        ("rkt", c_void_p),
        ("partition", c_int32),
        ("payload", c_void_p),
        ("len", c_size_t),
        ("key", c_void_p),
        ("key_len", c_size_t),
        ("offset", c_int64),
        ("private", c_void_p),
    )


def _headers(library: Any, message: Any) -> Headers:
    """A name's bytes are taken up to where its value begins, which keeps NUL bytes inside it."""
    found = c_void_p()
    if library.rd_kafka_message_headers(message, byref(found)) != 0:
        return ()
    name, value, size = c_void_p(), c_void_p(), c_size_t()
    headers: list[tuple[bytes, bytes | None]] = []
    while library.rd_kafka_header_get_all(found, len(headers), byref(name), byref(value), byref(size)) == 0:
        headers.append((_name(name.value or 0, value.value), _bytes(value.value, size.value)))
    return tuple(headers)


def _name(name: int, value: int | None) -> bytes:
    """The whole name: librdkafka keeps a header as name, NUL, value; a null value is a null pointer elsewhere."""
    short = ctypes.string_at(name)
    length = len(short) if value is None else value - name - 1
    return short if length <= len(short) else ctypes.string_at(name, length)


def _bytes(value: int | None, size: int) -> bytes | None:
    return None if value is None else ctypes.string_at(value, size)


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@cache
def _library() -> Any:
    """The librdkafka that the Python client itself runs on; None where its wheel does not bundle one."""
    package = Path(confluent_kafka.__file__).parent
    bundled = (*package.parent.glob("confluent_kafka.libs/librdkafka*.so*"), *package.glob(".dylibs/librdkafka*"))
    for path in bundled:
        try:
            return _declared(ctypes.CDLL(str(path)))
        except (OSError, AttributeError):
            continue
    return None


def _declared(library: Any) -> Any:
    message = POINTER(_Message)
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_conf_new": (c_void_p, []),
        "rd_kafka_conf_destroy": (None, [c_void_p]),
        "rd_kafka_conf_set": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
        "rd_kafka_conf_set_log_cb": (None, [c_void_p, c_void_p]),
        "rd_kafka_new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
        "rd_kafka_destroy": (None, [c_void_p]),
        "rd_kafka_poll_set_consumer": (c_int, [c_void_p]),
        "rd_kafka_topic_partition_list_new": (c_void_p, [c_int]),
        "rd_kafka_topic_partition_list_add": (c_void_p, [c_void_p, c_char_p, c_int32]),
        "rd_kafka_topic_partition_list_set_offset": (c_int, [c_void_p, c_char_p, c_int32, c_int64]),
        "rd_kafka_topic_partition_list_destroy": (None, [c_void_p]),
        "rd_kafka_assign": (c_int, [c_void_p, c_void_p]),
        "rd_kafka_consumer_poll": (message, [c_void_p, c_int]),
        "rd_kafka_consumer_close": (c_int, [c_void_p]),
        "rd_kafka_message_destroy": (None, [message]),
        "rd_kafka_message_headers": (c_int, [message, c_void_p]),
        "rd_kafka_header_get_all": (c_int, [c_void_p, c_ssize_t, c_void_p, c_void_p, c_void_p]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
