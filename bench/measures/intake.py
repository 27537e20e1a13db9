"""S2: intake alone."""
from lib import heraldd, load, machine, postfix
from lib.report import SHARE, Row, ratio

ABOUT = (f"`smtp-source -d -s {load.SESSIONS} -l {load.SIZE}` into heraldd with its relay paused, into Postfix with all mail on hold, "
         "and straight into smtp-sink, which forgets it. Both relays sync each message before its 250 and log it to a file.")
NEEDS = ("smtp-source", "smtp-sink", "postfix")
ROWS = [Row("straight", "straight into smtp-sink, messages/s"), Row("herald", "intake by heraldd, messages/s", main=True),
        Row("postfix", "intake by Postfix, messages/s", main=True), ratio("S2: heraldd : Postfix", least=10),
        ratio("S2: heraldd : straight", "share", least=0.5), Row("herald_cpu", "CPU of heraldd per message, microseconds"),
        Row("postfix_cpu", "CPU of Postfix per message, microseconds"), Row("cpu_ratio", "CPU of Postfix : CPU of heraldd", SHARE),
        Row("rss", "RSS of heraldd at most, KiB")]


def into(server, messages):
    """Rate, and CPU seconds a message."""
    load.source(server.port, min(load.WARMUP, messages))
    held, before = server.held(), machine.settled(server.pid)
    took = load.source(server.port, messages)
    used = machine.settled(server.pid) - before
    if server.held() - held != messages:
        raise machine.Fault(f"intake: {server.held() - held} messages in the queue of {type(server).__name__}, not {messages}")
    return messages / took, used / messages


def measure(bench):
    messages, fewer = bench.count(20000), bench.count(4000)
    with load.sink() as sink, postfix.Postfix(bench.folder("postfix")) as peer:
        for _ in bench.rounds():
            found = {"straight": load.straight(sink, messages)}
            with heraldd.Herald(bench.build, bench.folder("herald")) as herald:
                herald.pause()
                found["herald"], cpu = into(herald, messages)
                found["herald_cpu"], found["rss"] = cpu * 1e6, machine.memory(herald.pid, "VmHWM")
            herald.remove()
            found["postfix"], cpu = into(peer, fewer)
            found["postfix_cpu"] = cpu * 1e6
            peer.empty()
            found["ratio"], found["share"] = found["herald"] / found["postfix"], found["herald"] / found["straight"]
            found["cpu_ratio"] = found["postfix_cpu"] / found["herald_cpu"]
            yield found
