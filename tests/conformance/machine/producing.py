"""Commands that change what topics hold."""

from collections.abc import Callable, Sequence
from typing import Any

from tests.conformance.machine.actor import Divergence
from tests.conformance.machine.log import TP, Record
from tests.conformance.machine.scene import Draft, Spot
from tests.conformance.machine.stage import SECONDS, SKIPPED, Stage


def produce(stage: Stage, topic: int, drafts: Sequence[Draft]) -> Any:
    """Produce and flush; each record has to lie where it belongs, in order, under the next offset."""
    reports: list[tuple[Any, Any]] = []
    sent: dict[TP, list[Record]] = {}
    for draft in drafts:
        tp, record = _send(stage, stage.topic(topic), draft, lambda error, message: reports.append((error, message)))
        sent.setdefault(tp, []).append(record)
    left = stage.producer.flush(stage.patience)
    failures = [str(error) for error, _ in reports if error is not None]
    if left or failures:
        raise Divergence(f"{left} records were not flushed, and reported was: {failures}")
    wanted = sorted((*tp, stage.logs[tp].end + rank) for tp, own in sent.items() for rank in range(len(own)))
    found = sorted((message.topic(), message.partition(), message.offset()) for _, message in reports)
    if found != wanted:
        raise Divergence(f"records had to lie at {wanted}, and were reported at {found}")
    for tp, own in sent.items():
        stage.logs[tp].records += own
    return None


def delete_records(stage: Stage, spot: Spot, offset: int) -> Any:
    """Delete what lies before an offset, unless a reader might just be there."""
    tp = stage.partition(spot)
    log = stage.logs[tp]
    before = max(offset % (log.end + 1), log.start)
    if not all(model.cursors[tp].deletable(before) for model in stage.models if tp in model.cursors):
        return SKIPPED
    (answer,) = stage.admin.delete_records([stage.spell(*tp, before)]).values()
    low = answer.result(SECONDS).low_watermark
    if low != before:
        raise Divergence(f"{tp} had to begin at {before}, and begins at {low}")
    log.start = before
    return None


def _send(stage: Stage, topic: str, draft: Draft, report: Callable[[Any, Any], None]) -> tuple[TP, Record]:
    timestamp = None if draft.age is None else stage.began + draft.age
    more = {} if timestamp is None else {"timestamp": timestamp}
    if draft.partition is None:
        where = stage.logs.partition_for(topic, draft.key or b"")
    else:
        where = more["partition"] = draft.partition % len(stage.logs.of([topic]))
    headers = None if draft.headers is None else list(draft.headers)
    stage.producer.produce(topic, draft.value, draft.key, headers=headers, on_delivery=report, **more)
    return (topic, where), Record(draft.key, draft.value, draft.headers, timestamp)
