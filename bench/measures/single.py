"""S3: one session, one message after the other."""
from lib import heraldd, load
from lib.report import Row, ratio

ABOUT = (f"One session, messages of {load.SIZE} octets one after the other, relay paused: each waits for a sync of its own. Beside it "
         "a loop in C that writes the same octets and calls fdatasync, once at the end of a growing file and once over blocks that the "
         "file has already, as a write-ahead log does. The client sends the next message's commands behind the dot (RFC 2920), so that "
         "a message is one round trip; smtp-source takes four.")
NEEDS = ("smtp-source",)
ROWS = [Row("bare", "bare fdatasync, appended, /s", main=True), Row("bare_reuse", "bare fdatasync, over what is there, /s"),
        Row("herald", "heraldd, one round trip a message, messages/s", main=True), Row("source", "heraldd, smtp-source, messages/s"),
        ratio("S3: heraldd : bare fdatasync, appended", least=0.9), ratio("heraldd : bare fdatasync, over what is there", "reuse_ratio"),
        ratio("smtp-source : bare fdatasync, appended", "source_ratio"),
        Row("bare_p50", "bare fdatasync, appended, median, microseconds"), Row("p50", "a message, median, microseconds"),
        Row("bare_p99", "bare fdatasync, appended, p99, microseconds"), Row("p99", "a message, p99, microseconds")]


def measure(bench):
    messages, length = bench.count(10000), bench.seconds(2)
    for _ in bench.rounds():
        found = {}
        for key, way in (("bare", "append"), ("bare_reuse", "reuse")):
            file = bench.folder("bare")
            bare = load.run(bench.build, "sync_loop", file, load.SIZE, length, way)
            file.unlink()
            found[key], found[f"{key}_p50"], found[f"{key}_p99"] = bare["rate"], bare["p50_us"], bare["p99_us"]
        with heraldd.Herald(bench.build, bench.folder("herald")) as herald:
            herald.pause()
            load.own(bench.build, herald.port, min(load.WARMUP, messages), 1, load.SIZE, "-p")
            one = load.own(bench.build, herald.port, messages, 1, load.SIZE, "-p")
            fewer = max(1, messages // 2)
            found["source"] = fewer / load.source(herald.port, fewer, 1)
        herald.remove()
        found["herald"], found["p50"], found["p99"] = one["rate"], one["p50_us"], one["p99_us"]
        found["ratio"], found["reuse_ratio"] = found["herald"] / found["bare"], found["herald"] / found["bare_reuse"]
        found["source_ratio"] = found["source"] / found["bare"]
        yield found
