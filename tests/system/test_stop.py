"""Stopping (SPEC 2): no new work, transactions in flight get their time, what is not done stays queued."""

import os
import signal
import threading
import time

import pytest

from lib import conf
from lib.load import Load
from lib.net import connect, free_port, read_all, wait_until
from lib.smtp import Client, message, message_id, stuffed, submit


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_daemon_stops_at_once(start, number):
    relay = start.relay(top={"stop_timeout": "60s"})
    begin = time.monotonic()
    relay.herald.signal(number)
    assert relay.herald.process.wait(30) == 0
    assert time.monotonic() - begin < 10
    assert relay.herald.notify.count("STOPPING=1") == 1


def test_sockets_are_gone_after_the_stop(start):
    relay = start.relay()
    relay.herald.stop()
    assert not os.path.exists(relay.herald.control)
    assert not os.path.exists(os.path.join(relay.herald.runtime, "submit.sock"))


def test_transaction_in_flight_gets_its_time(start):
    """DATA was begun before SIGTERM: it may end, is acknowledged, and is in the queue or delivered."""
    relay = start.relay(top={"stop_timeout": "30s"})
    client = Client(relay.endpoint)
    client.transaction()
    client.send(b"Subject: x\r\nMessage-ID: <flight@example.org>\r\n")
    relay.herald.signal(signal.SIGTERM)
    wait_until(lambda: relay.herald.notify.count("STOPPING=1") == 1, "the stop has begun")
    with pytest.raises(ConnectionRefusedError):
        connect(relay.endpoint)
    client.send(b"\r\ntext\r\n.\r\n")
    assert client.reply()[0] == 250
    client.sock.close()
    assert relay.herald.process.wait(60) == 0
    relay.herald.start()
    wait_until(lambda: relay.sink.idents() == ["<flight@example.org>"], "the message at the sink")


def test_idle_sessions_are_told(start):
    """421 to those who are between transactions (RFC 5321 3.8), and the stop does not wait for them."""
    relay = start.relay(top={"stop_timeout": "60s"})
    with Client(relay.endpoint) as client:
        client.hello()
        relay.herald.signal(signal.SIGTERM)
        assert client.reply()[0] == 421
        assert read_all(client.sock) == b""
    assert relay.herald.process.wait(30) == 0


def test_transaction_that_does_not_end_is_cut(start):
    """After stop_timeout the stop goes on without the client that sleeps in DATA."""
    relay = start.relay(top={"stop_timeout": "1s"})
    client = Client(relay.endpoint)
    client.transaction()
    begin = time.monotonic()
    assert relay.herald.stop() == 0
    assert time.monotonic() - begin >= 0.9
    assert time.monotonic() - begin < 20
    client.sock.close()


def test_second_sigterm_stops_at_once(start):
    relay = start.relay(top={"stop_timeout": "600s"})
    client = Client(relay.endpoint)
    client.transaction()
    relay.herald.signal(signal.SIGTERM)
    relay.herald.wait_log(r"stop|signal|terminat")
    assert relay.herald.alive()
    relay.herald.signal(signal.SIGTERM)
    relay.herald.process.wait(30)
    relay.herald.expected_exit = (0, -signal.SIGTERM)
    client.sock.close()


def test_delivery_in_flight_ends_or_stays_queued(start):
    """The peer sits on the last dot when SIGTERM comes: once stop_timeout is over the message is still ours."""
    release = threading.Event()
    relay = start.relay(top={"stop_timeout": "1s"})
    relay.sink.replies["."] = lambda session, taken: b"451 4.3.0 too late" if release.wait(60) else None
    ident = message_id()
    queue_id = submit(relay.endpoint, message(ident))
    wait_until(lambda: relay.sink.sessions and "DATA" in relay.sink.sessions[0].verbs(), "the delivery is under way")
    assert relay.herald.stop() == 0
    release.set()
    relay.sink.replies.clear()
    relay.herald.start()
    wait_until(lambda: ident in relay.sink.idents(), "delivered after the next start")
    relay.herald.wait_empty()
    assert relay.sink.idents() == [ident]
    assert queue_id


def test_delivery_in_flight_may_end(start):
    """The peer answers within stop_timeout: the result is recorded, and the message does not go twice."""
    relay = start.relay(top={"stop_timeout": "30s"})
    release = threading.Event()
    relay.sink.replies["."] = lambda session, taken: release.wait(60) and None
    submit(relay.endpoint, message())
    wait_until(lambda: relay.sink.sessions and "DATA" in relay.sink.sessions[0].verbs(), "the delivery is under way")
    relay.herald.signal(signal.SIGTERM)
    wait_until(lambda: relay.herald.notify.count("STOPPING=1") == 1, "the stop has begun")
    release.set()
    assert relay.herald.process.wait(60) == 0
    relay.herald.start()
    assert relay.herald.queue() == []
    assert len(relay.sink.messages) == 1


def test_restarts_under_load(start):
    """Ten clean restarts while mail comes in: all that was acknowledged arrives, once."""
    relay = start.relay()
    load = Load(relay.endpoint, threads=3, pause=0.002).start()
    for number in range(10):
        wait_until(lambda number=number: len(load.acknowledged) > 10 * (number + 1), "mail comes in")
        relay.herald.stop()
        relay.herald.start()
    load.stop()
    relay.herald.wait_empty()
    assert sorted(relay.sink.idents()) == sorted(load.acknowledged)


def test_greeting_clients_do_not_hold_the_stop(start):
    port = free_port()
    one = start.herald(conf.greeting("welcome", f"127.0.0.1:{port}", text="hi", timeout="300s"), stop_timeout="1s")
    held = [connect(("127.0.0.1", port)) for _ in range(20)]
    for sock in held:
        assert read_all(sock) == b"hi"
    assert one.stop(30) == 0
    for sock in held:
        sock.close()


def test_stop_without_half_finished_content(start):
    """A client that is cut in DATA leaves nothing."""
    relay = start.relay(top={"stop_timeout": "1s"})
    client = Client(relay.endpoint)
    client.transaction()
    client.send(stuffed(message())[:-3])
    assert relay.herald.stop() == 0
    client.sock.close()
    relay.herald.start()
    assert relay.herald.queue() == [] and not relay.sink.messages
