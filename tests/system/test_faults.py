"""A fault of our relay is not the message's fault (SPEC 4): no attempt is charged, nothing bounces, one alert, one line when it is over."""

import contextlib
import os
import re
import socket
import ssl
import threading
import types

import pytest

from lib import conf, daemon
from lib.dns import FILES
from lib.net import free_port, need, wait_until
from lib.sink import Drop
from lib.smtp import message, message_id, submit

COUNT = 3
SUSPENDED = r"relay smarthost: suspended, mail stays queued: \S+: (.*)$"
RECOVERED = r"relay smarthost: takes mail again$"
# A message would be tried again by its own schedule in an hour alone: what is delivered was waiting for the relay.
SLOW = {"retry_min": "1h", "retry_max": "1h", "lifetime": "2h"}


def secret(start, text="secret-word\n"):
    path = os.path.join(start.directory, "secret")
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o600)
    daemon.shutil.chown(path, "nobody")
    return "file:" + path


def tls_context(certificates, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.path(name))
    return context


class Fault:
    """A peer with a fault: the keys of the relay block, and how the fault ends."""

    def __init__(self, sink, words, end, **keys):
        self.sink, self.words, self.end, self.keys = sink, words, end, keys
        self.patient = False                 # only the administrator ends the suspension soon


def by_reply(step, reply, words):
    def make(start, certificates):
        sink = start.py_sink({step: reply})
        return Fault(sink, words, lambda: sink.replies.pop(step), host=sink.host)
    return make


def auth_refused(start, certificates):
    sink = start.py_sink(users={"ann": "another"})
    fault = Fault(sink, r"AUTH: .*535 5\.7\.8", lambda: sink.users.update(ann="secret-word"), host=sink.host, username="ann",
                  password=secret(start))
    fault.patient = True
    return fault


def auth_not_offered(start, certificates):
    sink = start.py_sink()

    def end():
        sink.users = {"ann": "secret-word"}
    return Fault(sink, r"AUTH", end, host=sink.host, username="ann", password=secret(start))


def bad_certificate(name, words):
    def make(start, certificates):
        sink = start.py_sink(tls="starttls", context=tls_context(certificates, name))

        def end():
            sink.context = tls_context(certificates, "good")
        return Fault(sink, words, end, host=f"localhost:{sink.port}", tls="starttls", tls_ca_file=certificates.ca)
    return make


def starttls_not_offered(start, certificates):
    sink = start.py_sink(context=tls_context(certificates, "good"))

    def end():
        sink.tls = "starttls"
    return Fault(sink, "STARTTLS", end, host=f"localhost:{sink.port}", tls="starttls", tls_ca_file=certificates.ca)


def connection_refused(start, certificates):
    port = free_port()
    fault = Fault(None, "[Cc]onnection refused", None, host=f"127.0.0.1:{port}")

    def end():
        fault.sink = start.py_sink(port=port)
    fault.end = end
    return fault


def greeting_lost(start, certificates):
    def drop(session, line):
        raise Drop
    sink = start.py_sink({"CONNECT": drop})
    return Fault(sink, "greeting", lambda: sink.replies.pop("CONNECT"), host=sink.host)


