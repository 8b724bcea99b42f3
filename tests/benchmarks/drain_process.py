"""One drain in a process of its own, without the command line around it; prints the outcome as JSON."""

import argparse
import json
import sys
from threading import Event

from migrator import postgres
from migrator.drain.gaps import GapLookup
from migrator.drain.options import DrainOptions
from migrator.drain.run import drain
from migrator.drain.surroundings import Surroundings
from migrator.events import ignore
from migrator.kafka.facts import Cluster
from migrator.kafka.properties import kafka_properties
from migrator.kafka.source import ConfluentSource


def main() -> None:
    """Drain, and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--writers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    properties = kafka_properties(arguments.bootstrap_servers)
    with Cluster(properties) as cluster:
        around = Surroundings(
            connect=lambda: postgres.connect(arguments.dsn, "drain"),
            schemas=postgres.schemas("public"),
            cluster=cluster,
            open_source=lambda: ConfluentSource(properties),
            gaps=GapLookup(lambda *_: frozenset(), lambda *_: 0),
            listener=ignore,
            stop=Event(),
        )
        outcome = drain(around, DrainOptions(topics=(arguments.topic,), writers=arguments.writers))
    sys.stdout.write(json.dumps(outcome.document()) + "\n")
    sys.exit(outcome.exit)


if __name__ == "__main__":
    main()
