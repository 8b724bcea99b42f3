"""Reads a topic and does nothing with it, in a process of its own; prints how long that took as JSON."""

import json
import sys
from time import thread_time

from tests.benchmarks.measuring import Stopwatch
from tests.benchmarks.parts import read


def main() -> None:
    """Read: bootstrap servers, topic, number of messages."""
    bootstrap_servers, topic, messages = sys.argv[1:]
    watch, thread = Stopwatch(), thread_time()
    count = sum(len(records) for records in read(bootstrap_servers, topic, int(messages)))
    document = {"messages": count, "seconds": watch.wall, "cpu": watch.cpu, "python_cpu": thread_time() - thread}
    sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
