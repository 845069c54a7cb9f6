"""One world for all tests of a deployment; each test begins with its first system."""

from collections.abc import Iterator

import pytest

from tests import tiny
from tests.deliver.deploy.world import World, make_world


@pytest.fixture(scope="session")
def whole_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The target and its builder."""
    with make_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(whole_world: World) -> Iterator[World]:
    """The world with the first system running, whose DNS answers."""
    whole_world.install(whole_world.build(tiny.X86_CONFIGURATION))
    assert whole_world.answers()
    yield whole_world
    whole_world.stop()
