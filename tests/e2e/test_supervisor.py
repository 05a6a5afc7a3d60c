"""The supervisor: it owns the sockets, and a proxy that dies, hangs or stops by itself is replaced."""

import os
import pwd
import re
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from support.door import BINARY, children_of, one_pool
from support.hard_workers import is_alive
from support.ports import free_port
from support.waiting import PATIENCE, SANITIZER, SCALE, wait_until, wait_until_still
from support.websocket import echo, frame, open_websocket, read_frame
from support.wire import connect, get

pytestmark = pytest.mark.smoke

RESPOND = {"sites": {"*": {"respond": {"status": 200, "body": "here"}}}}


def kill_proxy(door, number=signal.SIGKILL):
    """Returns when the next one serves."""
    pid = door.pid
    os.kill(pid, number)
    wait_until(lambda: door.proxy_pid() not in (None, pid), "another proxy runs")
    wait_until(door.is_ready, "it is ready")
    return pid


def kill_for_good(pid):
    """Returns when none of its threads runs any more: until then it may accept who connects. Nothing is polled, so that its
    follower has not begun to serve."""
    process = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        assert select.select([process], [], [], PATIENCE)[0]
    finally:
        os.close(process)


def wait_until_alone(door, *formers):
    """The former proxies have gone: there is one, the door's."""
    wait_until(lambda: children_of(door.supervisor_pid) == [door.pid] and door.pid not in formers, "one proxy, and nothing else is left")


def status_of(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(\w+):\s*(.*)$", text, re.M))


def test_run_is_two_processes(portunus):
    door = portunus(RESPOND)
    wait_until_alone(door)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT], ids=lambda n: n.name)
def test_a_proxy_that_ends_is_replaced(portunus, number):
    door = portunus(RESPOND)
    kill_proxy(door, number)
    assert door.get().body == b"here"
    wait_until(lambda: "the proxy serves again" in door.log(), "the supervisor says so")


def test_nobody_is_refused_while_there_is_no_proxy(portunus):
    """The new proxy is stopped before it can serve: who connects meanwhile waits in the kernel's queue."""
    door = portunus(RESPOND, open_files=256)
    kill_for_good(door.pid)
    clients = [connect(door.port, patience=PATIENCE * 3) for _ in range(20)]
    for client in clients:
        client.send(get("/", "Connection: close"))
    assert [client.read_response().status for client in clients] == [200] * 20


def test_no_connection_is_refused_under_load(portunus, keeper):
    door = portunus(one_pool(keeper.nginx(), threads=2))
    load = keeper.load(door, seconds=50 * SCALE, connections=16)
    refused = 0
    for _ in range(5):
        kill_proxy(door)
        for _ in range(20):
            try:
                connect(door.port).close()
            except ConnectionRefusedError:
                refused += 1
    requests, failures = load.finish()
    assert refused == 0
    assert requests > 100
    # Those that a dying proxy had accepted are lost with it.
    assert "Non-2xx" not in failures
    assert re.search(r"connect [1-9]", failures) is None, failures


@pytest.mark.skipif(bool(SANITIZER), reason="a bound on time")
def test_first_restart_is_quick(portunus):
    door = portunus(RESPOND)
    begin = time.monotonic()
    kill_for_good(door.pid)
    assert door.get().status == 200
    assert time.monotonic() - begin < 5, "200 ms on a quiet machine"
    took = wait_until(lambda: re.search(r"serves again, (\d+) ms after its start", door.log()), "the supervisor says so")
    assert int(took[1]) < 5000


def test_crash_loop_ends_in_back_off(portunus):
    door = portunus(RESPOND)
    for _ in range(4):
        kill_proxy(door)
    told = wait_until(lambda: len(found := re.findall(r"started again in (\d+) ms", door.log())) == 4 and found, "each pause is told")
    pauses = [int(ms) for ms in told]
    assert pauses[0] == 0
    assert all(80 <= pause for pause in pauses[1:])
    assert pauses[3] > 1.5 * pauses[1], "it grows"


def test_a_proxy_that_hangs_is_killed(portunus):
    door = portunus(RESPOND)
    pid = door.pid
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: door.proxy_pid() not in (None, pid), "it is replaced", 20 * SCALE)
    wait_until(lambda: "does not answer" in door.log(), "the supervisor says so")
    assert door.get().status == 200


