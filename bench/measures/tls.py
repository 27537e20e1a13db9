"""S10: TLS to the smarthost."""
import json
import time

from lib import heraldd, load, machine
from lib.report import Row, ratio

ABOUT = ("Mail through heraldd into a sink of ours, in clear and with implicit TLS (TLS 1.3, P-256, verified), until the queue is empty: "
         "first while it is handed in, then from a queue that was filled before. Sessions are reused as the defaults say, 100 messages each.")
NEEDS = ("smtp-source", "openssl")
ROWS = [Row("plain", "in clear, whole, messages/s", main=True),
        Row("tls", "with TLS, whole, messages/s", main=True), ratio("S10: TLS : clear", least=0.7),
        Row("plain_out", "in clear, out of the queue, messages/s"), Row("tls_out", "with TLS, out of the queue, messages/s"),
        ratio("TLS : clear, out of the queue", "out_ratio"),
        Row("plain_cpu", "in clear: CPU of heraldd per message, microseconds"),
        Row("tls_cpu", "with TLS: CPU of heraldd per message, microseconds"),
        Row("handshakes", "TLS sessions per 1,000 messages", "{:,.1f}"), Row("resumed", "of them resumed, percent")]


def certificate(bench):
    folder = bench.folder("certificate")
    folder.mkdir(mode=0o755)
    paths = folder / "certificate.pem", folder / "key.pem"
    machine.output(machine.tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                   "3650", "-subj", "/CN=sink", "-addext", "subjectAltName = IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1])
    return paths


def through(bench, messages, paths=None):
    port, out = machine.free_port(), bench.folder("sink")
    tls = {"tls": "implicit", "tls_ca_file": paths[0]} if paths else {}
    sink = machine.Child(bench.build / "bench/tls_sink", "127.0.0.1", port, *(paths or ()), log=out).wait_port(port)
    with sink, heraldd.Herald(bench.build, bench.folder("herald"), {"sink": heraldd.host(port, **tls)}) as herald:
        load.source(herald.port, min(load.WARMUP, messages))
        herald.wait_empty()
        before, start = machine.settled(herald.pid), time.monotonic()
        load.source(herald.port, messages)
        herald.wait_empty()
        rate = messages / (time.monotonic() - start)
        cpu = (machine.settled(herald.pid) - before) / messages
        herald.pause()
        load.source(herald.port, messages)
        start = time.monotonic()
        herald.resume()
        herald.wait_empty()
        out_rate = messages / (time.monotonic() - start)
    herald.remove()
    return rate, out_rate, cpu * 1e6, json.loads(out.read_text().splitlines()[-1])


def measure(bench):
    messages, paths = bench.count(10000), certificate(bench)
    for _ in bench.rounds():
        found = {}
        found["plain"], found["plain_out"], found["plain_cpu"], _ = through(bench, messages)
        found["tls"], found["tls_out"], found["tls_cpu"], sink = through(bench, messages, paths)
        found["ratio"], found["out_ratio"] = found["tls"] / found["plain"], found["tls_out"] / found["plain_out"]
        found["handshakes"] = sink["sessions"] / sink["taken"] * 1000
        found["resumed"] = sink["resumed"] / max(1, sink["sessions"]) * 100
        yield found
