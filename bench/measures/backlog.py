"""S7: a large queue of deferred mail, and what grows with it."""
import os
import socket
import statistics
import time

from lib import heraldd, load, machine
from lib.report import FINE, SHARE, Plot, Row, ratio

ABOUT = ("heraldd with 0, 10,000, 100,000 and 1,000,000 deferred messages of 1 KiB in its queue, put there by bench/fill_queue through "
         "the store's own driver, each with one attempt behind it and due in one to three hours: the start until the first 220, the list of "
         "50 messages, and fresh mail of 5 KiB through it into smtp-sink. The last start reads the queue from the disk: its pages were "
         "dropped from memory before.")
NEEDS = ("smtp-source", "smtp-sink")
LEVELS, SIZE, LISTED = (0, 10000, 100000, 1000000), 1024, 50
LARGEST = LEVELS[-1]


def label(level):
    return {0: "0", 10000: "10⁴", 100000: "10⁵", 1000000: "10⁶"}[level]


def rows_of(level):
    rows = [Row(f"rate_{level}", f"{level:,} deferred: fresh mail, whole, messages/s", main=True)]
    if level != 0:
        rows.append(ratio(f"{'S7: ' if level == LARGEST else ''}{level:,} deferred: fresh mail : empty queue", f"share_{level}",
                          least=0.9 if level == LARGEST else None))
    return rows


def limits(level, what, most):
    return {"most": most} if level == LARGEST else {}, f"{'S7: ' if level == LARGEST else ''}{level:,} deferred: {what}"


def rows():
    found = [row for level in LEVELS for row in rows_of(level)]
    for key, what, form, most in (("start", "start to the first 220, ms", FINE, 1000), ("list", f"`queue list --limit {LISTED}`, ms", FINE, 50),
                                  ("rss", "RSS at most, KiB", "{:,.0f}", 64 * 1024)):
        for level in LEVELS:
            target, text = limits(level, what, most)
            found.append(Row(f"{key}_{level}", text, form, **target))
    return found + [Row("cold", f"{LARGEST:,} deferred: start to the first 220, queue not in memory, ms", FINE),
                    Row("cpu_ratio", f"{LARGEST:,} deferred: CPU per fresh message : empty queue", SHARE),
                    Row("file", f"{LARGEST:,} deferred: size of the queue's file, MiB")]


ROWS = rows()
PLOTS = [Plot("rate-by-queue", "Fresh mail beside deferred mail", "deferred messages in the queue", "messages/s",
              {"through heraldd, whole": [(level, label(level), f"rate_{level}") for level in LEVELS]})]


def first_220(herald):
    """Milliseconds from the start of the program."""
    start = time.monotonic()
    herald.child = machine.Child(herald.build / "heraldd", "-d", "-c", herald.folder / "herald.conf", log=herald.folder / "log")

    def greeted():
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", herald.port)) != 0:
                return False
            sock.settimeout(60)
            return sock.recv(512).startswith(b"220 ")
    machine.until("the first 220", greeted, 300, 0.001)
    took = time.monotonic() - start
    machine.until("the control socket answers", herald.is_ready, 60)
    return took * 1000


def forget_pages(herald):
    """What the kernel has of the queue's files is dropped from memory."""
    for path in herald.state.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def list_time(herald):
    times = []
    for _ in range(5):
        start = time.monotonic()
        listed = herald.ctl("queue", "list", "--limit", str(LISTED))
        times.append((time.monotonic() - start) * 1000)
        if herald.deferred >= LISTED and listed.count("recipient") < LISTED:
            raise machine.Fault(f"backlog: the list is too short:\n{listed[-1000:]}")
    return statistics.median(times)


def fill(bench, sink):
    """A heraldd for each level, filled and not started."""
    found = {}
    for level in LEVELS:
        herald = heraldd.Herald(bench.build, bench.folder(f"deferred-{level}"), {"sink": heraldd.host(sink)})
        herald.deferred = bench.count(level) if level else 0
        if level:
            bench.say(f"  filling a queue with {herald.deferred:,}")
            machine.output(bench.build / "bench/fill_queue", herald.state, herald.deferred, SIZE, **heraldd.as_user())
        found[level] = herald
    return found


def look(bench, herald, messages):
    """One start of one heraldd: what it takes, and fresh mail through it."""
    found = {"start": first_220(herald)}
    try:
        if herald.held() != herald.deferred:
            raise machine.Fault(f"backlog: {herald.held()} messages at the start, not {herald.deferred}")
        found["list"] = list_time(herald)
        load.source(herald.port, min(load.WARMUP, messages))
        herald.wait_held(herald.deferred)
        before, start = machine.settled(herald.pid), time.monotonic()
        load.source(herald.port, messages)
        herald.wait_held(herald.deferred)
        found["rate"] = messages / (time.monotonic() - start)
        found["cpu"] = (machine.settled(herald.pid) - before) / messages
        found["rss"] = machine.memory(herald.pid, "VmHWM")
    finally:
        herald.stop()
    return found


def measure(bench):
    messages = bench.count(20000)
    with load.sink() as sink:
        heralds = fill(bench, sink)
        for _ in bench.rounds():
            found, cpu = {}, {}
            for level, herald in heralds.items():
                one = look(bench, herald, messages)
                cpu[level] = one.pop("cpu")
                found.update({f"{key}_{level}": value for key, value in one.items()})
                found[f"share_{level}"] = found[f"rate_{level}"] / found["rate_0"]
            found["cpu_ratio"] = cpu[LARGEST] / cpu[0]
            forget_pages(heralds[LARGEST])
            found["cold"] = first_220(heralds[LARGEST])
            heralds[LARGEST].stop()
            found["file"] = (heralds[LARGEST].state / "queue.db").stat().st_size / 2 ** 20
            yield found
    for herald in heralds.values():
        herald.remove()
