"""Delivery to a smarthost (SPEC 4): the whole way, retries, failover, reuse, limits."""

import re
import threading
import time

import pytest

from lib.net import free_port, wait_until
from lib.postfix import Postfix
from lib.sink import Drop, smtp_source
from lib.smtp import message, message_id, submit


def test_smtp_sink_takes_what_smtp_source_brings(start):
    """Postfix's own test programs on both sides: 200 messages, all there, none twice."""
    sink = start.smtp_sink()
    relay = start.relay(host=sink.host)
    done = smtp_source(relay.port, "-s", "5", "-m", "200", "-l", "2000", "-f", "ann@example.org", "-t", "bob@example.net")
    assert done.returncode == 0, done.stdout
    relay.herald.wait_empty()
    dumps = sink.dumps()
    assert len(dumps) == 200
    for text in dumps:
        assert b"X-Rcpt-Args: <bob@example.net>" in text and b"X-Mail-Args: <ann@example.org>" in text
    assert len(re.findall(r"status=sent", relay.herald.log())) == 200


def test_a_real_smarthost_end_to_end(start):
    """A message through a real Postfix into a mailbox."""
    postfix = Postfix(start.directory)
    start.running.append(postfix)
    port = postfix.listen()
    postfix.start()
    relay = start.relay(host=f"127.0.0.1:{port}")
    ident = message_id()
    submit(relay.endpoint, message(ident, "Grüße\r\n..\r\n.\r\n".encode()), parameters=" BODY=8BITMIME")
    text = wait_until(lambda: postfix.delivered(ident), "the message in the mailbox")
    assert text.endswith("\n\nGrüße\n..\n.\n".encode())
    assert text.count(b"Received: ") == 2
    assert b"Return-Path: <ann@example.org>" in text
    relay.herald.wait_log(rf"to=<bob@example\.net>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{port},.* dsn=2\.0\.0, status=sent \(250 ")


def test_log_of_a_message(start):
    """Each event of a message is one line in the shape of SPEC 5, in order."""
    relay = start.relay()
    ident = message_id()
    content = message(ident)
    queue_id = submit(relay.endpoint, content, recipients=["bob@example.net", "carol@example.net"])
    relay.herald.wait_log(rf"{queue_id}: removed")
    lines = [line for line in relay.herald.log().splitlines() if f" {queue_id}: " in line]
    shapes = [
        r"smtpd\[\d+\]: ID: client=(localhost|unknown)\[127\.0\.0\.1\]",
        rf"cleanup\[\d+\]: ID: message-id={re.escape(ident)}",
        r"qmgr\[\d+\]: ID: from=<ann@example\.org>, size=(\d+), nrcpt=2 \(queue active\)",
        rf"smtp\[\d+\]: ID: to=<bob@example\.net>, relay=\S+\[127\.0\.0\.1\]:{relay.sink.port}, .*delay=[\d.]+, "
        r"delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, .*dsn=2\.0\.0, status=sent \(250 2\.0\.0 taken\)",
        rf"smtp\[\d+\]: ID: to=<carol@example\.net>, relay=\S+\[127\.0\.0\.1\]:{relay.sink.port}, .*status=sent \(250 2\.0\.0 taken\)",
        r"qmgr\[\d+\]: ID: removed"]
    assert len(lines) == len(shapes), lines
    for line, shape in zip(lines, shapes):
        assert re.search(shape.replace("ID", queue_id) + "$", line), (line, shape)


def test_helo_name(start):
    relay = start.relay()
    submit(relay.endpoint, message())
    relay.sink.wait_messages(1)
    assert relay.sink.sessions[0].commands[0][1] == b"EHLO herald.example.org"
    other = start.relay(helo="mail.example.org")
    submit(other.endpoint, message())
    other.sink.wait_messages(1)
    assert other.sink.sessions[0].commands[0][1] == b"EHLO mail.example.org"


def test_refused_for_now_then_delivered(start):
    """4xx twice, then taken: three attempts, each logged, the last one sent."""
    refusals = [b"451 4.7.1 greylisted", b"452 4.2.2 full"]
    relay = start.relay()
    relay.sink.replies["RCPT"] = lambda session, line: refusals.pop(0) if refusals else None
    queue_id = submit(relay.endpoint, message())
    relay.sink.wait_messages(1)
    log = relay.herald
    log.wait_log(rf"smtp\[\d+\]: {queue_id}: to=<bob@example\.net>, .*dsn=4\.7\.1, status=deferred \(.*451 4\.7\.1 greylisted")
    log.wait_log(rf"smtp\[\d+\]: {queue_id}: to=<bob@example\.net>, .*dsn=4\.2\.2, status=deferred \(.*452 4\.2\.2 full")
    log.wait_log(rf"smtp\[\d+\]: {queue_id}: to=<bob@example\.net>, .*dsn=2\.0\.0, status=sent")
    relay.herald.wait_empty()
    assert len(relay.sink.messages) == 1


