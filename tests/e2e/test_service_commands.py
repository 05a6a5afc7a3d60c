"""Commands about services: what `portunus services`, `scale`, `roll`, `restart`, `start`, `stop` and `logs` do to a
running supervisor, and what its admin interface says of services."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

from support.door import BINARY, run_program
from support.ports import free_ports
from support.waiting import PATIENCE, SCALE, wait_until
from support.wire import get
from test_services import HEALTH, WORKER, config, replicas_of, wait_for_members

NAMED = {"min": 1, "max": 4}


class Commands:
    """The program's commands, as a person calls them."""

    def __init__(self, door, folder, ports):
        self.door, self.folder, self.ports = door, folder, ports
        self.state = door.folder / "state"
        self.socket = self.state / "control.sock"

    def run(self, verb, *arguments, seconds=PATIENCE * 4):
        return run_program(verb, *arguments, "-c", str(self.door.path), folder=self.door.folder, seconds=seconds)

    def good(self, verb, *arguments):
        result = self.run(verb, *arguments)
        assert (result.returncode, result.stderr) == (0, ""), result
        return result.stdout

    def services(self, *arguments):
        return json.loads(self.good("services", "--json", *arguments))["services"]

    def replicas(self):
        return self.services("web")[0]["replicas"]

    def running(self):
        return {replica["port"]: replica["pid"] for replica in self.replicas() if replica["state"] == "running"}

    def wait_for_running(self, count):
        wait_until(lambda: len(self.running()) == count, f"{count} run", 30 * SCALE)
        return self.running()


@pytest.fixture
def started(portunus, tmp_path):
    def make(replicas=NAMED, count=5, **changes):
        ports = free_ports(count)
        door = portunus(config(tmp_path, ports, replicas=replicas, **changes))
        commands = Commands(door, tmp_path, ports)
        first = replicas["min"] if isinstance(replicas, dict) else replicas
        wait_for_members(door, first)
        commands.wait_for_running(first)
        return commands

    return make


@pytest.mark.smoke
def test_services_shows_every_replica(started):
    web = started(replicas=2)
    service, = web.services()
    assert (service["name"], service["state"], service["desired"], service["rolling"]) == ("web", "up", 2, False)
    assert {replica["port"]: replica["pid"] for replica in service["replicas"]} == replicas_of(web.door)
    for number, replica in enumerate(service["replicas"]):
        assert replica["replica"] == number
        assert replica["state"] == "running"
        assert replica["restarts"] == 0
        assert "last_reason" not in replica
        assert 0 < replica["uptime_s"] < 60 * SCALE
        assert replica["started"].startswith("20")
        assert replica["memory_bytes"] > 1_000_000
        assert replica["cpu_s"] >= 0
    port, pid = next(iter(replicas_of(web.door).items()))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: web.running().get(port, pid) != pid, "it is restarted")
    again = next(replica for replica in web.replicas() if replica["port"] == port)
    assert again["restarts"] == 1
    assert again["last_reason"].startswith("crashed")
    lines = web.good("services").splitlines()
    assert re.split(r"\s{2,}", lines[0]) == ["SERVICE", "REPLICA", "PID", "PORT", "STATE", "UPTIME", "RESTARTS", "MEMORY",
                                             "CPU", "LAST REASON"]
    row = next(line for line in lines if f" {port} " in line)
    assert re.fullmatch(rf"web +\d +{again['pid']} +{port} +running +\d+s +1 +[\d.]+ MiB +[\d.]+ s +crashed.*", row), row
    assert len(lines) == 3


def shell(portunus, folder, script, **changes):
    """A service of one replica without a probe, and its commands."""
    definition = {"command": ["/bin/sh", "-c", script], **changes}
    door = portunus({"sites": {"*": {"respond": {"status": 200}}}, "services": {"web": definition}})
    return Commands(door, folder, [])


def seen(web, **wanted):
    """The only replica, as command and API show it, once it is so."""

    def look():
        replica, = web.replicas()
        views = [replica, *(shown for service in web.door.json("/v1/services")["services"] for shown in service["replicas"])]
        return len(views) == 2 and all(view.get(key) == value for view in views for key, value in wanted.items()) and replica

    return wait_until(look, f"{wanted} is shown", PATIENCE * 2)


