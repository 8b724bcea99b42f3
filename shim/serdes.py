"""The two converters of a serializing client, for keys and for values: where they come from, and who closes them."""

import logging
from collections.abc import Callable
from typing import Any

_LOGGER = logging.getLogger("shim")
_CLUSTER_ID_TIMEOUT_S = 60.0


class Serdes:
    """A converter for keys and one for values, either of which may be None.

    Those that a builder of the configuration made are the client's own, and are closed with it; those that the
    application handed in stay open.
    """

    def __init__(self) -> None:
        self.key: Any = None
        self.value: Any = None
        self.closed = False
        self._own: list[Any] = []

    def take(self, conf: dict[str, Any], noun: str) -> dict[str, Any]:
        """Takes its properties out of a configuration, and returns what is left for the client.

        A builder sees the whole configuration. What any builder has used does not reach the client.

        Args:
            conf: is not changed.
            noun: ``serializer`` or ``deserializer``.

        Raises:
            ValueError: a converter and its builder are both given, or a builder returned something else.
        """
        rest = dict(conf)
        ready = {part: rest.pop(f"{part}.{noun}", None) for part in ("key", "value")}
        builders = {part: rest.pop(f"{part}.{noun}.builder", None) for part in ("key", "value")}
        for part, builder in builders.items():
            if builder is not None and ready[part] is not None:
                raise ValueError(f"Cannot configure both {part}.{noun} and {part}.{noun}.builder; use one or the other")
        left = rest
        try:
            for part, builder in builders.items():
                if builder is not None:
                    ready[part], unused = _built(f"{part}.{noun}", builder.build(dict(rest), part == "key"))
                    self._own.append(ready[part])
                    left = {name: value for name, value in unused.items() if name in left}
        except BaseException:
            self.abandon()
            raise
        self.key, self.value = ready["key"], ready["value"]
        return left

    def offer(self, cluster_id: Callable[..., Any]) -> None:
        """Tells those who want to know how to ask for the cluster's id; nobody is asked yet."""
        for serde in (self.key, self.value):
            setter = getattr(serde, "set_cluster_id_resolver", None)
            if callable(setter):
                setter(lambda: cluster_id(timeout=_CLUSTER_ID_TIMEOUT_S))

    def close(self) -> None:
        """Closes the client's own; a second time does nothing. All are tried before the first failure is raised."""
        self.closed = True
        own, self._own = self._own, []
        failures = [failure for serde in own if (failure := _close(serde))]
        for failure in failures[1:]:
            _LOGGER.warning("failed to close a serializer: %s", type(failure).__name__)
        if failures:
            raise failures[0]

    def abandon(self) -> None:
        """Closes the client's own after something failed; that failure is the one to raise."""
        try:
            self.close()
        except Exception as failure:  # noqa: BLE001  another failure is on its way already
            _LOGGER.warning("failed to close a serializer: %s", type(failure).__name__)


def _built(name: str, result: object) -> tuple[Any, dict[str, Any]]:
    if not isinstance(result, tuple) or len(result) != 2:  # noqa: PLR2004  a converter and a configuration
        raise ValueError(
            f"{name}.builder must return a (serde, configuration) tuple from build(), got {type(result).__name__}"
        )
    serde, left = result
    if not isinstance(left, dict):
        raise ValueError(  # noqa: TRY004  the original's
            f"{name}.builder returned {type(left).__name__} as the leftover configuration from build(), expected a dict"
        )
    return serde, left


def _close(serde: object) -> Exception | None:
    close = getattr(serde, "close", None)
    if not callable(close):
        return None
    try:
        close()
    except Exception as failure:  # noqa: BLE001  it is handed on
        return failure
    return None
