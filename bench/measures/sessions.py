"""What grows with the number of sessions."""
import time

from lib import heraldd, load, machine
from lib.report import Plot, Row

ABOUT = ("smtp-source with 1, 20, 200 and 2,000 sessions, messages of 5 KiB, through heraldd into smtp-sink until the queue is empty, and "
         "straight into smtp-sink: what the client itself loses with so many is seen there.")
NEEDS = ("smtp-source", "smtp-sink")
SESSIONS = (1, 20, 200, 2000)
ROWS = [Row(f"{key}_{count}", text.format(count), main=key in ("straight", "whole")) for key, text in (
    ("straight", "{:,} sessions: straight into smtp-sink, messages/s"), ("intake", "{:,} sessions: intake while it delivers, messages/s"),
    ("whole", "{:,} sessions: whole, messages/s"), ("cpu", "{:,} sessions: CPU of heraldd per message, microseconds"),
    ("rss", "{:,} sessions: RSS of heraldd at most, KiB")) for count in SESSIONS]
PLOTS = [Plot("rate-by-sessions", "Mail handed in by many sessions", "sessions of smtp-source", "messages/s",
              {text: [(count, f"{count:,}", f"{key}_{count}") for count in SESSIONS] for key, text in (
                  ("whole", "heraldd, whole"), ("intake", "heraldd, intake"), ("straight", "straight into the sink"))})]


def look(bench, sink, sessions):
    # A session alone is slow: less of it says as much.
    messages = bench.count(5000 if sessions == 1 else 20000)
    found = {"straight": load.straight(sink, messages, sessions=sessions)}
    with heraldd.Herald(bench.build, bench.folder("herald"), {"sink": heraldd.host(sink)}) as herald:
        load.source(herald.port, min(load.WARMUP, messages))
        herald.wait_empty()
        before, start = machine.settled(herald.pid), time.monotonic()
        found["intake"] = messages / load.source(herald.port, messages, sessions)
        herald.wait_empty()
        found["whole"] = messages / (time.monotonic() - start)
        found["cpu"] = (machine.settled(herald.pid) - before) / messages * 1e6
        found["rss"] = machine.memory(herald.pid, "VmHWM")
    herald.remove()
    return found


def measure(bench):
    with load.sink() as sink:
        for _ in bench.rounds():
            found = {}
            for count in SESSIONS:
                found.update({f"{key}_{count}": value for key, value in look(bench, sink, count).items()})
            yield found
