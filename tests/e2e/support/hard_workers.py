"""Services whose replicas misbehave on request: tests/support/programs/hard_worker.cc, and the same for node."""

import os
import re
from pathlib import Path

from .door import BINARY, arguments_of, children_of, run_program
from .servers import NODE
from .waiting import PATIENCE, SCALE, wait_until
from .wire import connect, get

PROGRAMS = {"cpp": [str(Path(BINARY).resolve().with_name("hard_worker"))]}
if NODE:
    PROGRAMS["node"] = [NODE, str(Path(__file__).parent / "hard_worker.js")]
PATIENT = 30 * SCALE
HEALTH = {"path": "/health", "interval": "200ms", "timeout": "2s", "rise": 1, "fall": 2, "start_period": "10s"}
RESTART = {"backoff": "20ms..1s", "max_in_window": "1000 in 1m"}
TICKS = os.sysconf("SC_CLK_TCK")


def config(ports, program="cpp", words=(), options=(), **changes):
    """One service `web`, at a pool that serves every host."""
    base = PROGRAMS[program]
    command = [base[0], *options, *base[1:], "{port}", *words]
    service = {"command": command, "replicas": 1, "ports": f"{ports[0]}-{ports[-1]}", "pool": "web", "health": HEALTH,
               "restart": RESTART, "stop": {"grace": "1s"}, **changes}
    return {"sites": {"*": {"pool": "web"}}, "pools": {"web": {}}, "services": {"web": service}}


def replicas_of(door):
    """Ports and process ids."""
    proxy = door.proxy_pid()
    found = {}
    for child in children_of(door.supervisor_pid):
        words = [word for word in arguments_of(child)[1:] if word.isdigit()]
        if child != proxy and words:
            found[int(words[0])] = child
    return found


def tell(port, path):
    """Asks one replica itself, not through the proxy; its answer, or None when it ends without one."""
    try:
        with connect(port, patience=PATIENT) as client:
            client.send(get(path, "Connection: close"))
            return client.read_response().body.decode()
    except (OSError, AssertionError):
        return None


def ask_to(port, path):
    """The same without waiting for an answer: the connection, to be closed."""
    client = connect(port, patience=PATIENT)
    client.send(get(path, "Connection: close"))
    return client


def command(door, verb, *arguments):
    result = run_program(verb, *arguments, "-c", str(door.path), folder=door.folder, seconds=PATIENCE * 4)
    assert (result.returncode, result.stderr) == (0, ""), result
    return result.stdout


def wait_for_running(door, count, seconds=PATIENT):
    wait_until(lambda: door.metric("portunus_supervisor_replicas", service="web", kind="ready") == count,
               f"{count} replicas are ready", seconds)


def restarts(door, *reason):
    """All of them, or those of that reason."""
    return door.metric("portunus_supervisor_restarts_total", service="web", **{"reason": word for word in reason})


# ---- what /proc says

def stat_of(pid):
    """Its fields from the third on: state, parent, group, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def processes():
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def group_of(leader):
    """All processes of that process group."""
    return [pid for pid in processes() if (stat := stat_of(pid)) and int(stat[2]) == leader and stat[0] != "Z"]


def below(pid):
    """Its children, theirs, and so on."""
    found = []
    for child in children_of(pid):
        found += [child, *below(child)]
    return found


def is_alive(pid):
    stat = stat_of(pid)
    return stat is not None and stat[0] != "Z"


def cpu_seconds(pid):
    fields = stat_of(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS


def status_bytes(pid, name):
    """VmRSS, VmHWM."""
    return int(re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)[1]) * 1024


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
