"""S6: large messages."""
import subprocess
import time

from lib import heraldd, load, machine
from lib.report import FINE, Row, ratio

ABOUT = ("Messages of 50 MiB, 8 sessions at once, relay paused; then the relay is resumed and all of them go to smtp-sink. Beside it as "
         "many files of the same octets, 8 at once, by cp and sync(1), which calls fsync.")
NEEDS = ("smtp-sink",)
AT_ONCE, MIB = 8, 2 ** 20
ROWS = [Row("bare", "cp and fsync, MiB/s", FINE, main=True), Row("herald", "intake by heraldd, MiB/s", FINE, main=True),
        ratio("S6: heraldd : cp and fsync", least=0.5), Row("out", "from the queue into smtp-sink, MiB/s", FINE, main=True),
        Row("rss_in", "RSS of heraldd at most after intake, KiB"), Row("rss", "S6: RSS of heraldd at most in all, KiB", most=64 * 1024),
        Row("cpu", "CPU of heraldd per MiB taken in, microseconds")]


def copies(folder, size, count):
    """Seconds that the copies take."""
    folder.mkdir()
    original = folder / "original"
    original.write_bytes(b"x" * size)
    subprocess.run(["sync", original], check=True)
    names = [str(folder / str(number)) for number in range(count)]
    start = time.monotonic()
    running = [subprocess.Popen(["sh", "-c", 'original=$1; shift; for copy; do cp "$original" "$copy" && sync "$copy" || exit 1; done',
                                 "sh", str(original), *names[part::AT_ONCE]]) for part in range(min(AT_ONCE, count))]
    if any(one.wait() for one in running):
        raise machine.Fault("large: cp failed")
    took = time.monotonic() - start
    subprocess.run(["rm", "-r", folder], check=True)
    return took


def measure(bench):
    size, count = bench.count(50 * MIB), bench.count(16, 8)
    octets = size * count / MIB
    with load.sink() as sink:
        for _ in bench.rounds():
            found = {"bare": octets / copies(bench.folder("copies"), size, count)}
            with heraldd.Herald(bench.build, bench.folder("herald"), {"sink": heraldd.host(sink)}, queue={"max_message_size": "64M"}) as herald:
                herald.pause()
                before = machine.settled(herald.pid)
                found["herald"] = octets / load.own(bench.build, herald.port, count, AT_ONCE, size, "-p")["seconds"]
                found["cpu"] = (machine.settled(herald.pid) - before) / octets * 1e6
                found["rss_in"] = machine.memory(herald.pid, "VmHWM")
                start = time.monotonic()
                herald.resume()
                herald.wait_empty()
                found["out"] = octets / (time.monotonic() - start)
                found["rss"] = machine.memory(herald.pid, "VmHWM")
            herald.remove()
            found["ratio"] = found["herald"] / found["bare"]
            yield found
