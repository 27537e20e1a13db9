"""Reload (SPEC 3): all or nothing, under load, with nobody dropped."""

import os
import re
import signal
import socket
import ssl

import pytest

from lib import conf
from lib.load import Load
from lib.net import TIMEOUT, connect, fetch, free_port, listening_inodes, read_all, wait_until
from lib.smtp import Client, message, message_id, stuffed, submit


def ask(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT)
        sock.sendto(b"?", ("127.0.0.1", port))
        return sock.recv(512).decode()


def welcome(port, text, **keys):
    return conf.greeting("welcome", f"127.0.0.1:{port}", text=text, **keys)


def test_new_text_for_new_clients(start):
    port = free_port()
    one = start.herald(welcome(port, "old"))
    assert fetch(("127.0.0.1", port)) == b"old"
    before = one.status()["generation"]
    lines = one.reload(welcome(port, "new"))
    assert fetch(("127.0.0.1", port)) == b"new"
    generation = before + 1
    assert re.search(rf"heraldd\[\d+\]: reload: generation {generation} in force: .*greeting\.welcome\.text", lines)
    assert one.status()["generation"] == generation


def test_sd_notify_says_what_goes_on(start):
    """RELOADING=1 with the monotonic time, then READY=1 (sd_notify(3), Type=notify-reload)."""
    port = free_port()
    one = start.herald(welcome(port, "x"))
    one.reload()
    lines = one.notify.lines()
    assert lines.index("RELOADING=1") > lines.index("READY=1")
    assert one.notify.count("READY=1") == 2
    assert any(re.fullmatch(r"MONOTONIC_USEC=\d+", line) for line in lines)
    assert any(line.startswith("STATUS=") for line in lines)


def test_watchdog(start):
    """WATCHDOG=1 comes from the loop, at least twice within the time asked for."""
    one = start.herald(welcome(free_port(), "x"), environment={"WATCHDOG_USEC": "1000000"})
    wait_until(lambda: one.notify.count("WATCHDOG=1") >= 3, "three signs of life")


def test_unchanged_listeners_keep_their_sockets(start):
    port, udp, smtp, other = free_port(), free_port(), free_port(), free_port()
    rest = conf.quotes("books", f"127.0.0.1:{udp}", quotes=["a"]) + conf.mail(smtp, "127.0.0.1:9")
    one = start.herald(welcome(port, "old") + rest, default_relay="smarthost")
    before = listening_inodes(one.pid)
    assert {port, smtp} <= set(before.values())
    one.reload(welcome(port, "new") + conf.greeting("other", f"127.0.0.1:{other}", text="other") + rest)
    after = listening_inodes(one.pid)
    for inode, number in before.items():
        assert after.get(inode) == number
    assert set(after.values()) - set(before.values()) == {other}


def test_listeners_come_and_go(start):
    first, second = free_port(), free_port()
    one = start.herald(conf.greeting("one", f"127.0.0.1:{first}", text="one"))
    one.reload(conf.greeting("one", f"127.0.0.1:{first}", text="one") + conf.greeting("two", f"127.0.0.1:{second}", text="two"))
    assert fetch(("127.0.0.1", second)) == b"two"
    one.reload(conf.greeting("two", f"127.0.0.1:{second}", text="two"))
    assert fetch(("127.0.0.1", second)) == b"two"
    with pytest.raises(ConnectionRefusedError):
        connect(("127.0.0.1", first))


def test_services_swap_their_ports(start):
    """Two blocks exchange listeners: possible, since both sockets are there already."""
    first, second = free_port(), free_port()

    def body(one, two):
        return conf.greeting("one", f"127.0.0.1:{one}", text="one") + conf.greeting("two", f"127.0.0.1:{two}", text="two")
    one = start.herald(body(first, second))
    one.reload(body(second, first))
    assert fetch(("127.0.0.1", first)) == b"two" and fetch(("127.0.0.1", second)) == b"one"


