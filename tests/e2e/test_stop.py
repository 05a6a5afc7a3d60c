"""Start and stop: readiness, draining, the second signal."""

import signal
import threading

import pytest

from support.door import one_pool, run_program
from support.ports import free_port
from support.upstream import serve_requests
from support.waiting import PATIENCE, wait_until
from support.websocket import echo, open_websocket
from support.wire import Truncated, connect, get, head

pytestmark = pytest.mark.smoke

# No wait of these tests lasts as long: who ends within PATIENCE has not waited for the end of its drain.
LONG_DRAIN = {"drain": "120s"}


def hold(release):
    def script(connection, _request):
        release.wait(PATIENCE * 4)
        connection.reply(200, b"finished")

    return serve_requests(script)


def wait_for_requests_in_flight(door, count):
    wait_until(lambda: door.metric("portunus_http_requests_in_flight") == count, f"{count} requests run")


def is_refused(door):
    """Every process and thread has closed its listening socket. It asks for nothing: members count what they are asked."""
    try:
        door.connect().close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # that one stood in a queue which went with its socket
        return False
    return False


def test_idle_program_stops_at_once(portunus):
    door = portunus(one_pool("127.0.0.1:1", shutdown=LONG_DRAIN))
    door.signal(signal.SIGTERM)
    assert door.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_request_finishes(portunus, upstream, number):
    release = threading.Event()
    door = portunus(one_pool(upstream(hold(release)), shutdown=LONG_DRAIN))
    with door.connect() as client:
        client.send(get("/slow"))
        wait_for_requests_in_flight(door, 1)
        door.signal(number)
        wait_until(lambda: is_refused(door), "new connections are refused")
        assert door.admin("/readyz").status == 503
        assert door.admin("/livez").status == 200
        assert door.is_running
        release.set()
        response = client.read_response()
        assert (response.status, response.body) == (200, b"finished")
        assert response.header("connection") == "close"
        client.expect_end()
    assert door.wait() == 0


def test_running_upload_finishes(portunus, upstream):
    member = upstream()
    door = portunus(one_pool(member, shutdown=LONG_DRAIN))
    with door.connect() as client:
        client.send(head("POST / HTTP/1.1", "Content-Length: 10") + b"first")
        wait_for_requests_in_flight(door, 1)
        door.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(door), "new connections are refused")
        client.send(b"later")
        assert client.read_response().status == 200
    # what asked whether connections are refused may have been served before
    assert [request.body for request in member.requests if request.method == "POST"] == [b"firstlater"]
    assert door.wait() == 0


def test_idle_connections_do_not_hold_it(portunus, upstream):
    door = portunus(one_pool(upstream(), shutdown=LONG_DRAIN))
    clients = [door.connect() for _ in range(10)]
    for client in clients[:8]:
        client.send(get("/"))
        assert client.read_response().status == 200
    door.signal(signal.SIGTERM)
    assert door.wait() == 0
    for client in clients:
        client.expect_end()
        client.close()


def test_second_signal_ends_at_once(portunus, upstream):
    release = threading.Event()
    door = portunus(one_pool(upstream(hold(release)), shutdown=LONG_DRAIN), may_end_badly=True)
    with door.connect() as client:
        client.send(get("/slow"))
        wait_for_requests_in_flight(door, 1)
        door.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(door), "it drains")
        door.signal(signal.SIGTERM)
        door.wait()
        release.set()
        assert client.read_response().status == 503, "it could still be told"
        client.expect_end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2], ids=lambda n: n.name)
def test_signals_up_to_the_last_moment_do_no_harm(portunus, upstream, number):
    door = portunus(one_pool(upstream()))
    assert door.reload().returncode == 0  # libuv's threads have begun
    door.signal(signal.SIGTERM)
    while door.is_running:
        door.signal(number)
    assert door.wait() == 0


def test_who_waits_for_max_connections_is_answered_at_the_stop(portunus, upstream):
    port = free_port()
    release = threading.Event()
    front = {"address": f"127.0.0.1:{port}", "max_connections": 2}
    door = portunus(one_pool(upstream(hold(release)), listeners={"front": front}, threads=1, shutdown=LONG_DRAIN))
    clients = [connect(port, patience=PATIENCE * 4) for _ in range(8)]
    for client in clients:
        client.send(get("/"))
    wait_until(lambda: door.metric("portunus_connections_rejected_total", listener="front") == 1, "the third one waits")
    door.signal(signal.SIGTERM)
    wait_until(lambda: door.metric("portunus_http_requests_in_flight") == 8, "all are in")
    release.set()
    assert [client.read_response().status for client in clients] == [200] * 8
    assert door.wait() == 0


