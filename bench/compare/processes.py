"""Starting, pinning, watching and ending processes; free ports; what /proc says about CPU and memory.

Every process is ended by its own PID, with all its descendants, on every way out (normal end, exception, SIGTERM).
When we are killed outright, direct children die with us (PR_SET_PDEATHSIG); a worker of nginx then survives.
"""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_running = []  # every Program not yet stopped


class ProgramError(Exception):
    """A program did not start, or ended when it should not."""


def raise_file_limit():
    """Raises our descriptor limit, inherited by all children, as far as allowed. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (65536, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, soft), max(wanted, hard)))
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_ports(count):
    """Ports of 127.0.0.1 that nobody listens on; all held at once, so they differ."""
    held = []
    for _ in range(count):
        held.append(socket.socket())
        held[-1].bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def _stat_fields(pid):
    with open(f"/proc/{pid}/stat", "rb") as f:
        # The command may contain blanks and parentheses; fields are counted from its last parenthesis.
        return f.read().rpartition(b")")[2].split()


def process_tree(root):
    """The process and all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(int(_stat_fields(entry)[1]), []).append(int(entry))
            except (OSError, IndexError):
                continue
    tree, todo = [], [root]
    while todo:
        pid = todo.pop()
        tree.append(pid)
        todo.extend(children.get(pid, []))
    return tree


class Program:
    """One started program: pinned to a core, its output in a file, ended with its descendants."""

    def __init__(self, name, command, core=None, log_path=None, env=None, pipe=False,
                 errors_to_pipe=False):
        self.name = name
        self.log_path = log_path

        def before_exec():
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if core is not None:
                os.sched_setaffinity(0, {core})

        log = open(log_path, "ab") if log_path else subprocess.DEVNULL
        try:
            self.started = time.monotonic()
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else log,
                stderr=subprocess.STDOUT if errors_to_pipe else log,
                env={**os.environ, **(env or {})},
                preexec_fn=before_exec,
                start_new_session=True,
            )
        finally:
            if log_path:
                log.close()
        self.stdout = self._popen.stdout
        self.pid = self._popen.pid
        _running.append(self)

    def pids(self):
        return process_tree(self.pid)

    def is_alive(self):
        return self._popen.poll() is None

    def wait(self, timeout=None):
        return self._popen.wait(timeout)

    def cpu_seconds(self):
        """User plus system time of all processes and threads, ended threads and reaped children included."""
        total = 0
        for pid in process_tree(self.pid):
            try:
                fields = _stat_fields(pid)
            except OSError:
                continue
            total += sum(int(x) for x in fields[11:15])  # utime stime cutime cstime
        return total / TICKS_PER_SECOND

    def resident_bytes(self):
        """Resident memory of all processes, shared pages counted once for each process."""
        total = 0
        for pid in process_tree(self.pid):
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                    total += sum(int(line.split()[1]) for line in f if line.startswith("Rss:"))
            except OSError:
                continue
        return total * 1024

    def pin_all_threads(self, cores):
        for pid in process_tree(self.pid):
            for task in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(task), cores)

    def log_tail(self, lines=12):
        if not self.log_path:
            return ""
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def stop(self, grace=5.0):
        """SIGTERM to the program, SIGKILL to whatever of its tree is left after `grace` seconds."""
        if self in _running:
            _running.remove(self)
        tree = process_tree(self.pid) if self.is_alive() else []
        if self.is_alive():
            self._popen.terminate()
            try:
                self._popen.wait(grace)
            except subprocess.TimeoutExpired:
                pass
        for pid in tree:
            # Our own child is still unreaped or gone; a descendant is killed only while it has our session.
            try:
                if pid == self.pid and not self.is_alive():
                    continue
                if os.getsid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        self._popen.wait()
        if self.stdout:
            self.stdout.close()
        return self._popen.returncode


def stop_all():
    for program in list(_running):
        program.stop(grace=1.0)


def core_times(core):
    """(busy, total) seconds of one core since boot, time stolen by the host counted as busy."""
    with open("/proc/stat", encoding="ascii") as f:
        for line in f:
            if line.startswith(f"cpu{core} "):
                ticks = [int(x) for x in line.split()[1:9]]
                idle = ticks[3] + ticks[4]
                return (sum(ticks) - idle) / TICKS_PER_SECOND, sum(ticks) / TICKS_PER_SECOND
    raise ProgramError(f"there is no core {core}")
