"""S9: a UDP flood while mail flows."""
import contextlib
import json
import socket
import time

from lib import heraldd, load, machine
from lib.report import Row, ratio

ABOUT = ("20 sessions hand in mail of 5 KiB without pause and heraldd hands it to smtp-sink; what it delivers in a few seconds counts. "
         "One client reads the TCP greeting every 5 ms. Then the same while another client sends UDP requests to heraldd as fast as it can "
         "and never waits for a reply. That client takes a processor for itself, which a flood from elsewhere does not: so once more with "
         "the flood going to a port that nobody reads.")
NEEDS = ("smtp-sink",)
ROWS = [Row("calm", "without the flood: delivered, messages/s", main=True), Row("flooded", "beside the flood: delivered, messages/s", main=True),
        Row("aside", "the flood goes where nobody reads: delivered, messages/s", main=True),
        ratio("S9: beside : without", least=0.5), ratio("beside : the flood goes where nobody reads", "aside_ratio"),
        Row("calm_p99", "without the flood: greeting, p99, ms", "{:,.2f}"),
        Row("aside_p99", "the flood goes where nobody reads: greeting, p99, ms", "{:,.2f}"),
        Row("flooded_p99", "S9: beside the flood: greeting, p99, ms", "{:,.2f}", most=20),
        Row("sent", "requests of the flood, /s"), Row("answered", "of them answered, /s")]
PAUSE_MS = 5


@contextlib.contextmanager
def unread():
    """A port whose datagrams the kernel drops once a buffer is full."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def window(bench, sink, flood):
    """Mail delivered a second, what the greeting took, what the flood was; flood(herald) is its port."""
    length, folder = bench.seconds(4), bench.folder("herald")
    with heraldd.Herald(bench.build, folder, {"sink": heraldd.host(sink)}, greeting=True, quotes=True) as herald:
        port = flood(herald)
        commands = {"mail": ("smtp_load", "-p", "-s", load.SESSIONS, "-d", length + 0.6, "127.0.0.1", herald.port),
                    "greeting": ("greet_load", "127.0.0.1", herald.greeting, length + 0.6, 1, PAUSE_MS)}
        if port:
            commands["flood"] = ("quote_load", "127.0.0.1", port, length + 1, "flood")
        running = [machine.Child(bench.build / "bench" / name, *words, log=folder / key) for key, (name, *words) in commands.items()]
        time.sleep(0.3)
        before, start = delivered(herald), time.monotonic()
        time.sleep(length)
        rate = (delivered(herald) - before) / (time.monotonic() - start)
        for one in running:
            one.process.wait(120)
            one.stop()
        said = {key: json.loads((folder / key).read_text()) for key in commands}
        herald.wait_empty()
    herald.remove()
    return rate, said["greeting"]["p99_us"] / 1000, said.get("flood")


def delivered(herald):
    return herald.ask("status")["relays"]["sink"]["delivered"]


def measure(bench):
    with load.sink() as sink, unread() as aside:
        for _ in bench.rounds():
            found = {}
            found["calm"], found["calm_p99"], _ = window(bench, sink, lambda herald: None)
            found["flooded"], found["flooded_p99"], flooding = window(bench, sink, lambda herald: herald.quotes)
            found["aside"], found["aside_p99"], _ = window(bench, sink, lambda herald: aside)
            found["sent"], found["answered"] = flooding["sent_rate"], flooding["rate"]
            found["ratio"], found["aside_ratio"] = found["flooded"] / found["calm"], found["flooded"] / found["aside"]
            yield found
