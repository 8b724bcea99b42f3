import sys
import threading

from shim.store.meter import BOUNDS, OTHER, Meter


class Queue:
    def gauges(self) -> dict[str, float]:
        return {"waiting": 2.0}


def test_counts_add_up_by_name_and_labels() -> None:
    meter = Meter()
    meter.count("jobs", "emails", by=3)
    meter.count("jobs", "emails")
    meter.count_each("jobs", {"reports": 5, "emails": 1})
    meter.count("outages")
    assert meter.counts() == {("jobs", "emails"): 5, ("jobs", "reports"): 5, ("outages",): 1}


def test_what_would_be_too_many_labels_is_counted_together() -> None:
    meter = Meter()
    for number in range(5000):
        meter.count("jobs", f"topic-{number}")
    counts = meter.counts()
    assert len(counts) < 3000
    assert sum(counts.values()) == 5000
    assert counts["jobs", OTHER] > 1000
    meter.count("jobs", "topic-0")
    assert meter.counts()["jobs", "topic-0"] == 2


def test_durations_fall_into_buckets_whose_upper_ends_belong_to_them() -> None:
    meter = Meter()
    for seconds in (0.0, BOUNDS[0], BOUNDS[0] * 1.01, BOUNDS[-1] * 2):
        meter.time("claim", seconds)
    durations = meter.durations()["claim",]
    assert (durations.buckets[0], durations.buckets[1], durations.buckets[-1], sum(durations.buckets)) == (2, 1, 1, 4)
    assert durations.seconds == BOUNDS[0] * 2.01 + BOUNDS[-1] * 2


def test_figures_of_what_lives_are_added_up_and_those_of_the_dead_are_not() -> None:
    meter = Meter()
    one, other = Queue(), Queue()
    meter.attend(one)
    meter.attend(other)
    assert meter.gauges() == {"waiting": 4.0}
    del other
    assert meter.gauges() == {"waiting": 2.0}
    assert one.gauges() == {"waiting": 2.0}


def test_figures_are_read_while_clients_are_made() -> None:
    meter = Meter()
    clients = [Queue() for _ in range(50_000)]

    def make() -> None:
        for client in clients:
            meter.attend(client)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        maker = threading.Thread(target=make)
        maker.start()
        while maker.is_alive():
            meter.gauges()
    finally:
        sys.setswitchinterval(interval)
    assert meter.gauges() == {"waiting": 100_000.0}


def test_what_is_read_is_a_copy_and_a_fork_begins_at_zero() -> None:
    meter = Meter()
    meter.count("jobs")
    meter.time("claim", 0.1)
    meter.mark("error")
    counts, durations = meter.counts(), meter.durations()
    meter.count("jobs")
    meter.time("claim", 0.1)
    assert counts == {("jobs",): 1}
    assert sum(durations["claim",].buckets) == 1
    assert meter.moments()["error",] > 0
    meter.renew()
    assert (meter.counts(), meter.durations(), meter.moments()) == ({}, {}, {})
