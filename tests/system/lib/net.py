"""Ports, conditions and sockets: what every test needs and the standard library lacks."""

import os
import select
import shutil
import socket
import time

# A condition that does not come true in this time is a fault.  Generous: sanitizer builds on a busy machine.
TIMEOUT = float(os.environ.get("HERALD_TEST_TIMEOUT", "60"))

# Tests that run side by side (pytest-xdist) each have a slice, else one could take what another has just found free.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_SLICE = 12000 // _WORKERS
_FIRST = 20000 + _SLICE * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_next_port = _FIRST + os.getpid() * 37 % _SLICE


def free_port(address="127.0.0.1"):
    """A port that is free for TCP and UDP, below the range the kernel hands out to clients."""
    global _next_port
    for _ in range(_SLICE):
        _next_port = _next_port + 1 if _next_port < _FIRST + _SLICE - 1 else _FIRST
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("0.0.0.0", _next_port))
            return _next_port
        except OSError:
            continue
    raise AssertionError(f"no free port between {_FIRST} and {_FIRST + _SLICE}")


def wait_until(condition, what, timeout=None, interval=0.02):
    """Calls condition() until it returns something true, and returns that."""
    deadline = time.monotonic() + (TIMEOUT if timeout is None else timeout)
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {TIMEOUT if timeout is None else timeout:g} s: {what}")
        time.sleep(interval)


def need(program):
    """The path of a program; a missing one is a failure, never a skip."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/lib/postfix/sbin")
    assert path, f"{program} is not installed: run scripts/deps"
    return path


def connect(endpoint, timeout=None, source=None):
    """A stream socket to ("127.0.0.1", port), ("::1", port) or "/path"."""
    family = socket.AF_UNIX if isinstance(endpoint, str) else \
        socket.AF_INET6 if ":" in endpoint[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(TIMEOUT if timeout is None else timeout)
    if source:
        sock.bind(source)
    sock.connect(endpoint)
    return sock


def read_all(sock):
    """Everything until the peer closes.  A reset raises."""
    octets = b""
    while True:
        part = sock.recv(65536)
        if not part:
            return octets
        octets += part


def fetch(endpoint, source=None):
    """What a server says to a client that says nothing."""
    with connect(endpoint, source=source) as sock:
        return read_all(sock)


def readable(sock, timeout=0):
    poll = select.poll()                     # select() knows no descriptor above 1023
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def listening_inodes(pid):
    """{inode: port} of the listening TCP sockets that a process holds: a socket kept keeps its inode."""
    held = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            held.add(target[8:-1])
    found = {}
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}") as lines:
            for fields in map(str.split, list(lines)[1:]):
                if fields[3] == "0A" and fields[9] in held:
                    found[fields[9]] = int(fields[1].rsplit(":", 1)[1], 16)
    return found
