"""Mail to 50 destinations, all healthy, and with 10 of them hanging."""
import socket
import threading
import time

from lib import heraldd, load, machine
from lib.report import Row, ratio

DESTINATIONS, HANGING = 50, 10
ABOUT = (f"As many messages for each of {DESTINATIONS} relays wait while these are paused; then the relays are resumed, and the time counts "
         f"until each healthy one has all of its own. {HANGING} of them, the second time, take connections and say nothing.")
NEEDS = ("smtp-sink",)
ROWS = [Row("healthy", f"{DESTINATIONS} relays, messages/s", main=True),
        Row("hanging", f"{DESTINATIONS - HANGING} relays beside {HANGING} that hang, messages/s to the {DESTINATIONS - HANGING}"),
        ratio("the second : the first"), Row("rss", "RSS of heraldd at most, KiB")]


class Silent:
    """Takes connections and says nothing."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1]
        self.taken = []
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        while True:
            try:
                self.taken.append(self.listener.accept()[0])
            except OSError:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for taken in self.taken:
            taken.close()


def delivery(bench, sink, silent, messages, hanging):
    """Messages a second to the healthy destinations, and RSS."""
    healthy = DESTINATIONS - hanging
    names = [f"d{number}" for number in range(DESTINATIONS)]
    relays = {name: heraldd.host(sink if number < healthy else silent, max_connections=10) for number, name in enumerate(names)}
    routes = [(f"*@{name}.example.net", name) for name in names]
    with heraldd.Herald(bench.build, bench.folder("herald"), relays, routes=routes) as herald:
        herald.pause()
        load.own(bench.build, herald.port, messages * DESTINATIONS, load.SESSIONS, load.SIZE, "-p", "-n", DESTINATIONS)

        def all_there():
            relays = herald.ask("status")["relays"]
            return all(relays[name]["delivered"] >= messages for name in names[:healthy])
        start = time.monotonic()
        herald.resume(*reversed(names))     # those that hang come first
        machine.until("the healthy destinations have their mail", all_there)
        took = time.monotonic() - start
        peak = machine.memory(herald.pid, "VmHWM")
    herald.remove()
    return healthy * messages / took, peak


def measure(bench):
    messages = bench.count(600, 10)
    with load.sink() as sink, Silent() as silent:
        for _ in bench.rounds():
            found = {}
            found["healthy"], _ = delivery(bench, sink, silent.port, messages, 0)
            found["hanging"], found["rss"] = delivery(bench, sink, silent.port, messages, HANGING)
            found["ratio"] = found["hanging"] / found["healthy"]
            yield found