FAULTS = {
    "AUTH refused": auth_refused, "AUTH not offered": auth_not_offered, "STARTTLS not offered": starttls_not_offered,
    "certificate expired": bad_certificate("expired", "expired"), "wrong name": bad_certificate("wrong-name", "(?i)(name|match)"),
    "unknown CA": bad_certificate("unknown-ca", "(?i)(certificate|issuer|self)"),
    "connection refused": connection_refused, "greeting lost": greeting_lost,
    "banner 554": by_reply("CONNECT", b"554 5.3.2 not you", r"554 5\.3\.2 not you"),
    "banner 421": by_reply("CONNECT", b"421 4.3.2 not now", r"421 4\.3\.2 not now"),
    "banner of letters": by_reply("CONNECT", b"hello there", "greeting"),
    "EHLO 421": by_reply("EHLO", b"421 4.3.2 not now", r"421 4\.3\.2 not now"),
    "EHLO 450": by_reply("EHLO", b"450 4.3.2 not now", r"450 4\.3\.2 not now"),
    "MAIL 530": by_reply("MAIL", b"530 5.7.0 Authentication required", r"530 5\.7\.0"),
    "MAIL 535": by_reply("MAIL", b"535 5.7.8 who are you", r"535 5\.7\.8"),
    "MAIL 454": by_reply("MAIL", b"454 4.7.0 no TLS now", r"454 4\.7\.0"),
    "MAIL 502": by_reply("MAIL", b"502 5.5.1 what?", r"502 5\.5\.1"),
    "MAIL 503": by_reply("MAIL", b"503 5.5.1 HELO first", r"503 5\.5\.1")}


def recipients(herald):
    return [one for mail in herald.queue() for one in mail["recipients"]]


def check_waits(relay, count=COUNT):
    """All of it is there, deferred, not charged."""
    wait_until(lambda: sum(one["state"] == "deferred" for one in recipients(relay.herald)) == count, "all mail waits")
    assert all(one["attempts"] == 0 for one in recipients(relay.herald))
    log = relay.herald.log()
    assert not re.search(r"status=(bounced|expired|sent)|non-delivery|parked", log)
    assert len(re.findall(SUSPENDED, log, re.M)) == 1
    assert not re.search(RECOVERED, log, re.M)


def check_over(relay, sink, idents):
    wait_until(lambda: set(idents) <= set(sink.idents()), "all mail at the sink")
    relay.herald.wait_empty()
    assert sorted(sink.idents()) == sorted(idents)
    log = relay.herald.log()
    assert len(re.findall(SUSPENDED, log, re.M)) == 1
    assert len(re.findall(RECOVERED, log, re.M)) == 1
    assert "status=bounced" not in log


@pytest.mark.parametrize("name", FAULTS)
def test_fault(start, certificates, name):
    fault = FAULTS[name](start, certificates)
    relay = start.relay(queue=SLOW, **{"connect_timeout": "2s", **fault.keys})
    idents = [message_id() for _ in range(COUNT)]
    for ident in idents:
        submit(relay.endpoint, message(ident))
    found = relay.herald.wait_log(SUSPENDED)
    assert re.search(fault.words, found.group(1)), found.group(1)
    if not fault.patient:                    # more than one round, and still one line
        wait_until(lambda: relay.herald.ask("relays")[0]["suspended_seconds"] > 1, "a second try in vain")
    check_waits(relay)
    fault.end()
    if fault.patient:
        assert relay.herald.ask("relays")[0]["suspended_seconds"] > 20
        assert relay.herald.ctl("queue", "retry", "--all").returncode == 0
    check_over(relay, fault.sink, idents)


def test_each_recipient_is_told_once(start):
    """Rounds that find the same fault are one deferred line for each recipient."""
    relay = start.relay(host=f"127.0.0.1:{free_port()}", queue={"retry_min": "1s", "retry_max": "1s"})
    for _ in range(COUNT):
        submit(relay.endpoint, message(), recipients=["bob@example.net", "carol@example.net"])
    wait_until(lambda: relay.herald.ask("relays")[0]["suspended_seconds"] > 3, "three rounds")
    lines = re.findall(r"(\S+: to=<\S+>), .*status=deferred", relay.herald.log())
    assert len(lines) == len(set(lines))
    check_waits(relay, 2 * COUNT)


def test_signal_ends_a_suspension(start):
    port = free_port()
    relay = start.relay(host=f"127.0.0.1:{port}", queue=SLOW)
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: relay.herald.ask("relays")[0]["suspended_seconds"] > 4, "a suspension of some length")
    sink = start.py_sink(port=port)
    relay.herald.signal(daemon.signal.SIGUSR1)
    check_over(relay, sink, [ident])