BAD = {
    "syntax": ("greeting {{{\n", r"herald\.conf:\d+: "),
    "unknown key": ('colour = "red"\n', r"herald\.conf:\d+: .*colour"),
    "bad value": ('stop_timeout = "soon"\n', r"herald\.conf:\d+: .*stop_timeout"),
    "not yet supported": ('metrics { listen = "127.0.0.1:9725" }\n', r"herald\.conf:\d+: .*not yet supported"),
    "port in use": ('greeting taken { listen = {"127.0.0.1:TAKEN"} text = "x" }\n', r"(in use|bind)"),
    "no such file": ('quotes lost { listen = {"127.0.0.1:FREE"} file = "/nonexistent/quotes" }\n', r"/nonexistent/quotes"),
    "no certificate": ('greeting lost { listen = {"127.0.0.1:FREE"} text = "x" tls = "implicit" certificate = "/nonexistent/c" private_key = "/nonexistent/k" }\n',
                       r"/nonexistent/"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_conffile_changes_nothing(start, name):
    """One error line, exit 78 from heraldctl, and everything as before: text, generation, sockets."""
    port = free_port()
    addition, fault = BAD[name]
    one = start.herald(welcome(port, "old"))
    before, generation = listening_inodes(one.pid), one.status()["generation"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addition = addition.replace("TAKEN", str(taken.getsockname()[1])).replace("FREE", str(free_port()))
        lines = one.reload(welcome(port, "new") + addition)
        faults = [line for line in lines.splitlines() if re.search(fault, line)]
        assert len(faults) == 1, lines
        done = one.ctl("reload")
        assert done.returncode == 78
        assert re.search(fault, done.stderr.decode()), done.stderr
    assert fetch(("127.0.0.1", port)) == b"old"
    assert one.status()["generation"] == generation
    assert listening_inodes(one.pid) == before
    one.reload(welcome(port, "new"))
    assert fetch(("127.0.0.1", port)) == b"new"


@pytest.mark.parametrize("key", ["user", "state_directory", "store"])
def test_what_needs_a_restart_refuses_and_says_so(start, key):
    relay = start.relay()
    one = relay.herald
    if key == "store":
        one.configure(conf.mail(relay.port, relay.sink.host, {"store": "sqlite:other.db"}))
    else:
        one.top[key] = "daemon" if key == "user" else one.directory + "/elsewhere"
        one.configure(conf.mail(relay.port, relay.sink.host))
    done = one.ctl("reload")
    assert done.returncode == 78
    assert key.encode() in done.stderr and b"restart" in done.stderr
    submit(relay.endpoint, message())
    relay.sink.wait_messages(1)


def test_heraldctl_reload(start):
    port = free_port()
    one = start.herald(welcome(port, "old"))
    one.configure(welcome(port, "new"))
    done = one.ctl("reload")
    assert (done.returncode, done.stderr) == (0, b"")
    assert fetch(("127.0.0.1", port)) == b"new"


def test_conffile_that_is_gone(start):
    one = start.herald(welcome(free_port(), "x"))
    os.rename(one.conffile, one.conffile + ".away")
    assert one.ctl("reload").returncode == 78
    os.rename(one.conffile + ".away", one.conffile)
    assert one.ctl("reload").returncode == 0


def test_quote_cursor_stays(start):
    """The list is the same: the next quote is the next one.  Another list: from its beginning."""
    udp, port = free_port(), free_port()

    def body(books, text):
        return conf.quotes("books", f"127.0.0.1:{udp}", quotes=books) + welcome(port, text)
    one = start.herald(body(["a", "b", "c"], "old"))
    assert [ask(udp), ask(udp)] == ["a", "b"]
    one.reload(body(["a", "b", "c"], "new"))
    assert [ask(udp), ask(udp)] == ["c", "a"]
    one.reload(body(["x", "y"], "new"))
    assert [ask(udp), ask(udp)] == ["x", "y"]


def test_sessions_in_flight_end_under_the_old_settings(start):
    """A transaction begun before the reload is taken under the limits it began with."""
    relay = start.relay(queue={"max_message_size": "1M"})
    old = Client(relay.endpoint)
    old.transaction()
    relay.herald.reload(conf.mail(relay.port, relay.sink.host, {"max_message_size": "64K"}))
    with Client(relay.endpoint) as new:
        assert "SIZE 65536" in new.hello()
    ident = message_id()
    old.send(stuffed(message(ident, (b"x" * 76 + b"\r\n") * 3000)))
    assert old.reply()[0] == 250
    old.quit()
    wait_until(lambda: ident in relay.sink.idents(), "the message at the sink")


def test_session_whose_listener_is_removed(start):
    relay = start.relay()
    old = Client(relay.endpoint)
    old.transaction()
    port = free_port()
    relay.herald.reload(conf.mail(port, relay.sink.host))
    with pytest.raises(ConnectionRefusedError):
        connect(relay.endpoint)
    old.send(stuffed(message()))
    assert old.reply()[0] == 250
    old.quit()
    relay.sink.wait_messages(1)
    submit(("127.0.0.1", port), message())
    relay.sink.wait_messages(2)


def test_queued_mail_follows_the_new_relay(start):
    relay = start.relay(host="127.0.0.1:9")
    ident = message_id()
    submit(relay.endpoint, message(ident))
    relay.herald.wait_log("status=deferred")
    sink = start.py_sink()
    relay.herald.reload(conf.mail(relay.port, sink.host))
    sink.wait_messages(1)
    assert sink.idents() == [ident]


def test_certificate_is_read_again(start, certificates):
    """A renewed certificate is used for new clients; the old session lives on."""
    port = free_port()

    def body(name):
        pem, key = certificates.path(name)
        return welcome(port, "x", tls="implicit", certificate=pem, private_key=key)

    def serial():
        context = ssl.create_default_context(cafile=certificates.ca)
        with context.wrap_socket(connect(("127.0.0.1", port)), server_hostname="localhost") as sock:
            assert read_all(sock) == b"x"
            return sock.getpeercert()["notBefore"]
    one = start.herald(body("good"))
    before = serial()
    one.reload(body("renewed"))
    assert serial() != before


def test_reload_under_load(start):
    """30 reloads, each third one bad, while mail, greetings and quotes flow: no session broken, nothing lost."""
    greeting_port, udp = free_port(), free_port()
    relay = start.relay()

    def body(number):
        return (conf.mail(relay.port, relay.sink.host, max_connections=5 + number % 3)
                + welcome(greeting_port, f"text {number % 2}") + conf.quotes("books", f"127.0.0.1:{udp}", quotes=["a", "b"]))
    relay.herald.reload(body(0))
    load = Load(relay.endpoint, threads=3, pause=0.002).start()
    for number in range(30):
        relay.herald.reload(body(number) + ("nonsense = 1\n" if number % 3 == 2 else ""))
        assert fetch(("127.0.0.1", greeting_port)) in (b"text 0", b"text 1")
        assert ask(udp) in ("a", "b")
    load.stop()
    relay.herald.wait_empty()
    assert load.broken == 0, "a session was dropped"
    assert load.refused == []
    assert len(load.acknowledged) > 30
    assert sorted(relay.sink.idents()) == sorted(load.acknowledged)


def test_descriptors_do_not_leak(start):
    """TARGETS R9: after many reloads as many descriptors as before."""
    port = free_port()
    relay = start.relay()
    body = conf.mail(relay.port, relay.sink.host) + welcome(port, "x")
    relay.herald.reload(body)
    count = len(os.listdir(f"/proc/{relay.herald.pid}/fd"))
    for number in range(40):
        relay.herald.reload(body + ("nonsense = 1\n" if number % 2 else ""))
    assert len(os.listdir(f"/proc/{relay.herald.pid}/fd")) <= count + 1


def test_hups_in_a_row(start):
    """Signals that come while a reload runs are not lost and do no harm."""
    port = free_port()
    one = start.herald(welcome(port, "old"))
    one.configure(welcome(port, "new"))
    for _ in range(50):
        one.signal(signal.SIGHUP)
    wait_until(lambda: fetch(("127.0.0.1", port)) == b"new", "the new text")
    assert one.alive()
