"""S4: UDP quotes."""
import socket

from lib import heraldd, load, machine, nginx
from lib.report import SHARE, Row, ratio

ABOUT = ("UDP quotes, guards and rate table asked for each datagram, one client with 256 requests under way. Beside it the bare loop of "
         "recvmmsg(64) and sendmmsg, and nginx `stream { return }` with one worker, which answer with a text of the same size.")
NEEDS = ("nginx",)
ROWS = [Row("bare", "bare loop, replies/s"), Row("herald", "heraldd, replies/s", main=True), Row("nginx", "nginx, replies/s"),
        ratio("S4: heraldd : bare loop", least=0.95), ratio("S4: heraldd : nginx", "nginx_ratio", least=1.7),
        Row("bare_cpu", "CPU of the bare loop per reply, microseconds", SHARE),
        Row("herald_cpu", "CPU of heraldd per reply, microseconds", SHARE),
        Row("nginx_cpu", "CPU of nginx per reply, microseconds", SHARE)]


def ask(bench, pid, port):
    load.run(bench.build, "quote_load", "127.0.0.1", port, 0.2)
    before = machine.cpu(pid)
    found = load.run(bench.build, "quote_load", "127.0.0.1", port, bench.seconds(3))
    return found["rate"], (machine.cpu(pid) - before) / found["answered"] * 1e6


def measure(bench):
    text = heraldd.QUOTES[0]
    for _ in bench.rounds():
        found = {}
        port = machine.free_port(socket.SOCK_DGRAM)
        with machine.Child(bench.build / "bench/udp_loop", "127.0.0.1", port, text) as bare:
            machine.time.sleep(0.1)
            found["bare"], found["bare_cpu"] = ask(bench, bare.pid, port)
        with heraldd.Herald(bench.build, bench.folder("herald"), quotes=True) as herald:
            found["herald"], found["herald_cpu"] = ask(bench, herald.pid, herald.quotes)
        herald.remove()
        port = machine.free_port(socket.SOCK_DGRAM)
        with nginx.Nginx(bench.folder("nginx"), port, text, udp=True) as peer:
            found["nginx"], found["nginx_cpu"] = ask(bench, peer.pid, port)
        found["ratio"], found["nginx_ratio"] = found["herald"] / found["bare"], found["herald"] / found["nginx"]
        yield found
