"""What replicas write, and the limits they run in."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from support.door import children_of, run_program
from support.waiting import SANITIZER, SCALE, wait_until
from test_upgrade_command import upgrade

PATIENT = 30 * SCALE
QUICK = {"backoff": "20ms..100ms", "max_in_window": "1000 in 1m"}


def config(command, **changes):
    """One service `web` without a port, beside a site that answers."""
    service = {"command": command, "restart": QUICK, "stop": {"grace": "2s"}, **changes}
    return {"sites": {"*": {"respond": {"status": 200}}}, "services": {"web": service}}


def shell(script, **changes):
    return config(["/bin/sh", "-c", script], **changes)


def python(script, **changes):
    return config(["/usr/bin/python3", "-Ic", script], **changes)


def file_of(door, replica=0, service="web"):
    return door.folder / "state" / "logs" / f"{service}-{replica}.log"


def lines_of(path):
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def wait_for_files(folder, count):
    """As many of replica 0, and nothing else: their sizes. A name is missing for a moment when they are rotated."""

    def sizes():
        try:
            found = {path.name: path.stat().st_size for path in folder.iterdir()}
        except FileNotFoundError:
            return None
        return sorted(found) == ["web-0.log", *(f"web-0.log.{number}" for number in range(1, count))] and found

    return wait_until(sizes, f"there are {count} files", PATIENT)


def memory_of(pid):
    return int(re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)[1]) * 1024


def restarts(door):
    return re.findall(r"service web replica 0.*: (crashed|oom): (.*); next start", door.log())


@pytest.mark.smoke
def test_lines_are_in_the_file_and_in_the_log(portunus):
    door = portunus(shell('echo "to output of $PORTUNUS_REPLICA"; echo "to error" >&2; exec sleep 300', replicas=2))
    for replica in (0, 1):
        wait_until(lambda n=replica: f"service: web/{n}: to error" in door.log(), "both are in the log", PATIENT)
        assert f"service: web/{replica}: to output of {replica}\n" in door.log()
        lines = wait_until(lambda n=replica: len(found := lines_of(file_of(door, n))) >= 2 and found, "and in the file", PATIENT)
        assert [line.split(" ", 1)[1] for line in lines] == [f"to output of {replica}", "to error"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", lines[0].split(" ")[0])
    mode = (door.folder / "state" / "logs").stat().st_mode
    assert mode & 0o077 == 0, "lines of services are nobody else's"


@pytest.mark.smoke
def test_in_a_log_of_json_service_and_replica_are_fields(portunus):
    door = portunus({**shell('echo "say \\"hello\\""; exec sleep 300'), "log": {"format": "json"}})
    wait_until(lambda: re.search(r"hello.*\n", door.log()), "the line is in the log", PATIENT)
    line = next(json.loads(line) for line in door.log().splitlines() if "hello" in line)
    assert {key: line[key] for key in ("component", "service", "replica", "message")} == {
        "component": "service", "service": "web", "replica": 0, "message": 'say "hello"'}
    others = [json.loads(text) for text in door.log().splitlines() if "started as pid" in text]
    assert others and not any("service" in other for other in others)


@pytest.mark.smoke
def test_a_line_cannot_forge_another(portunus):
    door = portunus(python(
        r'import signal; print("one\r2026-01-01T00:00:00.000Z error   proxy: forged\0\x1b[2J", flush=True); signal.pause()'))
    wait_until(lambda: re.search(r"forged.*\n", door.log()), "the line is in the log", PATIENT)
    (line,) = [line for line in re.split(r"[\r\n]", door.log()) if "forged" in line]
    assert "service: web/0: one\\x0d2026" in line
    assert line.endswith("forged\\x00\\x1b[2J")


@pytest.mark.smoke
def test_last_words_before_a_crash(portunus):
    door = portunus(python('import os\nprint("begin", flush=True)\nos.write(2, b"the last words, without a newline")\nos.abort()'))
    wait_until(lambda: len(restarts(door)) >= 2, "it crashes", PATIENT)
    log = door.log()
    words = log.index("service: web/0: the last words, without a newline\n")
    assert words < log.index("ended with signal 6 (SIGABRT)"), "they come before its end"
    assert restarts(door)[0] == ("crashed", "signal 6 (SIGABRT)")
    texts = [line.split(" ", 1)[1] for line in lines_of(file_of(door))]
    assert texts[:4] == ["begin", "the last words, without a newline"] * 2, "one file for all its processes"


@pytest.mark.smoke
def test_a_flood_harms_nobody(portunus, tmp_path):
    """50 MB as fast as they can be written, and more until some requests have been served meanwhile; then it says how long
    the 50 MB took."""
    script = f"""