def test_a_killed_supervisor_takes_the_proxy_along(portunus, upstream):
    door = portunus(one_pool(upstream(echo), shutdown={"drain": "300ms"}), may_end_badly=True)
    pid = door.pid
    with door.connect() as client:
        open_websocket(client)
        door.signal(signal.SIGKILL)
        door.process.wait()
        wait_until(lambda: not is_alive(pid), "the proxy has ended")
    assert "the supervisor has gone" in door.log()
    door.start()  # the ports are free again
    assert door.admin("/readyz").status == 200


def test_whoever_follows_a_killed_supervisor_need_not_wait_for_its_requests(portunus, upstream):
    """The former proxy ends its tunnel, and holds no address meanwhile, the admin interface's neither."""
    door = portunus(one_pool(upstream(echo), shutdown={"drain": "30s"}), may_end_badly=True)
    former = door.pid
    with door.connect() as client:
        open_websocket(client)
        door.signal(signal.SIGKILL)
        door.process.wait()
        wait_until(lambda: "the supervisor has gone" in door.log(), "the proxy knows")
        wait_until(lambda: is_closed(door.port) and is_closed(door.admin_port), "it has let go of its addresses")
        door.start()
        assert door.pid != former
        assert not status_of(former)["State"].startswith("Z"), "it drains yet"
        client.send(frame(b"still here", masked=True))
        assert read_frame(client)[-1] == b"still here"


def test_reload_binds_new_listeners_by_the_supervisor(portunus):
    door = portunus(RESPOND)
    second = free_port()
    both = {"front": f"127.0.0.1:{door.port}", "second": f"127.0.0.1:{second}"}
    door.write({**RESPOND, "listeners": both})
    assert door.reload().returncode == 0
    with connect(second) as client:
        client.send(get("/"))
        assert client.read_response().status == 200
    kill_proxy(door)
    with connect(second) as client:
        client.send(get("/"))
        assert client.read_response().status == 200, "the new one has it as well"
    door.write(RESPOND)
    assert door.reload().returncode == 0
    wait_until(lambda: is_closed(second), "nobody listens there any more")
    assert door.get().status == 200


def is_closed(port):
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_reload_with_a_taken_port_is_refused_and_changes_nothing(portunus, upstream):
    taken = upstream()
    door = portunus(RESPOND)
    door.write({**RESPOND, "listeners": {"front": f"127.0.0.1:{door.port}", "second": taken.address}})
    result = door.reload()
    assert result.returncode == 1
    assert "in use" in result.stderr
    assert door.get().status == 200
    kill_proxy_with_refused_file(door)


def kill_proxy_with_refused_file(door):
    """The file names what cannot be bound: no proxy can start on it, and clients wait until it is right again."""
    kill_for_good(door.pid)
    with connect(door.port, patience=PATIENCE * 4) as client:
        client.send(get("/"))
        wait_until(lambda: "cannot start" in door.log(), "the reason is told")
        door.write(RESPOND)
        assert client.read_response().status == 200


def test_logs_are_reopened_in_both_processes(portunus):
    door = portunus({**RESPOND, "log": {"output": "program.log"}})
    path = door.folder / "program.log"
    path.rename(door.folder / "program.log.1")
    door.signal(signal.SIGUSR1)
    wait_until(path.exists, "a new file")
    wait_until(lambda: "logs reopened" in path.read_text(), "the proxy writes to it")
    kill_proxy(door)
    wait_until(lambda: "the proxy was ended by SIGKILL" in path.read_text(), "so does the supervisor")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
def test_the_proxy_runs_as_the_user(portunus):
    nobody = pwd.getpwnam("nobody")
    port = next(port for port in range(81, 1000) if is_closed(port))  # root's to bind
    config = {**RESPOND, "user": "nobody", "listeners": {"front": f"127.0.0.1:{port}"}}
    door = portunus(config, world_readable=True)
    with connect(port) as client:
        client.send(get("/"))
        assert client.read_response().status == 200
    status = status_of(door.pid)
    assert status["Uid"].split() == [str(nobody.pw_uid)] * 4
    assert status["Gid"].split() == [str(nobody.pw_gid)] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert status_of(door.supervisor_pid)["Uid"].split()[0] == "0"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