@pytest.mark.parametrize("policy, script, reason", [
    ("never", "exit 3", "crashed: status 3"), ("never", "kill -SEGV $$", "crashed: signal 11 (SIGSEGV)"),
    ("never", "exit 0", "ended: status 0"), ("on-failure", "exit 0", "ended: status 0"),
])
def test_what_has_ended_and_stays_so_says_why(portunus, tmp_path, policy, script, reason):
    web = shell(portunus, tmp_path, script, restart=policy)
    replica = seen(web, state="stopped", last_reason=reason)
    assert replica["restarts"] == 0 and "waits_for" not in replica
    row = web.good("services").splitlines()[1]
    assert re.fullmatch(rf"web +0 +- +- +stopped +- +0 +- +- +{re.escape(reason)}", row), row


@pytest.mark.parametrize("wait, restart", [
    ("backoff", {"backoff": "2h"}), ("storm_guard", {"backoff": "10ms", "max_in_window": "2 in 1h"}),
])
def test_what_waits_says_what_for(portunus, tmp_path, wait, restart):
    web = shell(portunus, tmp_path, "exit 1", restart=restart)
    replica = seen(web, state="waiting", waits_for=wait, last_reason="crashed: status 1")
    assert replica["next_start"].startswith("20")
    row = web.good("services").splitlines()[1]
    assert re.search(rf" waiting: {wait} \d+[hm] \d+[ms] +-", row), row


def test_what_waits_for_a_port_says_so(started):
    web = started(replicas=1, count=2)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", web.ports[1]))
        stranger.listen()
        web.good("stop", "web", "--wait")
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", web.ports[0]))
            other.listen()
            web.good("start", "web")
            seen(web, state="waiting", waits_for="port")
    web.wait_for_running(1)
    assert "waits_for" not in seen(web, state="running")


def test_who_is_sick_and_may_not_go_yet_waits_for_its_turn(started):
    """Of three one is restarted at a time, and it does not get well."""
    web = started(replicas=3, health={**HEALTH, "start_period": "60s"})
    for port in web.ports[:3]:
        (web.folder / f"sick-{port}").touch()

    def states():
        return sorted((replica["state"], replica.get("waits_for", "")) for replica in web.replicas())

    wait_until(lambda: states() == [("running", "turn"), ("running", "turn"), ("starting", "")], "two wait", PATIENCE * 2)
    assert len(re.findall(r" running: turn +\d+s ", web.good("services"))) == 2
    for port in web.ports[:3]:
        (web.folder / f"sick-{port}").unlink()
    wait_until(lambda: states() == [("running", "")] * 3, "nobody waits any more", PATIENCE * 2)


@pytest.mark.smoke
def test_scale_within_its_bounds(started):
    web = started()
    before = replicas_of(web.door)
    assert "3" in web.good("scale", "web", "3")
    wait_for_members(web.door, 3)
    assert before.items() <= replicas_of(web.door).items()
    for wrong in ("0", "5", "4294967295"):
        result = web.run("scale", "web", wrong)
        assert result.returncode == 1
        assert "1 to 4" in result.stderr or "number" in result.stderr
    assert web.services()[0]["desired"] == 3
    web.good("scale", "web", "1")
    wait_until(lambda: len(replicas_of(web.door)) == 1, "the others go", 30 * SCALE)


def test_roll_loses_no_request(started, keeper):
    web = started(replicas=3)
    before = set(web.running().values())
    load = keeper.load(web.door, path="/", seconds=60 * SCALE, connections=8)
    progress = web.good("roll", "web")
    assert not before & set(web.running().values()), "all are new"
    requests, failures = load.finish()
    assert failures == ""
    assert requests > 100
    assert "3 of 3 done" in progress
    assert progress.splitlines()[-1] == "web: done"
    assert web.services()[0]["restarts"]["crashed"] == 0


def test_a_roll_tells_while_it_goes(started):
    web = started(replicas=1, stop={"grace": "60s"})
    with web.door.connect(patience=PATIENCE * 4) as client:
        client.send(get("/slow"))  # as long as it runs, the roll waits for it
        wait_until(lambda: web.door.metric("portunus_http_requests_in_flight") == 1, "it has begun")
        with subprocess.Popen([BINARY, "roll", "web", "-c", str(web.door.path)], stdout=subprocess.PIPE, text=True) as roll:
            assert "1 to replace" in roll.stdout.readline()
            assert web.services()[0]["rolling"] is True
            second = web.run("roll", "web")
            assert second.returncode == 1
            assert "rolled already" in second.stderr
            (web.folder / "go").touch()
            assert client.read_response().status == 200
            assert roll.wait(PATIENCE * 4) == 0


