"""S5: the TCP greeting."""
from lib import heraldd, load, machine, nginx
from lib.report import FINE, Row, ratio

ABOUT = ("TCP greeting: connect, read the text to its end, close; 16 clients at once. Beside it the bare loop of accept, send, shutdown, "
         "drain and close, and nginx `stream { return }` with one worker. The client is the limit: CPU of the server counts.")
NEEDS = ("nginx",)
ROWS = [Row("bare_cpu", "CPU of the bare loop per connection, microseconds", FINE, main=True),
        Row("herald_cpu", "CPU of heraldd per connection, microseconds", FINE, main=True),
        Row("nginx_cpu", "CPU of nginx per connection, microseconds", FINE, main=True),
        ratio("S5: CPU of heraldd : bare loop", most=1.1), ratio("S5: CPU of heraldd : nginx", "nginx_ratio", most=1),
        Row("bare", "bare loop, connections/s"), Row("herald", "heraldd, connections/s"), Row("nginx", "nginx, connections/s"),
        Row("p99", "heraldd, connect to end, p99, microseconds")]
AT_ONCE = 16


def visit(bench, pid, port):
    load.run(bench.build, "greet_load", "127.0.0.1", port, 0.2, AT_ONCE)
    before = machine.cpu(pid)
    found = load.run(bench.build, "greet_load", "127.0.0.1", port, bench.seconds(3), AT_ONCE)
    used = machine.settled(pid) - before
    if found["empty"]:
        raise machine.Fault(f"greeting: {found['empty']} of {found['connections']} connections got no text")
    return found, used / found["connections"] * 1e6


def measure(bench):
    for _ in bench.rounds():
        found = {}
        port = machine.free_port()
        with machine.Child(bench.build / "bench/greet_loop", "127.0.0.1", port, heraldd.GREETING).wait_port(port) as bare:
            one, found["bare_cpu"] = visit(bench, bare.pid, port)
            found["bare"] = one["rate"]
        with heraldd.Herald(bench.build, bench.folder("herald"), greeting=True) as herald:
            one, found["herald_cpu"] = visit(bench, herald.pid, herald.greeting)
            found["herald"], found["p99"] = one["rate"], one["p99_us"]
        herald.remove()
        port = machine.free_port()
        with nginx.Nginx(bench.folder("nginx"), port, heraldd.GREETING) as peer:
            one, found["nginx_cpu"] = visit(bench, peer.pid, port)
            found["nginx"] = one["rate"]
        found["ratio"], found["nginx_ratio"] = found["herald_cpu"] / found["bare_cpu"], found["herald_cpu"] / found["nginx_cpu"]
        yield found