def test_rotated_logs_are_the_users(portunus, tmp_path):
    """The folder is the user's, who may put a link there: root is not to follow it."""
    folder = Path(tempfile.mkdtemp(prefix="portunus-logs-"))
    secret = tmp_path / "roots"
    secret.mkdir(mode=0o700)
    try:
        shutil.chown(folder, "nobody")
        path = folder / "program.log"
        door = portunus({**RESPOND, "user": "nobody", "log": {"output": str(path)}}, world_readable=True)
        assert path.owner() == "nobody"
        path.rename(folder / "program.log.1")
        door.signal(signal.SIGUSR1)
        wait_until(lambda: path.exists() and "logs reopened" in path.read_text(), "the proxy writes to a new file")
        assert path.owner() == "nobody"
        kill_proxy(door)
        assert door.get().status == 200
        path.unlink()
        path.symlink_to(secret / "made")
        door.signal(signal.SIGUSR1)
        kill_proxy_in_vain(door)
        assert not (secret / "made").exists()
        path.unlink()
        wait_until(door.is_ready, "it serves as soon as its log can be opened", 20 * SCALE)
    finally:
        shutil.rmtree(folder)


def kill_proxy_in_vain(door):
    os.kill(door.pid, signal.SIGKILL)
    wait_until(lambda: "cannot start" in door.log(), "the next one cannot open its log")


def test_unknown_user_ends_the_start_with_a_reason(portunus):
    door = portunus({**RESPOND, "user": "nobody-knows-him"}, may_end_badly=True, wait_ready=False)
    assert door.wait() == 1
    assert "nobody-knows-him" in door.log()


def test_the_proxy_leaves_no_core(portunus):
    door = portunus(RESPOND)
    soft, hard = resource.prlimit(door.pid, resource.RLIMIT_CORE)
    assert (soft, hard) == (0, 0)
    if not SANITIZER:  # these look into themselves
        assert Path(f"/proc/{door.pid}").stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0 or bool(SANITIZER), reason="only root can change the user; sanitizers look into themselves")
def test_its_own_user_cannot_look_into_the_proxy(portunus):
    door = portunus({**RESPOND, "user": "nobody"}, world_readable=True)
    assert status_of(door.pid)["Uid"].split()[0] == str(pwd.getpwnam("nobody").pw_uid)
    for name in ("mem", "fd", "environ"):
        result = subprocess.run(["/bin/ls" if name == "fd" else "/bin/cat", f"/proc/{door.pid}/{name}"], user="nobody", group="nogroup",
                                extra_groups=[], capture_output=True, text=True, check=False, timeout=20)
        assert result.returncode != 0
        assert "ermission denied" in result.stderr
    assert door.get().status == 200
    assert door.metric("process_open_fds") > 5, "it still sees itself"


@pytest.mark.skipif(bool(SANITIZER), reason="sanitizers need more memory")
def test_the_supervisor_is_small_and_sleeps(portunus):
    door = portunus(RESPOND)
    pid = door.supervisor_pid
    wait_until_still(lambda: int(status_of(pid)["voluntary_ctxt_switches"]), "what follows the start has been done")
    begin = time.monotonic()  # before the first look, and the end behind the last one: no waking is counted without its time
    switches = int(status_of(pid)["voluntary_ctxt_switches"])
    for _ in range(20):
        assert door.get().status == 200
    # The one reason to wake is the proxy's sign of life, once a second.
    woken = int(status_of(pid)["voluntary_ctxt_switches"]) - switches
    assert woken <= 4 + 3 * (time.monotonic() - begin)
    wait_until(lambda: int(status_of(pid)["VmRSS"].split()[0]) < 8 * 1024, "it is small")
    upgrade(door)
    # It lets go of the code of its start behind the line that upgrade() waits for.
    wait_until(lambda: int(status_of(pid)["VmRSS"].split()[0]) < 8 * 1024, "it is small as another program too")


@pytest.mark.skipif(bool(SANITIZER), reason="sanitizers need more memory")
def test_the_supervisor_is_small_with_many_services(portunus):
    service = {"command": ["sleep", "100000"], "replicas": 4}
    door = portunus({**RESPOND, "services": {f"web{i}": service for i in range(50)}})
    wait_until(lambda: len(children_of(door.supervisor_pid)) == 201, "all replicas run", 20)
    wait_until(lambda: int(status_of(door.supervisor_pid)["VmRSS"].split()[0]) < 8 * 1024, "it lets go of the code that started them", 20)


def test_many_restarts_leak_nothing(portunus):
    """Without the back-off: the proxy is told to end by a signal, and the supervisor waits as it would."""
    door = portunus(RESPOND)
    kill_proxy(door)

    before = door.supervisor_files()
    for _ in range(4):
        kill_proxy(door)
    wait_until(lambda: door.supervisor_files() == before, "as many descriptors as before")
    wait_until_alone(door)


