"""Tools, ports, processes and what /proc says of them."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
TICK = os.sysconf("SC_CLK_TCK")
PROC = pathlib.Path("/proc")


class Fault(Exception):
    """The bench cannot go on: what is wrong, for the person who started it."""


def tool(name):
    found = shutil.which(name, path=PATH)
    if found is None:
        raise Fault(f"{name} is missing")
    return found


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, condition, seconds=600, pause=0.005):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(pause)
    raise Fault(f"waited in vain for {seconds} seconds: {what}")


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def output(*command, **keywords):
    """What a program prints; a failure is one of the bench."""
    done = subprocess.run([str(one) for one in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, **keywords)
    if done.returncode != 0:
        raise Fault(f"{pathlib.Path(command[0]).name} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


class Child:
    """A program that runs until it is stopped; its output goes to a file."""

    living = []                             # stopped at the end, however that comes

    def __init__(self, *command, log=None, **keywords):
        with open(log or os.devnull, "ab") as out:
            self.process = subprocess.Popen([str(one) for one in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, **keywords)
        self.pid = self.process.pid
        Child.living.append(self)

    def wait_port(self, port):
        def ready():
            if self.process.poll() is not None:
                raise Fault(f"{self.process.args[0]} ended with {self.process.returncode} at its start")
            return answers(port)
        until(f"{self.process.args[0]} listens at port {port}", ready, 60, 0.002)
        return self

    def stop(self):
        if self in Child.living:
            Child.living.remove(self)
        # What strace has started does not end with it.
        for pid in sorted(tree(self.pid), reverse=True) if self.process.poll() is None else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @classmethod
    def stop_all(cls):
        for one in reversed(list(cls.living)):
            one.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


# -- /proc

def stat_fields(pid):
    try:
        return (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def tree(pid):
    """A process and all its descendants."""
    parents = {}
    for name in os.listdir(PROC):
        fields = stat_fields(name) if name.isdigit() else None
        if fields:
            parents[int(name)] = int(fields[1])
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def thread_seconds(pid):
    """User and system time of the living threads, in nanoseconds by the scheduler's own count; None: it keeps none."""
    total = 0
    try:
        for task in (PROC / str(pid) / "task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return None
    return total / 1e9 or None


def cpu(pid):
    """Seconds of user and system time of a process, its descendants and those of them that have ended."""
    total = 0
    for one in tree(pid):
        fields = stat_fields(one)
        if fields:
            own = thread_seconds(one)
            total += (int(fields[11]) + int(fields[12])) / TICK if own is None else own
            total += (int(fields[13]) + int(fields[14])) / TICK
    return total


def settled(pid):
    """CPU seconds once nothing is left to do behind the last reply."""
    before = cpu(pid)
    while True:
        time.sleep(0.1)
        now = cpu(pid)
        if now - before < 0.001:
            return now
        before = now


def memory(pid, key="VmRSS"):
    """KiB; VmHWM is the most that it was."""
    text = (PROC / str(pid) / "status").read_text()
    return int(re.search(rf"^{key}:\s+(\d+)", text, re.M).group(1))


# -- the machine

def file_system(path):
    """Type of the file system that holds a path."""
    best, kind = "", "unknown"
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ")
        mount = left.split()[4]
        if os.path.commonpath([mount, os.path.realpath(path)]) == mount and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind


def version(*command, pattern=r"([\d.]+\w*)"):
    if shutil.which(command[0], path=PATH) is None:
        return None
    done = subprocess.run([tool(command[0]), *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = re.search(pattern, done.stdout)
    return found.group(1) if found else None


def commit(tree):
    """Of a clone; None elsewhere."""
    done = subprocess.run(["git", "-C", tree, "describe", "--always", "--dirty"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() or None


def describe(directory, tree):
    model = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"processor": model.group(1) if model else os.uname().machine, "processors": os.cpu_count(),
            "memory_gib": round(pages / 2 ** 30, 1), "kernel": os.uname().release.split("-")[0], "file_system": file_system(directory),
            "commit": commit(tree) if shutil.which("git") else None, "load_before": os.getloadavg()[0], "postfix": version("postconf", "-h", "mail_version"),
            "nginx": version("nginx", "-v", pattern=r"nginx/([\d.]+)")}
