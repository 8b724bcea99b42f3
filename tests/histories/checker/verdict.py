"""The whole check of a history, and its verdict."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.histories.checker import cycles, progress, reads, writes
from tests.histories.checker.anomaly import Anomaly, Finding
from tests.histories.checker.logs import Logs
from tests.histories.checker.measures import Measures, measure
from tests.histories.operation import Operation

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a history shows.

    Attributes:
        findings: by class, in the order of `Anomaly`; classes without any are left out.
        measures: counts and times.
    """

    findings: dict[Anomaly, list[Finding]]
    measures: Measures

    @property
    def fatal(self) -> dict[Anomaly, list[Finding]]:
        """The findings that may not be."""
        return {anomaly: found for anomaly, found in self.findings.items() if anomaly.fatal}

    def document(self) -> dict[str, Any]:
        """All of it for JSON, with the first findings of each class in words."""
        return {
            "anomalies": {
                anomaly.label: {
                    "fatal": anomaly.fatal,
                    "count": len(found),
                    "first": [one.words for one in found[:_SHOWN]],
                }
                for anomaly, found in self.findings.items()
            },
            **self.measures._asdict(),
        }


def check(history: Sequence[Operation]) -> Verdict:
    """Looks for every anomaly that there is a name for."""
    logs = Logs(history)
    findings: dict[Anomaly, list[Finding]] = {anomaly: [] for anomaly in Anomaly}
    for finding in _findings(history, logs):
        findings[finding.anomaly].append(finding)
    return Verdict({anomaly: found for anomaly, found in findings.items() if found}, measure(history, logs))


def _findings(history: Sequence[Operation], logs: Logs) -> Iterator[Finding]:
    yield from writes.lost(history, logs)
    yield from writes.contradictions(logs)
    yield from writes.unwarranted(history, logs)
    yield from writes.torn(history, logs)
    yield from writes.out_of_order(history, logs)
    yield from reads.polls(history, logs)
    yield from progress.Progress(history, logs).findings()
    yield from progress.repeated(history)
    yield from cycles.circles(history, logs)