def test_drain_has_an_end(portunus, upstream, stopwatch):
    release = threading.Event()
    door = portunus(one_pool(upstream(hold(release)), shutdown={"drain": "300ms"}))
    with door.connect() as client:
        client.send(get("/slow"))
        wait_for_requests_in_flight(door, 1)
        begin = stopwatch()
        door.signal(signal.SIGTERM)
        assert door.wait() == 0
        assert stopwatch() - begin > 0.25
        release.set()
        try:
            assert client.read_response().status == 503
        except Truncated:
            assert client.is_ended


def test_open_tunnels_are_cut_at_the_end_of_the_drain(portunus, upstream):
    door = portunus(one_pool(upstream(echo), shutdown={"drain": "300ms"}))
    with door.connect() as client:
        open_websocket(client)
        door.signal(signal.SIGTERM)
        assert door.wait() == 0
        client.read_until_end()


def test_announce_goes_on_serving_for_a_while(portunus, upstream):
    door = portunus(one_pool(upstream(), shutdown={"announce": "120s", "drain": "5s"}), may_end_badly=True)
    door.signal(signal.SIGTERM)
    wait_until(lambda: door.admin("/readyz").status == 503, "not ready")
    assert door.get().status == 200
    door.signal(signal.SIGTERM)  # its end is the next test's matter
    door.wait()


def test_announce_has_an_end(portunus, upstream, stopwatch):
    door = portunus(one_pool(upstream(), shutdown={"announce": "500ms", "drain": "5s"}))
    begin = stopwatch()
    door.signal(signal.SIGTERM)
    assert door.wait() == 0
    assert stopwatch() - begin >= 0.5


def test_reload_while_draining_does_no_harm(portunus, upstream):
    release = threading.Event()
    door = portunus(one_pool(upstream(hold(release)), shutdown=LONG_DRAIN))
    with door.connect() as client:
        client.send(get("/slow"))
        wait_for_requests_in_flight(door, 1)
        door.signal(signal.SIGTERM)
        door.signal(signal.SIGHUP)
        wait_until(lambda: is_refused(door), "it drains")
        release.set()
        assert client.read_response().status == 200
    assert door.wait() == 0


def test_reload_command_while_draining_is_told_so(portunus, upstream):
    release = threading.Event()
    door = portunus(one_pool(upstream(hold(release)), shutdown=LONG_DRAIN))
    with door.connect() as client:
        client.send(get("/slow"))
        wait_for_requests_in_flight(door, 1)
        door.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(door), "it drains")
        result = run_program("reload", "-c", str(door.path), "--timeout", "20s", seconds=PATIENCE * 4)
        assert result.returncode == 1, result
        release.set()
        assert client.read_response().status == 200
    assert door.wait() == 0


def test_status_while_draining_says_so_once(portunus, upstream):
    release = threading.Event()
    door = portunus(one_pool(upstream(hold(release)), shutdown=LONG_DRAIN))
    with door.connect() as client:
        client.send(get("/slow"))
        wait_for_requests_in_flight(door, 1)
        door.signal(signal.SIGTERM)
        wait_until(lambda: door.admin("/readyz").status == 503, "it drains")
        result = run_program("status", "-c", str(door.path))
        assert result.returncode == 0, result
        assert result.stdout.split("\n")[0].split() == ["state", "draining"], result.stdout
        release.set()
        assert client.read_response().status == 200
    assert door.wait() == 0


def test_taken_port_ends_the_start_with_a_reason(portunus, upstream):
    taken = upstream()
    door = portunus({"sites": {"*": {"respond": {"status": 200}}}, "listeners": {"front": taken.address}},
                    wait_ready=False, may_end_badly=True)
    assert door.wait() == 1
    assert str(taken.port) in door.log()
    assert "in use" in door.log()


def test_taken_admin_port_ends_the_start_with_a_reason(portunus, upstream):
    taken = upstream()
    door = portunus({"sites": {"*": {"respond": {"status": 200}}}, "admin": {"listen": taken.address}},
                    wait_ready=False, may_end_badly=True)
    assert door.wait() == 1
    assert str(taken.port) in door.log()


def test_start_with_a_bad_file_tells_where(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("sites:\n  x.test:\n    poool: web\n")
    result = run_program("run", "-c", str(file))
    assert result.returncode == 1
    assert "bad.yaml:3:5" in result.stderr
    assert "pool" in result.stderr


def test_second_instance_on_the_same_ports_is_refused(portunus):
    """SO_REUSEPORT would let two share the traffic in silence."""
    door = portunus({"sites": {"*": {"respond": {"status": 200}}}})
    result = run_program("run", "-c", str(door.path))
    assert result.returncode == 1
    assert door.get().status == 200
    with connect(door.admin_port) as client:
        client.send(get("/livez", host=f"127.0.0.1:{door.admin_port}"))
        assert client.read_response().status == 200
