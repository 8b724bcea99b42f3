"""Counts what share consumers settle, for metrics."""

from collections.abc import Collection

from shim.sharing.flight import Settling
from shim.store.meter import meter


def count_settled(settling: Settling, held: Collection[int] | None = None) -> None:
    """Counts one settling: what was accepted, released and rejected, and what came too late.

    Args:
        settling: what the application said.
        held: the ids of the jobs whose lease still held; None for all of them.
    """
    said = {
        "accepted": settling.accepted,
        "released": [one.id for one in settling.released],
        "rejected": [one.id for one in settling.rejected],
    }
    every = sum(map(len, said.values()))
    if held is not None:
        said = {result: [job_id for job_id in ids if job_id in held] for result, ids in said.items()}
    amounts = {result: len(ids) for result, ids in said.items()}
    amounts["late"] = every - sum(amounts.values())
    meter.count_each("share_jobs", {result: amount for result, amount in amounts.items() if amount})