def test_many_messages_stay_in_the_store(start):
    """2,000 messages for a relay that is down: all wait in the store, and go once it is there."""
    port = free_port()
    relay = start.relay(host=f"127.0.0.1:{port}", queue=SLOW)
    submit(relay.endpoint, message())
    relay.herald.wait_log(SUSPENDED)
    source = daemon.subprocess.run([need("smtp-source"), "-s", "10", "-m", "1999", "-l", "500", "-f", "ann@example.org", "-t",
                                    "bob@example.net", f"127.0.0.1:{relay.port}"], timeout=120)
    assert source.returncode == 0
    wait_until(lambda: relay.herald.status()["queue"]["deferred"] == 2000, "all deferred")
    assert relay.herald.ask("relays")[0]["waiting"] == 0
    sink = start.smtp_sink(port=port, dump=False)
    assert relay.herald.ctl("queue", "retry", "--all").returncode == 0
    relay.herald.wait_empty()
    sent = re.findall(r"status=sent", relay.herald.log())
    assert len(sent) == 2000 and sink.process.poll() is None


@pytest.fixture
def names(start):
    """resolv.conf and hosts of the daemon's own: a name server that refuses, and no name."""
    files = types.SimpleNamespace(resolv=os.path.join(start.directory, "resolv.conf"), hosts=os.path.join(start.directory, "hosts"))
    with open(files.resolv, "w") as file:
        file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    with open(files.hosts, "w") as file:
        file.write("127.0.0.1 localhost\n")
    files.prefix = [need("unshare"), "--mount", "sh", "-c", FILES, "sh", files.resolv, files.hosts]
    return files


def test_dns_fails(start, names):
    """SERVFAIL, or no server at all: 4.4.3; the mail goes once the name is known."""
    sink = start.py_sink()
    port = free_port()
    body = conf.mail(port, f"smtp.example.net:{sink.port}", SLOW, connect_timeout="2s")
    one = start.herald(body, default_relay="smarthost", prefix=names.prefix)
    relay = types.SimpleNamespace(herald=one)
    idents = [message_id() for _ in range(COUNT)]
    for ident in idents:
        submit(("127.0.0.1", port), message(ident))
    found = one.wait_log(SUSPENDED)
    assert "host smtp.example.net: " in found.group(1)
    one.wait_log(r"dsn=4\.4\.[34], status=deferred")
    check_waits(relay)
    with open(names.hosts, "a") as file:
        file.write("127.0.0.1 smtp.example.net\n")
    one.reload()
    check_over(relay, sink, idents)


def test_another_host_by_reload(start):
    """The conffile was wrong: a reload that changes the relay ends its suspension."""
    sink = start.py_sink()
    relay = start.relay(host="nowhere.invalid:25", queue=SLOW)
    idents = [message_id() for _ in range(COUNT)]
    for ident in idents:
        submit(relay.endpoint, message(ident))
    relay.herald.wait_log(SUSPENDED)
    check_waits(relay)
    relay.herald.reload(conf.mail(relay.port, sink.host, SLOW))
    check_over(relay, sink, idents)


# --- a relay that hangs ---

