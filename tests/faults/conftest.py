from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.faults.scene import Log, Scene
from tests.fixtures.cli import create_tables
from tests.fixtures.kafka import CreateTopic, create_topic_on, topic_name
from tests.fixtures.postgres import Databases

PARTITIONS = 4


class SetScene(Protocol):
    """Makes scenes on servers of the test's own."""

    def __call__(
        self, *, url: str | None = None, bootstrap_servers: str | None = None, partitions: int = PARTITIONS
    ) -> Scene:
        """Make one with a new topic; what is not given is the session's."""


@pytest.fixture
def set_scene(
    databases: Databases, bootstrap_servers: str, create_topic: CreateTopic, tmp_path: Path
) -> Iterator[SetScene]:
    scenes: list[Scene] = []
    session_url, session_servers = databases.create(create_tables), bootstrap_servers

    def make(*, url: str | None = None, bootstrap_servers: str | None = None, partitions: int = PARTITIONS) -> Scene:
        if url is not None:
            create_tables(url)
        if bootstrap_servers is None:
            topic = create_topic(partitions)
        else:
            topic = topic_name()
            create_topic_on(bootstrap_servers, topic, partitions)
        folder = tmp_path / f"scene-{len(scenes)}"
        folder.mkdir()
        log = Log(bootstrap_servers or session_servers, topic, partitions)
        scenes.append(Scene(log, url or session_url, folder))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.clear()
    databases.drop(session_url)


@pytest.fixture
def scene(set_scene: SetScene) -> Scene:
    """A topic of four partitions and a database with all tables, both of the test's own on the session's servers."""
    return set_scene()
