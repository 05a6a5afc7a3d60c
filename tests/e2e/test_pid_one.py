"""`portunus run` as process 1 of a pid namespace, as in a container: whatever loses its parent is its to reap."""

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from support.door import BINARY, arguments_of, children_of
from support.ports import free_ports
from support.waiting import wait_until
from test_services import WORKER, config, wait_for_members

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"]


def hindrance():
    try:
        tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return "there is no unshare(1)"
    return "" if tried.returncode == 0 else tried.stderr.strip() or "unshare failed"


WHY_NOT = hindrance()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def state_of(pid):
    """The letter of its state; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.fixture
def contained(portunus, tmp_path):
    """Each replica has left two orphans: one of its group that ends when `end` is there, one in a session of its own that stays."""
    program = tmp_path / "in_a_namespace"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([*UNSHARE, BINARY])} "$@"\n')
    program.chmod(0o755)
    orphans = f"""
        (while [ ! -e {tmp_path}/end ]; do sleep 0.02; done &)
        (setsid sleep 300 &)
        exec /usr/bin/python3 {WORKER} $1 {tmp_path}"""
    door = portunus(config(tmp_path, free_ports(4), replicas=2, command=["/bin/sh", "-c", orphans, "sh", "{port}"]), binary=str(program))
    wait_for_members(door, 2)
    door.first = children_of(door.supervisor_pid)[0]
    assert [line.split()[-1] for line in Path(f"/proc/{door.first}/status").read_text().splitlines() if line.startswith("NSpid:")] == ["1"]
    yield door
    if door.is_running:
        os.kill(door.first, signal.SIGTERM)  # unshare itself would take everything along
        assert door.wait() == 0


def adopted(door, *words):
    """Its children with these as their first arguments."""
    return [child for child in children_of(door.first) if arguments_of(child)[:len(words)] == list(words)]


def test_orphans_are_adopted_and_reaped(contained, tmp_path):
    door = contained
    ending = wait_until(lambda: len(found := adopted(door, "/bin/sh", "-c")) == 2 and found, "it is their parent")
    wait_until(lambda: len(adopted(door, "sleep", "300")) == 2, "also of those with a session of their own")
    (tmp_path / "end").touch()
    wait_until(lambda: all(state_of(pid) == "" for pid in ending), "no zombie is left")
    wait_until(lambda: not [child for child in children_of(door.first) if state_of(child) == "Z"], "nor another one")
    assert len(adopted(door, "sleep", "300")) == 2, "nobody has ended these"
    assert door.get().status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_stops_everything(contained, number):
    """Process 1 gets no signal that it has no handler for; and what it leaves would be killed without a word."""
    door = contained
    everybody = children_of(door.first)
    assert len(everybody) >= 5, "proxy, replicas, orphans"
    os.kill(door.first, number)
    assert door.wait() == 0
    assert all(state_of(pid) == "" for pid in everybody)
    log = door.log()
    assert log.count("ended with status") + log.count("ended with signal") >= 2
    assert "supervisor: stopped" in log


def test_the_proxy_is_restarted_and_upgraded(contained):
    door = contained
    proxy, = adopted(door, BINARY, "proxy")
    os.kill(proxy, signal.SIGKILL)
    wait_until(lambda: adopted(door, BINARY, "proxy") not in ([], [proxy]) and door.is_ready(), "another one serves")
    os.kill(door.first, signal.SIGUSR2)
    wait_until(lambda: "goes on as" in door.log(), "it is process 1 still, and the new program")
    assert door.get().status == 200
    assert len(adopted(door, "/usr/bin/python3", str(WORKER))) == 2