import os, time
while not os.path.exists({str(tmp_path / "go")!r}): time.sleep(0.01)
begin = time.monotonic()
block = (b"x" * 99 + b"\\n") * 1000
for _ in range(500): os.write(1, block)
took = time.monotonic() - begin
while not os.path.exists({str(tmp_path / "enough")!r}): os.write(1, block)
open({str(tmp_path / "took.new")!r}, "w").write(str(took))
os.rename({str(tmp_path / "took.new")!r}, {str(tmp_path / "took")!r})
while True:
    print("alive", flush=True)
    time.sleep(0.2)
"""
    door = portunus(python(script, log={"max_size": "1MiB", "keep": 2}))
    wait_until(lambda: "started as pid" in door.log(), "it runs", PATIENT)
    before = memory_of(door.supervisor_pid)
    served = 0
    (tmp_path / "go").touch()

    def serves_until_flooded():
        nonlocal served
        assert door.get().status == 200
        served += 1
        if served > 3:
            (tmp_path / "enough").touch()
        return (tmp_path / "took").exists()

    wait_until(serves_until_flooded, "the flood is over", PATIENT)
    assert served > 3
    assert float((tmp_path / "took").read_text()) < 20 * SCALE, "it was slowed, not blocked"
    wait_until(lambda: "web/0: alive" in door.log(), "later lines are seen", PATIENT)
    if not SANITIZER:
        assert memory_of(door.supervisor_pid) - before < 8 * 1024 * 1024
    folder = file_of(door).parent
    assert all(size <= 1024 * 1024 for size in wait_for_files(folder, 3).values())
    assert re.search(r"\[portunus\] \d+ lines dropped", "".join(path.read_text() for path in folder.iterdir()))
    wait_until(lambda: re.search(r"service: web/0: \[portunus\] \d+ lines are not shown here", door.log()), "it is told", PATIENT)
    assert door.log().count("web/0: xxx") < 5000 * SCALE, "nor does it fill the program's log"


@pytest.mark.smoke
def test_files_are_rotated_and_a_reload_changes_their_size(portunus, tmp_path):
    script = f"""
import os, time
for count in range(10**6):
    print(count, "y" * 300, flush=True)
    while count >= 500 and not os.path.exists({str(tmp_path / "go")!r}): time.sleep(0.01)
    time.sleep(0.0005 if count < 500 else 0.002)
"""
    door = portunus(python(script, log={"max_size": "64KiB", "keep": 1}))
    folder = file_of(door).parent
    wait_until(lambda: (folder / "web-0.log.1").exists(), "it is set aside", PATIENT)
    wait_until(lambda: lines_of(file_of(door))[-1:] and " 500 " in lines_of(file_of(door))[-1][:40], "it has come to 500", PATIENT)
    wait_for_files(folder, 2)
    numbers = [int(line.split(" ")[1]) for name in ("web-0.log.1", "web-0.log") for line in lines_of(folder / name)]
    assert numbers == list(range(numbers[0], 501)), "nothing is missing between the two"
    (worker,) = [pid for pid in children_of(door.supervisor_pid) if pid != door.pid]
    door.write(python(script, log={"max_size": "96KiB", "keep": 3}))
    assert door.reload().returncode == 0
    (tmp_path / "go").touch()
    wait_until(lambda: (folder / "web-0.log.3").exists(), "three are kept", PATIENT)
    assert 64 * 1024 < wait_for_files(folder, 4)["web-0.log.1"] <= 96 * 1024
    assert worker in children_of(door.supervisor_pid), "it is the same process"


@pytest.mark.smoke
def test_without_a_folder_for_files_all_else_works(portunus, tmp_path):
    (tmp_path / "no_folder").write_text("a file is in the way")
    door = portunus({**shell("echo hello; exec sleep 300"), "state": str(tmp_path / "no_folder")})
    wait_until(lambda: "service: web/0: hello" in door.log(), "the line is in the log", PATIENT)
    assert door.log().count("services have no files of their lines") == 1
    assert door.get().status == 200


LEAK = """
import sys, time
print("begin", flush=True)
held = []
while True:
    held.append(bytearray(8 << 20))
    time.sleep(0.001)
