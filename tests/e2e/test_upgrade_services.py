"""Services while an upgrade is under way: the former proxy drains, and its requests need their replicas, too."""

import subprocess
import threading

import pytest

from support.door import BINARY, children_of, one_pool, run_program
from support.ports import free_ports
from support.waiting import SCALE, wait_until
from test_services import HEALTH, config, replicas_of, wait_for_members
from test_upgrade_command import upgrade

pytestmark = pytest.mark.smoke

SLOW = b"GET /slow HTTP/1.1\r\nHost: test.local\r\nConnection: close\r\n\r\n"


@pytest.fixture
def started(portunus, tmp_path):
    ports = free_ports(4)
    door = portunus({**config(tmp_path, ports, replicas=1, stop={"grace": "60s"}), "shutdown": {"drain": "60s"}})
    wait_for_members(door, 1)
    return door


def order(door, *words):
    result = run_program(*words, "-c", str(door.path), folder=door.folder, seconds=60 * SCALE)
    assert result.returncode == 0, result


def test_a_replica_is_not_stopped_while_the_former_proxy_has_a_request_there(started, tmp_path):
    door = started
    (port, replica), = replicas_of(door).items()
    former = door.pid
    with door.connect() as client:
        client.send(SLOW)
        wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 1, "it runs")
        assert upgrade(door).returncode == 0
        assert former in children_of(door.supervisor_pid), "it drains"
        order(door, "restart", "web")
        wait_until(lambda: door.member(f"127.0.0.1:{port}")["state"] == "draining", "the replica drains")
        wait_until(lambda: door.member(f"127.0.0.1:{port}")["in_flight"] == 0, "the new proxy has nothing there")
        assert upgrade(door).returncode == 0, "what proxies have said outlives another upgrade"
        assert replicas_of(door) == {port: replica}
        (tmp_path / "go").touch()
        response = client.read_response()
        assert (response.status, response.body) == (200, str(replica).encode())
    wait_until(lambda: replicas_of(door).get(port) not in (None, replica), "then it is restarted, long before `grace`")
    wait_until(lambda: former not in children_of(door.supervisor_pid), "and the former proxy has ended")


def test_a_request_that_waits_in_the_former_proxy_gets_a_replica_that_starts_later(portunus, tmp_path):
    ports = free_ports(4)
    door = portunus({**config(tmp_path, ports, replicas=1), "shutdown": {"drain": "60s"},
                     "pools": {"web": {"retry": {"for": "60s"}}}})
    wait_for_members(door, 1)
    order(door, "stop", "web", "--wait")
    former = door.pid
    with door.connect(patience=60 * SCALE) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: test.local\r\nConnection: close\r\n\r\n")
        wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 1, "it waits for a member")
        assert upgrade(door).returncode == 0
        assert former in children_of(door.supervisor_pid), "it waits there"
        order(door, "start", "web", "--wait")
        response = client.read_response()
        (_, replica), = replicas_of(door).items()
        assert (response.status, response.body) == (200, str(replica).encode())


# ---- commands that wait


def begin(door, *words):
    return subprocess.Popen([BINARY, *words, "-c", str(door.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(command):
    out, err = command.communicate(timeout=60 * SCALE)
    assert command.returncode == 0, (out, err)
    return out


@pytest.mark.parametrize("words, what", [
    (("scale", "web", "2", "--wait"), "no command waits for a service any more"),
    (("roll", "web"), "the roll of service web is over"),
], ids=["scale", "roll"])
def test_a_command_that_waits_lives_through_an_upgrade(portunus, tmp_path, words, what):
    """The supervisor executes the new program when it has had its answer; the new proxy serves at once."""
    ports = free_ports(4)
    health = {**HEALTH, "start_period": "60s"}
    door = portunus(config(tmp_path, ports, replicas={"min": 1, "max": 2}, health=health))
    wait_for_members(door, 1)
    former = door.pid
    for port in ports[1:]:
        (tmp_path / f"sick-{port}").touch()
    with begin(door, *words) as command:
        wait_until(lambda: len(replicas_of(door)) == 2, "the newcomer has been started")
        with begin(door, "upgrade") as upgrading:
            for line in upgrading.stdout:
                if what in line:
                    break
            else:
                raise AssertionError(f"it did not say so: {upgrading.stderr.read()}")
            wait_until(lambda: former not in children_of(door.supervisor_pid), "the former proxy has gone")
            assert (command.poll(), upgrading.poll()) == (None, None)
            assert "goes on as" not in door.log()
            for port in ports[1:]:
                (tmp_path / f"sick-{port}").unlink()
            assert "web: done" in end(command)
            assert "upgrade: done" in end(upgrading)
    wait_until(lambda: "goes on as" in door.log(), "the log, written a moment later")
    assert door.get().status == 200


def test_who_leaves_does_not_hold_the_upgrade_up(portunus, tmp_path):
    ports = free_ports(4)
    door = portunus(config(tmp_path, ports, replicas={"min": 1, "max": 2}, health={**HEALTH, "start_period": "60s"}))
    wait_for_members(door, 1)
    for port in ports[1:]:
        (tmp_path / f"sick-{port}").touch()
    with begin(door, "scale", "web", "2", "--wait") as command:
        wait_until(lambda: len(replicas_of(door)) == 2, "the newcomer has been started")
        with begin(door, "upgrade") as upgrading:
            wait_until(lambda: "follows as soon as" in door.log(), "it waits")
            command.kill()
            assert "upgrade: done" in end(upgrading)


def test_drain_and_reload_are_asked_again_of_the_new_proxy(portunus, upstream):
    """Their connections end with the former proxy's admin interface."""
    hold = threading.Event()

    def slow(client):
        client.read_head()
        hold.wait(60 * SCALE)
        client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    member = upstream(slow)
    door = portunus(one_pool(member, shutdown={"drain": "60s"}))
    with door.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: test.local\r\nConnection: close\r\n\r\n")
        wait_until(lambda: door.member(member.address)["in_flight"] == 1, "it runs")
        with begin(door, "drain", f"web/{member.address}", "--wait", "60s") as draining:
            wait_until(lambda: door.member(member.address)["state"] == "draining", "it waits")
            assert upgrade(door).returncode == 0
            end(draining)
        assert door.member(member.address)["state"] == "draining", "the new proxy knows it"
        hold.set()
        assert client.read_response().status == 200