def test_retry_schedule(start):
    """Not before retry_min, less the jitter of 10 %, and doubling after that."""
    times = []

    def refuse(session, line):
        times.append(time.monotonic())
        return b"451 4.3.0 later"
    relay = start.relay(queue={"retry_min": "2s", "retry_max": "1h"})
    relay.sink.replies["MAIL"] = refuse
    submit(relay.endpoint, message())
    wait_until(lambda: len(times) >= 3, "three attempts")
    assert 1.0 <= times[1] - times[0] <= 4.5             # times are kept in whole seconds
    assert 2.5 <= times[2] - times[1] <= 7.5


def test_sink_that_comes_back(start):
    """Connection refused is the relay's fault: the mail waits, one alert, and goes out once the relay is there."""
    port = free_port()
    relay = start.relay(host=f"127.0.0.1:{port}")
    idents = [message_id() for _ in range(5)]
    for ident in idents:
        submit(relay.endpoint, message(ident))
    relay.herald.wait_log(r"status=deferred \(.*[Cc]onnection refused")
    assert relay.herald.status()["queue"]["messages"] == 5
    sink = start.py_sink(port=port)
    sink.wait_messages(5)
    relay.herald.wait_empty()
    assert sorted(sink.idents()) == sorted(idents)
    assert "bounced" not in relay.herald.log()


def test_mixed_fates_of_one_message(start):
    """One recipient delivered, one refused for good, one for now: each has its own fate."""
    def rcpt(session, line):
        if b"never@" in line:
            return b"550 5.1.1 no such user"
        if b"later@" in line and len(relay.sink.messages) < 2:
            return b"450 4.2.1 busy"
        return None
    relay = start.relay()
    relay.sink.replies["RCPT"] = rcpt
    ident = message_id()
    queue_id = submit(relay.endpoint, message(ident), recipients=["now@example.net", "never@example.net", "later@example.net"])
    relay.herald.wait_log(rf"{queue_id}: to=<now@example\.net>.*status=sent")
    relay.herald.wait_log(rf"{queue_id}: to=<never@example\.net>.*dsn=5\.1\.1, status=bounced")
    relay.herald.wait_log(rf"{queue_id}: to=<later@example\.net>.*dsn=4\.2\.1, status=deferred")
    relay.herald.wait_log(rf"{queue_id}: to=<later@example\.net>.*status=sent")
    relay.herald.wait_empty()
    taken = [one.recipients for one in relay.sink.messages if one.ident == ident]
    assert taken == [["now@example.net"], ["later@example.net"]]


def test_failover_to_the_second_host(start):
    """The first host refuses connections: the second gets the mail at once, not after a retry."""
    second = start.py_sink()
    relay = start.relay(host=[f"127.0.0.1:{free_port()}", second.host], queue={"retry_min": "1h", "retry_max": "4h"})
    ident = message_id()
    submit(relay.endpoint, message(ident))
    second.wait_messages(1)
    relay.herald.wait_empty()
    assert second.idents() == [ident]


@pytest.mark.parametrize("name", ["[::1]", "localhost", "127.0.0.1"])
def test_ways_to_name_the_smarthost(start, name):
    """An IPv6 or IPv4 address literal, and a name of /etc/hosts."""
    sink = start.py_sink(address="::1" if name == "[::1]" else "127.0.0.1")
    relay = start.relay(host=f"{name}:{sink.port}")
    submit(relay.endpoint, message())
    sink.wait_messages(1)
    relay.herald.wait_log(rf"relay={re.escape(name.strip('[]'))}\[[0-9a-f.:]+\]:{sink.port}, .*status=sent")


def test_failover_when_the_first_greets_with_421(start):
    first, second = start.py_sink({"CONNECT": b"421 4.3.2 not now"}), start.py_sink()
    relay = start.relay(host=[first.host, second.host], queue={"retry_min": "1h", "retry_max": "4h"})
    submit(relay.endpoint, message())
    second.wait_messages(1)
    relay.herald.wait_empty()


def test_no_failover_after_a_refusal_of_the_message(start):
    """5xx to RCPT is the message's fate: the second host is not asked for another opinion."""
    first, second = start.py_sink({"RCPT": lambda session, line: b"550 5.1.1 unknown" if b"bob@" in line else None}), start.py_sink()
    relay = start.relay(host=[first.host, second.host])
    submit(relay.endpoint, message())
    relay.herald.wait_log(r"status=bounced \(.*550 5\.1\.1 unknown")
    relay.herald.wait_empty()                             # the report goes to ann by the first
    assert not second.messages