def test_who_leaves_does_not_end_the_roll(started):
    web = started(replicas=1)
    before = set(web.running().values())
    with subprocess.Popen([BINARY, "roll", "web", "-c", str(web.door.path)], stdout=subprocess.PIPE, text=True) as roll:
        assert "1 to replace" in roll.stdout.readline()
        roll.kill()
    wait_until(lambda: web.running() and not before & set(web.running().values()), "it has been replaced", 30 * SCALE)
    wait_until(lambda: web.services()[0]["rolling"] is False, "the roll ends", 30 * SCALE)


def test_a_roll_that_takes_too_long(started):
    web = started(replicas=1)
    result = web.run("roll", "web", "--timeout", "1ms")
    assert result.returncode == 4, result


def test_a_roll_stops_at_a_newcomer_that_is_not_good(started):
    web = started(replicas=2, health={**HEALTH, "start_period": f"{2 + SCALE}s"})  # enough for those that are good
    before = web.running()
    for port in web.ports[2:]:
        (web.folder / f"sick-{port}").touch()
    result = web.run("roll", "web")
    assert result.returncode == 1, result
    assert "failed" in result.stdout + result.stderr
    wait_until(lambda: web.running() == before and len(web.replicas()) == 2, "those from before are left", 30 * SCALE)
    assert web.door.get().status == 200


def test_a_new_definition_that_does_not_work_is_shown_and_tried_again_by_a_roll(started, tmp_path):
    web = started(replicas=1)
    before = web.running()
    script = tmp_path / "new_worker"
    settings = config(tmp_path, web.ports, replicas=1)
    settings["services"]["web"]["command"] = [str(script), "{port}"]
    web.door.write(settings)
    assert web.door.reload().returncode == 0, "the file is valid"
    wait_until(lambda: "runs as it was before, because its new definition does not work" in web.good("services"), "it is shown",
               PATIENCE)
    assert "it ended before it was good" in web.services()[0]["definition_refused"]
    wait_until(lambda: "definition_refused" in web.door.admin("/v1/services").body.decode(), "by the API as well", PATIENCE)
    assert web.door.metric("portunus_supervisor_definition_refused", service="web") == 1
    result = web.run("roll", "web")
    assert result.returncode == 1, result
    assert "it ended before it was good" in result.stdout + result.stderr
    assert web.running() == before
    script.write_text(f'#!/bin/sh\nexec /usr/bin/python3 {WORKER} "$1" {tmp_path}\n')
    script.chmod(0o755)
    assert web.good("roll", "web").splitlines()[-1] == "web: done"
    assert not set(before.values()) & set(web.running().values())
    assert "definition_refused" not in web.services()[0]
    wait_until(lambda: web.door.metric("portunus_supervisor_definition_refused", service="web") == 0, "and counted", PATIENCE)


@pytest.mark.smoke
def test_restart_stop_start(started):
    web = started(replicas=2)
    before = web.running()
    web.good("restart", "web")
    wait_until(lambda: len(web.running()) == 2 and not set(before.values()) & set(web.running().values()), "others run",
               30 * SCALE)
    assert web.services()[0]["restarts"]["operator"] == 2
    web.good("stop", "web")
    assert web.services()[0]["state"] == "stopped", "at once"
    wait_until(lambda: not replicas_of(web.door), "none runs", 30 * SCALE)
    assert web.run("restart", "web").returncode == 1
    web.good("start", "web")
    wait_for_members(web.door, 2)


def test_wrong_words(started):
    web = started(replicas=1)
    for verb in (["services", "none"], ["scale", "none", "2"], ["roll", "none"], ["restart", "none"], ["stop", "none"]):
        result = web.run(*verb)
        assert result.returncode == 1
        assert "no service is named none" in result.stderr
    for verb in (["scale", "web"], ["scale", "web", "many"], ["scale", "web", "-1"], ["roll"], ["stop"],
                 ["services", "--timeout", "soon"]):
        assert web.run(*verb).returncode == 2, verb


