"""S8: thousands of sessions that do nothing, and of slow ones, and an honest client beside them."""
import resource
import time

from lib import crowd, heraldd, load, machine
from lib.report import SHARE, Row

ABOUT = (f"SMTP sessions that have read the banner and say nothing; then others that send an octet every {crowd.PAUSE} seconds. Beside them, "
         "and before them, one client that hands in mail of 5 KiB, a connection for each, timed from connect to the reply to QUIT; the "
         "relay is paused.")
NEEDS = ()
KINDS = (("idle", 10000, False), ("slow", 1000, True))
ROWS = []
for _name, _count, _ in KINDS:
    ROWS += [Row(f"kib_{_name}", f"{'S8: ' if _name == 'idle' else ''}RSS of heraldd for each of {_count:,} {_name} sessions, KiB", SHARE,
                 most=8 if _name == "idle" else None),
             Row(f"cpu_{_name}", f"CPU of heraldd for {_count:,} {_name} sessions, percent of one processor", SHARE),
             Row(f"p50_before_{_name}", "a message without them, median, microseconds"),
             Row(f"p50_{_name}", f"a message beside {_count:,} {_name} sessions, median, microseconds"),
             Row(f"p99_before_{_name}", "a message without them, p99, microseconds"),
             Row(f"p99_{_name}", f"a message beside {_count:,} {_name} sessions, p99, microseconds")]


def honest(bench, port, count):
    found = load.own(bench.build, port, count, 1, load.SIZE, "-r")
    return found["p50_us"], found["p99_us"]


def look(bench, name, count, slow, transactions):
    found = {}
    room = {"max_connections": 2 * count + 100, "max_connections_per_client": 2 * count + 100}     # half used: no stress
    with heraldd.Herald(bench.build, bench.folder("herald"), submission=room) as herald:
        herald.pause()
        honest(bench, herald.port, max(1, transactions // 2))    # the first ones grow what stays
        found[f"p50_before_{name}"], found[f"p99_before_{name}"] = honest(bench, herald.port, transactions)
        before = machine.memory(herald.pid)
        with crowd.crowd(herald.port, count, slow):
            if slow:
                time.sleep(bench.seconds(2 * crowd.PAUSE))       # each has sent some octets
            found[f"kib_{name}"] = (machine.memory(herald.pid) - before) / count
            found[f"p50_{name}"], found[f"p99_{name}"] = honest(bench, herald.port, transactions)
            used, start = machine.settled(herald.pid) if not slow else machine.cpu(herald.pid), time.monotonic()
            time.sleep(bench.seconds(crowd.PAUSE))
            found[f"cpu_{name}"] = (machine.cpu(herald.pid) - used) / (time.monotonic() - start) * 100
        machine.until("all are gone", lambda: herald.ask("status")["submission"]["sessions"] == 0)
    herald.remove()
    return found


def measure(bench):
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors < bench.count(KINDS[0][1]) + 500:
        raise machine.Fault(f"idle: RLIMIT_NOFILE is {descriptors}: too low for so many sessions")
    for _ in bench.rounds():
        found = {}
        for name, count, slow in KINDS:
            found.update(look(bench, name, bench.count(count), slow, bench.count(1000, 100)))
        yield found