def test_connection_reuse(start):
    """A second message within idle_timeout goes over the same session, and the log says conn_use=2."""
    relay = start.relay(idle_timeout="30s", max_connections=1)
    submit(relay.endpoint, message())
    relay.sink.wait_messages(1)
    second = submit(relay.endpoint, message())
    relay.sink.wait_messages(2)
    relay.herald.wait_log(rf"{second}: .*conn_use=2, .*status=sent")
    assert len(relay.sink.sessions) == 1


def test_messages_per_connection(start):
    relay = start.relay(max_messages_per_connection=3, max_connections=1, idle_timeout="30s")
    for _ in range(9):
        submit(relay.endpoint, message())
    relay.sink.wait_messages(9)
    relay.herald.wait_empty()
    assert all(len(session.messages) <= 3 for session in relay.sink.sessions)
    assert len([session for session in relay.sink.sessions if session.messages]) == 3


def test_idle_session_is_closed_with_quit(start):
    relay = start.relay(idle_timeout="1s")
    submit(relay.endpoint, message())
    wait_until(lambda: relay.sink.sessions and "QUIT" in relay.sink.sessions[0].verbs(), "QUIT after idle_timeout")


@pytest.mark.parametrize("limit", [1, 3])
def test_max_connections(start, limit):
    """Many messages at once: several sessions, never more than max_connections."""
    gate = threading.Event()
    relay = start.relay(max_connections=limit)
    relay.sink.replies["."] = lambda session, taken: gate.wait(0.05) or None
    for _ in range(30):
        submit(relay.endpoint, message())
    relay.sink.wait_messages(30)
    assert relay.sink.open_most <= limit
    if limit > 1:
        assert relay.sink.open_most > 1, "no concurrency"


def test_no_pipelining_to_a_peer_without_it(start):
    """The peer does not announce PIPELINING: no command before the reply to the one before."""
    def slowly(session, line):
        threading.Event().wait(0.05)                      # a pipelined command would be here by now
        return None
    sink = start.py_sink({verb: slowly for verb in ("EHLO", "MAIL", "RCPT", "DATA")}, extensions=("8BITMIME",))
    pipelined = []
    sink.replies["RCPT"] = lambda session, line: pipelined.append(session.pipelined) or slowly(session, line)
    relay = start.relay(host=sink.host)
    submit(relay.endpoint, message(), recipients=["bob@example.net", "carol@example.net"])
    sink.wait_messages(1)
    assert pipelined == [False, False] and not sink.sessions[0].pipelined


def test_smtp_sink_without_pipelining_or_esmtp(start):
    for option in ("-p", "-e", "-8", "-E"):
        sink = start.smtp_sink(option)
        relay = start.relay(host=sink.host)
        ident = message_id()
        submit(relay.endpoint, message(ident))
        wait_until(lambda: sink.message_ids() == [ident], f"the message at smtp-sink {option}")
        relay.herald.wait_empty()


def test_closed_after_the_last_reply(start):
    """250 to the dot and then the connection is gone: delivered, once (RULES R10)."""
    def drop(session, line):
        raise Drop
    relay = start.relay()
    relay.sink.replies.update({"QUIT": drop, "RSET": drop})
    for _ in range(3):
        submit(relay.endpoint, message())
    relay.herald.wait_empty()
    assert len(relay.sink.messages) == 3
    assert "status=deferred" not in relay.herald.log()


def test_peer_that_hangs(start):
    """A peer that stops talking holds its own session, not the others (RULES S8)."""
    hang = threading.Event()
    relay = start.relay(max_connections=2)
    relay.sink.replies["MAIL"] = lambda session, line: hang.wait(30) and None if b"slow@" in line else None
    submit(relay.endpoint, message(), sender="slow@example.org")
    idents = [message_id() for _ in range(5)]
    for ident in idents:
        submit(relay.endpoint, message(ident))
    wait_until(lambda: set(idents) <= set(relay.sink.idents()), "the others are delivered meanwhile")
    hang.set()
    relay.sink.wait_messages(6)


def test_burst_of_messages(start):
    """1,000 messages of ten clients: each exactly once."""
    relay = start.relay()
    idents = [[message_id() for _ in range(100)] for _ in range(10)]
    threads = [threading.Thread(target=lambda part=part: [submit(relay.endpoint, message(ident)) for ident in part]) for part in idents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    relay.herald.wait_empty()
    assert sorted(relay.sink.idents()) == sorted(sum(idents, []))
