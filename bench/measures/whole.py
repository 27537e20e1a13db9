"""S1: smtp-source, a relay that syncs each message, smtp-sink."""
from lib import heraldd, load, machine, postfix
from lib.report import ROUGH, SHARE, Row, ratio

ABOUT = (f"`smtp-source -d -s {load.SESSIONS} -l {load.SIZE}` through the relay into smtp-sink, until the queue is empty; the same "
         "straight into smtp-sink. Both relays sync each message before its 250 and log it to a file.")
NEEDS = ("smtp-source", "smtp-sink", "postfix")
ROWS = [Row("straight", "straight into smtp-sink, messages/s", main=True), Row("herald", "through heraldd, whole, messages/s", main=True),
        Row("postfix", "through Postfix, whole, messages/s", main=True), ratio("S1: heraldd : Postfix", least=10),
        ratio("S1: heraldd : straight", "share", least=0.4), Row("herald_intake", "intake by heraldd while it delivers, messages/s"),
        Row("herald_cpu", "CPU of heraldd per message, microseconds", main=True),
        Row("postfix_cpu", "CPU of Postfix per message, microseconds", main=True),
        Row("cpu_ratio", "CPU of Postfix : CPU of heraldd", SHARE), Row("rss", "RSS of heraldd at most, KiB", ROUGH, main=True)]


def through(server, messages):
    """Rate until all is delivered, rate of intake, CPU seconds a message."""
    load.source(server.port, min(load.WARMUP, messages))
    server.wait_empty()
    before = machine.settled(server.pid)
    start = machine.time.monotonic()
    intake = load.source(server.port, messages)
    server.wait_empty()
    took = machine.time.monotonic() - start
    return messages / took, messages / intake, (machine.settled(server.pid) - before) / messages


def measure(bench):
    messages, fewer = bench.count(20000), bench.count(4000)
    with load.sink() as sink, postfix.Postfix(bench.folder("postfix"), sink) as peer:
        for _ in bench.rounds():
            found = {"straight": load.straight(sink, messages)}
            with heraldd.Herald(bench.build, bench.folder("herald"), {"sink": heraldd.host(sink)}) as herald:
                found["herald"], found["herald_intake"], cpu = through(herald, messages)
                found["herald_cpu"], found["rss"] = cpu * 1e6, machine.memory(herald.pid, "VmHWM")
            herald.remove()
            found["postfix"], _, cpu = through(peer, fewer)
            found["postfix_cpu"] = cpu * 1e6
            found["ratio"], found["share"] = found["herald"] / found["postfix"], found["herald"] / found["straight"]
            found["cpu_ratio"] = found["postfix_cpu"] / found["herald_cpu"]
            yield found