"""


@pytest.mark.smoke
def test_a_limit_of_memory_ends_what_leaks(portunus):
    door = portunus(python(LEAK, limits={"memory": "256MiB"}))
    wait_until(lambda: len(restarts(door)) >= 2, "it dies and is restarted", PATIENT)
    reason, detail = restarts(door)[0]
    if "services go without cgroups" in door.log():
        assert (reason, detail) == ("oom", "status 1")
        assert "service: web/0: MemoryError" in door.log(), "it has said why"
    else:
        assert reason == "oom"
    assert door.get().status == 200


@pytest.mark.smoke
def test_a_share_of_cpu_that_cannot_be_kept_is_told_once(portunus):
    cpus = len(os.sched_getaffinity(0))
    door = portunus(shell("echo hello; sleep 0.1; exit 1", limits={"cpu": f"{cpus * 100 - 50}%"}, replicas=2))
    wait_until(lambda: len(restarts(door)) >= 2, "it is restarted", PATIENT)
    told = door.log().count(f"service web: Portunus has no cgroup (v2) that limits CPU: {cpus * 100 - 50}% is rounded up to whole CPUs, "
                            f"and there are no more than {cpus}: not limited")
    assert told == (1 if "services go without cgroups" in door.log() else 0)


@pytest.mark.smoke
def test_without_a_cgroup_a_share_of_cpu_is_rounded_up_to_whole_cpus(portunus):
    """Replicas are spread over those that Portunus may use, and stay where they are when proxy and supervisor change."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        pytest.skip("one CPU is all there is")
    report = "import os, time; print('kept to', *os.sched_getaffinity(0), flush=True); time.sleep(300)"
    settings = python(report, limits={"cpu": "50%"}, replicas={"min": 1, "max": 2})
    settings["services"]["other"] = settings["services"]["web"]
    settings["services"]["free"] = python(report)["services"]["web"]
    door = portunus(settings)
    wait_until(lambda: "started as pid" in door.log(), "it has said by then", PATIENT)
    if "services go without cgroups" not in door.log():
        pytest.skip("there is a writable cgroup v2, which keeps the share")

    def reported(service, replica=0):
        found = re.findall(f"service: {service}/{replica}: kept to (.*)", door.log())
        return [[int(cpu) for cpu in line.split()] for line in found]

    wait_until(lambda: reported("web") and reported("other") and reported("free"), "all have said it", PATIENT)
    assert reported("web") == [available[:1]]
    assert reported("other") == [available[1:2]]
    assert reported("free") == [available]
    assert door.log().count(f"that limits CPU: 50% is rounded up to whole CPUs, 1 of {len(available)} for each replica") == 2

    workers = {pid: os.sched_getaffinity(pid) for pid in children_of(door.supervisor_pid) if pid != door.pid}
    assert sorted(map(len, workers.values())) == [1, 1, len(available)]
    before = door.pid
    assert upgrade(door).returncode == 0
    wait_until(lambda: before not in children_of(door.supervisor_pid), "the one from before has gone", PATIENT)
    former = door.pid
    os.kill(former, signal.SIGKILL)
    wait_until(lambda: door.pid != former and door.get().status == 200, "the next proxy serves", PATIENT)
    assert {pid: os.sched_getaffinity(pid) for pid in workers} == workers, "the same processes, where they were"
    assert run_program("scale", "web", "2", "-c", str(door.path), folder=door.folder).returncode == 0
    wait_until(lambda: reported("web", 1), "another one starts", PATIENT)
    assert reported("web", 1) == [available[2:3] or available[:1]], "what the former supervisor has given is not forgotten"


def test_what_escapes_its_process_group_keeps_no_pipe_open(portunus, tmp_path):
    """A daemon that it has left behind writes on; the next process has a pipe of its own."""
    script = f"""
import os, time
first = not os.path.exists({str(tmp_path / "was")!r})
open({str(tmp_path / "was")!r}, "w").close()
if first and os.fork() == 0:
    os.setsid()
    while True:
        print("stray", flush=True)
        open({str(tmp_path / "said")!r}, "w").close()
        time.sleep(0.005)
if first:
    while not os.path.exists({str(tmp_path / "said")!r}): time.sleep(0.01)
    os._exit(3)
print("second", flush=True)
time.sleep(300)
"""
    door = portunus(python(script))
    wait_until(lambda: "web/0: second" in door.log(), "the second process writes", PATIENT)
    log = door.log()
    assert "web/0: stray" in log
    assert "web/0: stray" not in log[log.index("web/0: second"):]
    wait_until(lambda: len(children_of(door.supervisor_pid)) == 2, "the stray has ended", PATIENT)


@pytest.mark.smoke
def test_lines_go_on_over_an_upgrade(portunus, tmp_path):
    door = portunus(shell(f'echo begin; while [ ! -e "{tmp_path}/go" ]; do sleep 0.02; done; echo more; exec sleep 300'))
    wait_until(lambda: "web/0: begin" in door.log(), "it runs", PATIENT)
    door.signal(signal.SIGUSR2)
    wait_until(lambda: "goes on as" in door.log(), "the supervisor has executed itself", PATIENT)
    (tmp_path / "go").touch()
    wait_until(lambda: "web/0: more" in door.log(), "its lines are still read", PATIENT)
    wait_until(lambda: len(lines_of(file_of(door))) >= 2, "and are in the file", PATIENT)
    assert [line.split(" ", 1)[1] for line in lines_of(file_of(door))] == ["begin", "more"]
    assert not restarts(door), "the same process"
