"""`--wait` of `portunus scale`, `start`, `stop` and `restart`: they return when it is so, and tell how it goes."""

import re
import signal
import subprocess

import pytest

from support.door import BINARY
from support.waiting import PATIENCE, SCALE, wait_until
from test_service_commands import Commands
from test_services import HEALTH, config, replicas_of, wait_for_members
from support.ports import free_ports

NAMED = {"min": 1, "max": 4}


@pytest.fixture
def started(portunus, tmp_path):
    def make(replicas=NAMED, **changes):
        ports = free_ports(5)
        commands = Commands(portunus(config(tmp_path, ports, replicas=replicas, **changes)), tmp_path, ports)
        first = replicas["min"] if isinstance(replicas, dict) else replicas
        wait_for_members(commands.door, first)
        commands.wait_for_running(first)
        return commands

    return make


def waiting(web, *arguments):
    """A command that waits, begun and not waited for."""
    return subprocess.Popen([BINARY, *arguments, "-c", str(web.door.path), "--wait"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


@pytest.mark.smoke
def test_scale_waits_until_all_are_ready(started):
    web = started()
    lines = web.good("scale", "web", "3", "--wait").splitlines()
    assert len(web.running()) == 3, "at once"
    assert lines[-2:] == ["web: 3 of 3 are ready", "web: done"]
    assert all(re.match(r"web: \d of 3 are ready", line) for line in lines[:-1])
    web.good("scale", "web", "1", "--wait")
    assert len(web.replicas()) == 1, "the others have gone"
    assert web.good("scale", "web", "1", "--wait").splitlines()[-1] == "web: done", "it is so already"


@pytest.mark.smoke
def test_restart_stop_and_start_wait(started):
    web = started(replicas=2)
    before = set(web.running().values())
    assert web.good("restart", "web", "--wait").splitlines()[-1] == "web: done"
    after = set(web.running().values())
    assert len(after) == 2
    assert not before & after
    assert web.good("stop", "web", "--wait").splitlines()[-2:] == ["web: 2 of 2 have ended", "web: done"]
    assert not replicas_of(web.door)
    assert web.good("start", "web", "--wait").splitlines()[-1] == "web: done"
    assert len(web.running()) == 2


def test_a_wait_that_takes_too_long(started):
    web = started(health={**HEALTH, "start_period": "60s"})
    for port in set(web.ports) - set(replicas_of(web.door)):  # the first one stays well
        (web.folder / f"sick-{port}").touch()
    result = web.run("scale", "web", "2", "--wait", "--timeout", "3s")
    assert result.returncode == 4, result
    assert "the order stands" in result.stderr.lower()
    assert "1 of 2 are ready; replica 1 is starting" in result.stdout
    assert web.services()[0]["desired"] == 2


def test_a_wait_that_has_become_senseless(started):
    web = started(health={**HEALTH, "start_period": "60s"})
    for port in set(web.ports) - set(replicas_of(web.door)):  # the first one stays well
        (web.folder / f"sick-{port}").touch()
    for order, why in ((("scale", "web", "3"), "3 replicas are wanted meanwhile"), (("stop", "web"), "has been stopped meanwhile")):
        with waiting(web, "scale", "web", "2") as first:
            assert "of 2 are ready" in first.stdout.readline()
            web.good(*order)
            assert first.wait(PATIENCE * 2) == 1
            assert why in first.stderr.read()
    with waiting(web, "start", "web") as first:
        assert "are ready" in first.stdout.readline()
        web.door.signal(signal.SIGTERM)
        assert first.wait(PATIENCE * 2) == 1
        assert "is stopping" in first.stderr.read()


def test_a_replica_that_ends_for_good(started):
    """It is not restarted, so there is nothing to wait for."""
    web = started(restart={"policy": "never"}, health={**HEALTH, "start_period": "60s"})
    for port in set(web.ports) - set(replicas_of(web.door)):  # the first one stays well
        (web.folder / f"sick-{port}").touch()
    with waiting(web, "scale", "web", "2") as first:
        wait_until(lambda: len(web.replicas()) == 2, "there are two")
        newcomer = wait_until(lambda: next((r["pid"] for r in web.replicas() if r["state"] == "starting"), None), "it is starting")
        wait_until(lambda: newcomer in replicas_of(web.door).values(), "its process runs")
        subprocess.run(["kill", "-KILL", str(newcomer)], check=True)
        assert first.wait(PATIENCE * 2) == 1
        assert "is not started again" in first.stderr.read()


def test_who_leaves_while_it_waits_leaves_nothing(started):
    web = started(health={**HEALTH, "start_period": "60s"})
    for port in set(web.ports) - set(replicas_of(web.door)):  # the first one stays well
        (web.folder / f"sick-{port}").touch()
    with waiting(web, "scale", "web", "2") as first:
        assert "of 2 are ready" in first.stdout.readline()
        first.kill()
    for port in web.ports:
        (web.folder / f"sick-{port}").unlink(missing_ok=True)
    web.wait_for_running(2)
    assert web.services()[0]["state"] == "up"


def test_words(started):
    web = started(replicas=1)
    assert web.run("scale", "none", "2", "--wait").returncode == 1
    assert web.run("scale", "web", "2", "--wait").returncode == 1, "out of its bounds"
    for verb in (["stop", "web", "--wait", "--timeout", "0s"], ["services", "--wait"], ["start", "--wait"]):
        assert web.run(*verb).returncode == 2, verb