class Hanging:
    """Accepts, and says nothing more from the given stage on, until it is told to."""

    def __init__(self, start, certificates, stage):
        self.gate = threading.Event()

        def hang(session, line):
            self.gate.wait(300)
            raise Drop
        step = {"greeting": "CONNECT", "EHLO": "EHLO", "STARTTLS": "STARTTLS", "AUTH": "AUTH"}.get(stage)
        starttls = stage in ("STARTTLS", "TLS")
        self.sink = start.py_sink({step: hang} if step else {}, tls="starttls" if starttls else None,
                                  context=tls_context(certificates, "good") if starttls else None,
                                  users={"ann": "secret-word"} if stage == "AUTH" else None)
        self.keys = {"host": f"localhost:{self.sink.port}" if starttls else self.sink.host}
        if starttls:
            self.keys.update(tls="starttls", tls_ca_file=certificates.ca)
        if stage == "AUTH":
            self.keys.update(username="ann", password=secret(start))
            self.sink.replies["AUTH"] = hang
        if stage == "TLS":
            good, self.sink.context = self.sink.context, types.SimpleNamespace(wrap_socket=lambda sock, **_: hang(None, None))
            self.good = good

    def end(self):
        self.sink.replies.clear()
        if hasattr(self, "good"):
            self.sink.context = self.good
        self.gate.set()


@pytest.mark.slow
def test_hang_at_each_stage(start, certificates):
    """The set-up has a deadline, at every stage: a minute, or connect_timeout for the handshake."""
    rows = {}
    for stage in ("greeting", "EHLO", "STARTTLS", "TLS", "AUTH"):
        peer = Hanging(start, certificates, stage)
        relay = start.relay(queue=SLOW, connect_timeout="3s", **peer.keys)
        idents = [message_id() for _ in range(COUNT)]
        for ident in idents:
            submit(relay.endpoint, message(ident))
        rows[stage] = peer, relay, idents
    for stage, (_, relay, _) in rows.items():
        found = relay.herald.wait_log(SUSPENDED, timeout=100)
        assert re.search(f"{stage}.*timed out", found.group(1)), (stage, found.group(1))
        check_waits(relay)
    for peer, relay, idents in rows.values():
        peer.end()
        relay.herald.ctl("queue", "retry", "--all")
        check_over(relay, peer.sink, idents)


def test_hang_at_connect(start):
    """A full backlog drops SYN: connect_timeout."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        relay = start.relay(host=f"127.0.0.1:{port}", queue=SLOW, connect_timeout="1s")
        idents = [message_id() for _ in range(COUNT)]
        for ident in idents:
            submit(relay.endpoint, message(ident))
        found = relay.herald.wait_log(SUSPENDED)
        assert "timed out" in found.group(1)
        check_waits(relay)
    sink = start.py_sink(port=port)
    relay.herald.ctl("queue", "retry", "--all")
    check_over(relay, sink, idents)


# --- one dead destination never delays another ---

HOSTS, DEAD, MESSAGES = 50, 10, 1000


def silent_listener(stack):
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    return listener.getsockname()[1]


def test_dead_destinations_do_not_delay_others(start):
    """1,000 messages to 50 relays, of which five refuse connections and five accept and say nothing."""
    with contextlib.ExitStack() as stack:
        sink = start.smtp_sink(dump=False)
        hosts = [f"127.0.0.1:{sink.port}"] * (HOSTS - DEAD)
        hosts += [f"127.0.0.1:{free_port()}" for _ in range(DEAD // 2)]
        hosts += [f"127.0.0.1:{silent_listener(stack)}" for _ in range(DEAD // 2)]
        port = free_port()
        body = conf.mail(port, sink.host, SLOW)
        for i, host in enumerate(hosts):
            body += conf.block("relay", f"r{i}", host=[host], tls="none", connect_timeout="30s")
            body += conf.block("route", recipient=[f"*@host{i}.example"], relay=f"r{i}")
        one = start.herald(body, default_relay="smarthost")
        for i in range(MESSAGES):
            submit(("127.0.0.1", port), message(), recipients=[f"bob@host{(i * 7) % HOSTS}.example"])
        healthy = MESSAGES * (HOSTS - DEAD) // HOSTS
        wait_until(lambda: len(re.findall("status=sent", one.log())) == healthy, "all healthy ones delivered", 50)
        left = recipients(one)
        assert len(left) == MESSAGES - healthy and all(one["attempts"] == 0 for one in left)
        assert not re.search(r"status=(bounced|expired)", one.log())
