"""What grows with the size of a message."""
import time

from lib import heraldd, load, machine
from lib.report import FINE, ROUGH, Plot, Row

ABOUT = ("Messages of 1 KiB to 50 MiB, 8 sessions, a round trip each, relay paused; then the relay is resumed and all of them go to smtp-sink.")
NEEDS = ("smtp-sink",)
KIB, MIB = 1024, 2 ** 20
# Size, its name, and how many of them say enough.
SIZES = ((KIB, "1 KiB", 20000), (5 * KIB, "5 KiB", 20000), (64 * KIB, "64 KiB", 4000), (MIB, "1 MiB", 320), (10 * MIB, "10 MiB", 40),
         (50 * MIB, "50 MiB", 16))
AT_ONCE = 8
ROWS = [Row(f"{key}_{size}", f"{name}: {text}", FINE if key.startswith("mib") or size > MIB and key != "rss" else ROUGH,
            main=key.startswith("mib")) for key, text in (
    ("in", "intake, messages/s"), ("out", "out of the queue, messages/s"), ("mib_in", "intake, MiB/s"), ("mib_out", "out of the queue, MiB/s"),
    ("rss", "RSS of heraldd at most, KiB")) for size, name, _ in SIZES]
PLOTS = [Plot("octets-by-size", "Octets by size of message", "size of a message", "MiB/s",
              {text: [(size, name, f"{key}_{size}") for size, name, _ in SIZES] for key, text in (
                  ("mib_in", "intake"), ("mib_out", "out of the queue"))})]


def look(bench, sink, size, count):
    found = {}
    with heraldd.Herald(bench.build, bench.folder("herald"), {"sink": heraldd.host(sink)}, queue={"max_message_size": "64M"}) as herald:
        herald.pause()
        load.own(bench.build, herald.port, max(1, min(load.WARMUP, count // 10)), AT_ONCE, KIB, "-p")
        found["in"] = load.own(bench.build, herald.port, count, AT_ONCE, size, "-p")["rate"]
        start = time.monotonic()
        held = herald.held()
        herald.resume()
        herald.wait_empty()
        found["out"] = held / (time.monotonic() - start)
        found["rss"] = machine.memory(herald.pid, "VmHWM")
    herald.remove()
    found["mib_in"], found["mib_out"] = found["in"] * size / MIB, found["out"] * size / MIB
    return found


def measure(bench):
    with load.sink() as sink:
        for _ in bench.rounds():
            found = {}
            for size, _, count in SIZES:
                found.update({f"{key}_{size}": value for key, value in look(bench, sink, size, bench.count(count, 8)).items()})
            yield found
