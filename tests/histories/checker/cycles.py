"""Circles of dependencies between transactions: who wrote before whom (ww), and who read whose write (wr)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from tests.histories.checker.anomaly import Anomaly, Finding
from tests.histories.checker.logs import Logs
from tests.histories.operation import Operation

Graph = Mapping[int, set[int]]
"""By its number in the history, each operation's successors."""


def circles(history: Sequence[Operation], logs: Logs) -> Iterator[Finding]:
    """G0 of ww edges alone, G1c of wr edges alone, and what takes both."""
    ww, wr = _write_edges(history, logs), _read_edges(history)
    for anomaly, graph in ((Anomaly.G0, ww), (Anomaly.G1C, wr)):
        for circle in components(graph):
            yield _finding(anomaly, circle, history)
    both = {node: ww.get(node, set()) | wr.get(node, set()) for node in ww.keys() | wr.keys()}
    told = {frozenset(circle) for graph in (ww, wr) for circle in components(graph)}
    for circle in components(both):
        if frozenset(circle) not in told:
            yield _finding(Anomaly.G1C_INFERRED, circle, history)


def components(graph: Graph) -> Iterator[list[int]]:
    """The strongly connected components of more than one node, by Tarjan's algorithm without recursion."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root in graph:
        work = [(root, iter(graph.get(root, ())))] if root not in index else []
        while work:
            node, successors = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
                on_stack.add(node)
            descending = False
            for successor in successors:
                if successor not in index:
                    work.append((successor, iter(graph.get(successor, ()))))
                    descending = True
                    break
                if successor in on_stack:
                    low[node] = min(low[node], index[successor])
            if descending:
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == index[node]:
                yield from _popped(node, stack, on_stack)


def _popped(node: int, stack: list[int], on_stack: set[int]) -> Iterator[list[int]]:
    """Takes the component of its first node from the stack."""
    component = [stack.pop()]
    while component[-1] != node:
        component.append(stack.pop())
    on_stack.difference_update(component)
    if len(component) > 1:
        yield component


def _writers(history: Sequence[Operation]) -> dict[str, int]:
    return {send.value: number for number, one in enumerate(history) for send in one.facts.sends}


def _write_edges(history: Sequence[Operation], logs: Logs) -> dict[int, set[int]]:
    """In each log, from the writer of a value to that of the next."""
    writers = _writers(history)
    edges: dict[int, set[int]] = {}
    for log in logs:
        values = [logs.values[log][offset][0] for offset in logs.offsets(log)]
        for one, other in pairwise(writers[value] for value in values if value in writers):
            if one != other:
                edges.setdefault(one, set()).add(other)
    return edges


def _read_edges(history: Sequence[Operation]) -> dict[int, set[int]]:
    """From the writer of a value to whoever read it."""
    writers = _writers(history)
    edges: dict[int, set[int]] = {}
    for number, operation in enumerate(history):
        for record in operation.facts.records:
            writer = writers.get(record.value, number)
            if writer != number:
                edges.setdefault(writer, set()).add(number)
    return edges


def _finding(anomaly: Anomaly, circle: Sequence[int], history: Sequence[Operation]) -> Finding:
    return Finding(anomaly, "; ".join(str(history[number]) for number in sorted(circle)[:8]))