def test_not_reachable(tmp_path):
    file = tmp_path / "portunus.yaml"
    file.write_text(f"state: {tmp_path}/state\nsites:\n  '*': {{ respond: {{ status: 200 }} }}\n")
    for verb in (["services"], ["scale", "web", "1"], ["roll", "web"], ["restart", "web"]):
        result = run_program(*verb, "-c", str(file))
        assert result.returncode == 3, result
        assert "control.sock" in result.stderr
    assert run_program("services", "--socket", str(tmp_path / "none")).returncode == 3


# ---- the socket


def ask(path, text, seconds=PATIENCE):
    """Through the folder: the path may be too long for an address. What is too long is answered and not read to its end."""
    folder = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(seconds)
            client.connect(f"/proc/self/fd/{folder}/{path.name}")
            answer = b""
            with contextlib.suppress(ConnectionError):
                client.sendall(text)
            with contextlib.suppress(ConnectionError):
                while part := client.recv(65536):
                    answer += part
            return answer
    finally:
        os.close(folder)


def test_only_its_user_may_open_the_socket(started):
    web = started(replicas=1)
    assert stat.S_IMODE(web.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(web.state.stat().st_mode) == 0o700


# It may be refused before it has asked.
STOP_WEB = """
import contextlib, socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(10)
client.connect(sys.argv[1])
with contextlib.suppress(BrokenPipeError):
    client.sendall(b'{"verb":"stop","service":"web"}\\n')
print(client.recv(4096).decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_another_user_is_refused(portunus, tmp_path):
    folder = tmp_path
    door = portunus(config(folder, free_ports(2), replicas=1), world_readable=True)
    path = door.folder / "state" / "control.sock"
    path.parent.chmod(0o755)
    path.chmod(0o666)
    result = subprocess.run(["/usr/bin/python3", "-c", STOP_WEB, str(path)], user="nobody", group="nogroup", extra_groups=[],
                            cwd="/", capture_output=True, text=True, timeout=PATIENCE * 2, check=False)
    assert result.returncode == 0, result
    assert json.loads(result.stdout)["ok"] is False
    wait_for_members(door, 1)


def test_strange_requests(started):
    web = started(replicas=1)
    for text in (b"nonsense\n", b"[]\n", b"{}\n", b'{"verb":7}\n', b'{"verb":"scale","service":"web","replicas":"x"}\n',
                 b'{"verb":"scale","service":"web"}\n', b'{"verb":"shutdown","service":"web"}\n', b"\xff\xfe\n",
                 b"[" * 60000 + b"\n", b"x" * 70000):
        answer = ask(web.socket, text)
        assert json.loads(answer.splitlines()[-1])["ok"] is False, text[:40]
    assert web.services()[0]["state"] == "up"


def test_many_clients_that_say_nothing(started):
    web = started(replicas=1)
    folder = os.open(web.state, os.O_PATH)
    idle = []
    try:
        for _ in range(40):
            client = socket.socket(socket.AF_UNIX)
            client.connect(f"/proc/self/fd/{folder}/control.sock")
            client.settimeout(PATIENCE)
            idle.append(client)
        assert idle[-1].recv(10) == b"", "one too many is closed"
    finally:
        os.close(folder)
        for client in idle:
            client.close()
    wait_until(lambda: web.run("services").returncode == 0, "there is room again")


@pytest.mark.smoke
def test_socket_goes_and_comes_with_the_supervisor(started):
    web = started(replicas=1)
    web.door.signal(signal.SIGTERM)
    assert web.door.wait() == 0
    assert not web.socket.exists()
    web.socket.touch()
    web.door.start()
    assert web.run("services").returncode == 3
    wait_until(lambda: "no control socket" in web.door.log(), "the log says so")


def test_stale_socket_is_replaced(started):
    web = started(replicas=1)
    web.door.signal(signal.SIGTERM)
    assert web.door.wait() == 0
    folder = os.open(web.state, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"/proc/self/fd/{folder}/control.sock")
    os.close(folder)
    web.door.start()
    assert web.services()[0]["name"] == "web"


# ---- the admin interface


@pytest.mark.smoke
def test_metrics_and_api(started):
    web = started(replicas=2)

    def metric(name, **labels):
        return web.door.metric("portunus_supervisor_" + name, service="web", **labels)

    wait_until(lambda: metric("replicas", kind="ready") == 2, "the proxy has heard it")
    assert metric("replicas", kind="desired") == metric("replicas", kind="running") == 2
    assert metric("services", state="up") == metric("services") == 1
    assert metric("restarts_total") == 0
    assert abs(metric("service_start_timestamp_seconds") - time.time()) < 60 * SCALE
    service, = web.door.json("/v1/services")["services"]
    assert {replica["port"]: replica["pid"] for replica in service["replicas"]} == replicas_of(web.door)
    os.kill(service["replicas"][0]["pid"], signal.SIGKILL)
    wait_until(lambda: metric("restarts_total", reason="crashed") == 1, "it is counted")
    wait_until(lambda: metric("replicas", kind="ready") == 2, "it is back")
    pid = web.door.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: web.door.proxy_pid() not in (None, pid), "another proxy")
    wait_until(web.door.is_ready, "it is ready")
    wait_until(lambda: metric("restarts_total", reason="crashed") == 1, "the next proxy is told")
    web.good("stop", "web")
    wait_until(lambda: metric("services", state="stopped") == 1, "it is stopped")


@pytest.mark.smoke
def test_without_a_supervisor_there_are_no_services(portunus):
    door = portunus({"sites": {"*": {"respond": {"status": 200}}}}, command="proxy")
    assert door.json("/v1/services") == {"services": []}


# ---- logs


def write_logs(folder, **files):
    logs = folder / "state" / "logs"
    logs.mkdir(parents=True)
    for name, lines in files.items():
        (logs / (name.replace("_", "-") + ".log")).write_text("".join(lines))
    file = folder / "portunus.yaml"
    file.write_text(f"state: {folder}/state\nsites:\n  '*': {{ respond: {{ status: 200 }} }}\n")
    return logs, file


def lines_of(replica, numbers):
    return [f"2026-01-01T00:00:{number:02}.000Z r{replica} line {number}\n" for number in numbers]


def test_logs_shows_the_last_lines_in_order(tmp_path):
    _, file = write_logs(tmp_path, web_0=lines_of(0, range(0, 20, 2)), web_1=lines_of(1, range(1, 21, 2)),
                         web_1_0=["2026-01-01T00:00:00.000Z of web-1\n"])
    result = run_program("logs", "web", "-n", "3", "-c", str(file))
    assert result.returncode == 0
    assert [line.split()[0] + " " + line.split()[-1] for line in result.stdout.splitlines()] == [
        "web-0 14", "web-1 15", "web-0 16", "web-1 17", "web-0 18", "web-1 19"]
    result = run_program("logs", "web", "-n", "1", "--replica", "1", "-c", str(file))
    assert result.stdout == "web-1 2026-01-01T00:00:19.000Z r1 line 19\n"
    assert "of web-1" in run_program("logs", "web-1", "-c", str(file)).stdout
    assert run_program("logs", "none", "-c", str(file)).returncode == 1


def test_logs_replaces_control_characters(tmp_path):
    _, file = write_logs(tmp_path, web_0=["2026-01-01T00:00:00.000Z a\x1b[31mb\n"])
    assert run_program("logs", "web", "-c", str(file)).stdout == "web-0 2026-01-01T00:00:00.000Z a?[31mb\n"


def test_logs_follows_over_a_rotation(tmp_path):
    logs, file = write_logs(tmp_path, web_0=lines_of(0, [1]))
    with subprocess.Popen([BINARY, "logs", "web", "-f", "-c", str(file)], stdout=subprocess.PIPE, text=True) as follow:
        try:
            assert follow.stdout.readline().endswith("line 1\n")
            with open(logs / "web-0.log", "a") as log:
                log.write("".join(lines_of(0, [2])))
            assert follow.stdout.readline().endswith("line 2\n")
            (logs / "web-0.log").rename(logs / "web-0.log.1")
            (logs / "web-0.log").write_text("".join(lines_of(0, [3])))
            assert follow.stdout.readline().endswith("line 3\n")
            (logs / "web-7.log").write_text("".join(lines_of(7, [4])))
            assert follow.stdout.readline() == "web-7 " + lines_of(7, [4])[0]
        finally:
            follow.kill()
