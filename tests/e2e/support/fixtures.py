"""Fixtures of the end-to-end tests. Everything that a test starts is ended with it, and looked at afterwards."""

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from . import servers
from .door import BINARY, Door
from .upstream import Upstream, ok, serve_requests
from .waiting import SCALE

TEST_SECONDS = 60 + float(os.environ.get("PORTUNUS_CHAOS_SECONDS", "0"))


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: a quick part of everything, for the thread sanitizer")
    config.addinivalue_line("markers", "slow: more than some seconds; `-m 'not slow'` leaves them out")


def pytest_sessionstart(session):
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"{BINARY} is not there; build it, or name another one in PORTUNUS_BIN", 3)


@pytest.fixture(autouse=True)
def time_limit():
    """A test that hangs fails, and the next one runs."""

    def give_up(*_):
        pytest.fail(f"the test took longer than {TEST_SECONDS * SCALE} s")  # no OSError: nobody catches it

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, TEST_SECONDS * SCALE)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class Keeper:
    """Ends what was started, in reverse order; then looks whether all of it went well."""

    def __init__(self, folder):
        self.folder = folder
        self.kept = []
        self.doors = []
        self.upstreams = []
        self.folders = []

    def close(self):
        problems = []
        for door, may_end_badly in reversed(self.doors):
            try:
                door.stop()
                door.check(may_end_badly)
            except AssertionError as problem:
                problems.append(str(problem))
        for thing in reversed(self.kept):
            thing.close()
        for folder in self.folders:
            folder.cleanup()
        for upstream in self.upstreams:
            if upstream.errors:
                problems.append("an upstream's script failed:\n" + "\n".join(upstream.errors))
        assert not problems, "\n".join(problems)

    # ---- the fixtures are these methods

    def portunus(self, config, may_end_badly=False, wait_ready=True, world_readable=False, **options):
        """Starts the program with this configuration (see door.one_pool)."""
        if world_readable:  # pytest's own folders are not
            place = tempfile.TemporaryDirectory(prefix="portunus-test-")
            self.folders.append(place)
            folder = Path(place.name)
            folder.chmod(0o755)
        else:
            folder = self.folder / f"door-{len(self.doors)}"
            folder.mkdir()
        door = Door(config, folder, **options)
        self.doors.append((door, may_end_badly))
        door.start(wait_ready)
        return door

    def upstream(self, script=serve_requests(ok), **options):
        """A raw upstream; see support/upstream.py."""
        upstream = Upstream(script, **options)
        self.kept.append(upstream)
        self.upstreams.append(upstream)
        return upstream

    def keep(self, thing):
        self.kept.append(thing)
        return thing

    def nginx(self, port=None):
        return self.keep(servers.nginx(self.folder, port))

    def load(self, door, path="/hello", seconds=3, connections=32):
        return self.keep(servers.Load(f"http://127.0.0.1:{door.port}{path}", seconds, connections))


@pytest.fixture
def keeper(tmp_path):
    keeper = Keeper(tmp_path)
    yield keeper
    keeper.close()


@pytest.fixture
def portunus(keeper):
    return keeper.portunus


@pytest.fixture
def upstream(keeper):
    return keeper.upstream


@pytest.fixture(scope="module")
def module_keeper(tmp_path_factory):
    """For tables whose rows share one program."""
    keeper = Keeper(tmp_path_factory.mktemp("shared"))
    yield keeper
    keeper.close()


@pytest.fixture
def stopwatch():
    """Seconds since the test began, when called."""
    begin = time.monotonic()
    return lambda: time.monotonic() - begin
