"""Servers for the tests of updates, all of them on loopback."""

from collections.abc import Iterator

import pytest

from tests.build.update.real_registry import RealRegistry, run_registry
from tests.build.update.web_server import WebServer, serve_pages


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """Return a real registry; each test pushes under a path of its own."""
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def web() -> Iterator[WebServer]:
    """Return a web server without pages."""
    with serve_pages() as server:
        yield server
