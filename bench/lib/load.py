"""Load: Postfix's smtp-source and smtp-sink, and the C programs of bench/."""
import contextlib
import json
import os
import time

from lib import machine

SESSIONS, SIZE, WARMUP = 20, 5120, 500


def source(port, messages, sessions=SESSIONS, size=SIZE, recipient="recipient@example.net"):
    """Seconds that smtp-source takes; each session keeps its connection."""
    start = time.monotonic()
    machine.output(machine.tool("smtp-source"), "-d", "-s", sessions, "-m", messages, "-l", size, "-f", "sender@example.org",
                   "-t", recipient, f"inet:127.0.0.1:{port}")
    return time.monotonic() - start


@contextlib.contextmanager
def sink(port=None):
    """smtp-sink takes mail and forgets it; gives its port."""
    port = port or machine.free_port()
    unprivileged = ["-u", "nobody"] if os.geteuid() == 0 else []
    with machine.Child(machine.tool("smtp-sink"), *unprivileged, "-m", 5000, f"inet:127.0.0.1:{port}", "1000") as child:
        child.wait_port(port)
        yield port


def straight(port, messages, **keywords):
    """Messages a second from smtp-source straight into smtp-sink."""
    source(port, max(1, min(WARMUP, messages)), **keywords)
    return messages / source(port, messages, **keywords)


def run(build, name, *arguments):
    """One of bench/'s programs to its end; what it measured."""
    return json.loads(machine.output(build / "bench" / name, *arguments))


def own(build, port, messages, sessions=SESSIONS, size=SIZE, *flags):
    """smtp_load, which times each message."""
    return run(build, "smtp_load", *flags, "-s", sessions, "-m", messages, "-l", size, "127.0.0.1", port)