def test_proxy_alone_serves_and_stops(portunus):
    """`portunus proxy`: one process, without the supervisor."""
    door = portunus(RESPOND, command="proxy")
    assert door.get().status == 200
    door.signal(signal.SIGTERM)
    assert door.wait() == 0


# ---- upgrade


def upgrade(door):
    """Returns when the supervisor has gone on as the new program."""
    count = door.log().count("goes on as")
    door.signal(signal.SIGUSR2)
    wait_until(lambda: door.log().count("goes on as") == count + 1, "the supervisor has executed the new program")


def test_upgrade_costs_no_request(portunus, keeper, upstream):
    """Under load, with an open WebSocket that lives on."""
    config = one_pool(keeper.nginx(), shutdown={"drain": "60s"},
                      site={"routes": [{"match": {"path": "/ws"}, "pool": "sockets"}]})
    config["pools"]["sockets"] = {"upstreams": [upstream(echo).address], "health": "off"}
    door = portunus(config)
    load = keeper.load(door, seconds=50 * SCALE, connections=16)
    for _ in range(3):
        before = door.pid
        with door.connect() as client:
            open_websocket(client)
            upgrade(door)
            client.send(frame(b"still there", masked=True))
            assert read_frame(client) == (1, b"still there")
        wait_until(lambda former=before: former not in children_of(door.supervisor_pid), "the former proxy has drained")
    requests, failures = load.finish()
    assert failures == ""
    assert requests > 100
    wait_until_alone(door)


def test_a_websocket_lives_on_while_the_former_proxy_drains(portunus, upstream):
    door = portunus(one_pool(upstream(echo), shutdown={"drain": "60s"}))
    before = door.pid
    with door.connect() as client:
        open_websocket(client)
        upgrade(door)
        client.send(frame(b"still there", masked=True))
        assert read_frame(client) == (1, b"still there")
        assert door.admin("/readyz").status == 200, "the new one answers"
        assert before in children_of(door.supervisor_pid)
    wait_until_alone(door, before)


def test_a_websocket_is_cut_when_the_drain_ends(portunus, upstream):
    door = portunus(one_pool(upstream(echo), shutdown={"drain": "500ms"}))
    before = door.pid
    with door.connect() as client:
        open_websocket(client)
        upgrade(door)
        client.read_until_end()
    wait_until(lambda: before not in children_of(door.supervisor_pid), "and then it is gone")
    assert door.get(path="/").status in (200, 502)


def test_upgrade_to_a_program_that_does_not_run_is_refused(portunus, tmp_path):
    program = tmp_path / "portunus"
    shutil.copy(BINARY, program)
    door = portunus(RESPOND, binary=str(program))
    before = door.pid
    program.unlink()
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    door.signal(signal.SIGUSR2)
    wait_until(lambda: "given up, nothing has changed" in door.log(), "it is told")
    assert door.pid == before
    assert door.get().status == 200
    program.unlink()
    shutil.copy(BINARY, program)
    upgrade(door)
    wait_until(lambda: before not in children_of(door.supervisor_pid), "the former proxy has drained")
    assert door.get().status == 200


def test_upgrade_with_a_file_that_has_become_wrong_tells_what_is_wrong(portunus):
    door = portunus(RESPOND)
    before = door.pid
    door.write("sites:\n  x.test:\n    poool: web\n")
    wait_until(lambda: "nothing has changed" in door.log(), "the reload is refused")
    door.signal(signal.SIGUSR2)
    wait_until(lambda: "upgrade: given up, nothing has changed" in door.log(), "so is the upgrade")
    wait_until(lambda: door.log().count("portunus.yaml:3:5") >= 2, "with the reason each time")
    assert door.pid == before
    assert door.get().status == 200


def test_after_an_upgrade_all_goes_on(portunus):
    door = portunus(RESPOND)
    former = door.pid
    upgrade(door)
    wait_until_alone(door, former)  # or it might be the one that is killed
    kill_proxy(door)
    assert door.get().status == 200
    second = free_port()
    door.write({**RESPOND, "listeners": {"front": f"127.0.0.1:{door.port}", "second": f"127.0.0.1:{second}"}})
    assert door.reload().returncode == 0
    with connect(second) as client:
        client.send(get("/"))
        assert client.read_response().status == 200
    upgrade(door)
    door.signal(signal.SIGTERM)
    assert door.wait() == 0
