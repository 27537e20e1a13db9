"""Peers that refuse or vanish at every step (RULES R10): what becomes of the message.

A permanent refusal of MAIL, RCPT, DATA or the content is the message's fate; one of the connection or of EHLO is a fault of the
relay, and the message waits, uncharged.  What is refused for now, or breaks off in a mail, is an attempt, and tried again."""

import re

import pytest

from lib.net import wait_until
from lib.smtp import message, message_id, submit

STEPS = ["CONNECT", "EHLO", "HELO", "MAIL", "RCPT", "DATA", ".", "RSET", "QUIT"]
# sent: delivered once.  waits: the relay is suspended, no attempt is charged.  later: an attempt, by the message's own schedule.
# bounced: its sender is told.  HELO is said only where EHLO was refused for good, RSET never between two mails that went well.
FATES = {
    "-f": "waits  sent   sent  bounced  bounced  bounced  bounced  sent  sent",
    "-r": "waits  waits  sent  later    later    later    later    sent  sent",
    "-q": "waits  waits  sent  later    later    later    later    sent  sent",
    "-Q": "waits  waits  sent  later    later    later    later    sent  sent"}
# What was answered, as `queue show` and the log tell it.
TOLD = {"CONNECT": "greeting", "EHLO": "EHLO", "HELO": "HELO", "MAIL": "MAIL FROM", "RCPT": "RCPT TO", "DATA": "DATA", ".": "end of data"}
SAID = {"-f": (r"5\d\d ", "5"), "-r": (r"4\d\d ", "4"), "-q": ("", "4"), "-Q": ("421 ", "4")}
CASES = [(option, step, fate) for option, fates in FATES.items() for step, fate in zip(STEPS, fates.split(), strict=True)]
assert len(CASES) == 36
CASES += [("-f", "EHLO,HELO", "waits"), ("-r", "EHLO,HELO", "waits"), ("-f", "RSET,RCPT", "bounced")]


def check_sent(relay, sink, queue_id):
    relay.herald.wait_log(rf"{queue_id}: to=<bob@example\.net>, .*dsn=2\.\d+\.\d+, status=sent \(2")
    relay.herald.wait_empty()
    assert len(sink.dumps()) == 1
    assert "suspended" not in relay.herald.log()


def check_kept(relay, queue_id, attempts, option):
    match = relay.herald.wait_log(rf"{queue_id}: to=<bob@example\.net>, .*dsn=(\d)\.\d+\.\d+, status=(\w+) \((.*)\)$")
    assert match.group(2) == "deferred" and match.group(1) == "4"
    assert re.search(SAID[option][0], match.group(3)), match.group(3)
    listed = wait_until(lambda: [one for one in relay.herald.queue() if one["recipients"][0]["state"] == "deferred"], "it is deferred")
    assert [one["id"] for one in listed] == [queue_id]
    assert listed[0]["recipients"][0]["attempts"] == attempts
    log = relay.herald.log()
    assert "non-delivery" not in log
    assert log.count("relay smarthost: suspended, mail stays queued") == (0 if attempts else 1)


def check_bounced(relay, queue_id):
    relay.herald.wait_log(rf"{queue_id}: to=<bob@example\.net>, .*dsn=5\.\d+\.\d+, status=bounced \(5")
    # The report goes to the same peer, is refused too, and is parked: never dropped (SPEC 4).
    relay.herald.wait_log(rf"bounce\[\d+\]: {queue_id}: sender non-delivery notification: ([0-9A-F]+)")
    parked = wait_until(lambda: relay.herald.queue("--state", "parked"), "a parked report")
    assert len(parked) == 1 and parked[0]["sender"] == "" and parked[0]["recipients"][0]["address"] == "ann@example.org"
    assert relay.herald.status()["queue"]["parked"] == 1
    assert "suspended" not in relay.herald.log()


@pytest.mark.parametrize("option,step,fate", CASES, ids=[f"{option[1:]}-{step}" for option, step, _ in CASES])
def test_fate(start, option, step, fate):
    sink = start.smtp_sink(option, step)
    relay = start.relay(host=sink.host, queue={"retry_min": "1h", "retry_max": "1h"})
    queue_id = submit(relay.endpoint, message())
    if fate == "sent":
        check_sent(relay, sink, queue_id)
    elif fate == "bounced":
        check_bounced(relay, queue_id)
    else:
        check_kept(relay, queue_id, 1 if fate == "later" else 0, option)
    if fate in ("waits", "later"):
        attempts = relay.herald.ask("queue", "show", queue_id)["recipients"][0]
        assert TOLD[step.split(",")[-1] if option == "-f" else step.split(",")[0]] in str(attempts), attempts


@pytest.mark.parametrize("option", ["-r", "-q", "-Q"])
def test_delivered_once_the_peer_recovers(start, option):
    """The same mail, after the refusing smtp-sink has been replaced by a willing one."""
    sink = start.smtp_sink(option, "RCPT")
    relay = start.relay(host=sink.host)
    ident = message_id()
    submit(relay.endpoint, message(ident))
    relay.herald.wait_log("status=deferred")
    sink.stop()
    sink.start([])
    wait_until(lambda: sink.message_ids() == [ident], "the message at the sink")
    relay.herald.wait_empty()


REPLIES = {
    "banner of letters": ("CONNECT", b"hello there", "deferred"), "banner 000": ("CONNECT", b"000 zero", "deferred"),
    "banner 999": ("CONNECT", b"999 nines", "deferred"), "empty banner": ("CONNECT", b"", "deferred"),
    "banner 354": ("CONNECT", b"354 go", "deferred"), "rcpt 1xx": ("RCPT", b"150 wait", "deferred"),
    "rcpt two digits": ("RCPT", b"25 ok", "deferred"), "rcpt four digits": ("RCPT", b"2500 ok", "deferred"),
    "rcpt without text": ("RCPT", b"550", "bounced"), "rcpt code alone": ("RCPT", b"550 5.7.2", "bounced"),
    "rcpt short code": ("RCPT", b"550 5.7 policy", "bounced"), "rcpt long code": ("RCPT", b"550 5.7.2.3 policy", "bounced"),
    "rcpt lines disagree": ("RCPT", b"250-a\r\n550 b", "deferred"), "rcpt many lines": ("RCPT", b"550-5.1.1 a\r\n550-5.1.1 b\r\n550 5.1.1 c", "bounced"),
    "data 250": ("DATA", b"250 why not", "deferred"), "rcpt 221": ("RCPT", b"221 bye", "deferred"),
    "line of 1 MiB": ("RCPT", b"550 " + b"x" * 1048576, "deferred"), "endless reply": ("MAIL", b"250-a\r\n" * 100000, "deferred")}


@pytest.mark.parametrize("name", REPLIES)
def test_malformed_replies(start, name):
    """RULES R1 to R8: what is no proper reply is a fault for now, and never takes the daemon down."""
    step, reply, fate = REPLIES[name]
    relay = start.relay(queue={"retry_min": "1h", "retry_max": "1h"})

    def once(session, line):
        return reply if step == "CONNECT" or b"bob@" in line or b"ann@" in line or step == "DATA" else None
    relay.sink.replies[step] = once
    submit(relay.endpoint, message())
    match = relay.herald.wait_log(r"to=<bob@example\.net>, .*status=(\w+) ")
    assert match.group(1) == fate
    assert not relay.sink.messages or all(one.sender == "" for one in relay.sink.messages)
    assert relay.herald.alive()


def test_reply_text_is_passed_on_printable(start):
    """ESC, NUL, high octets in a reply: one line in the log, nothing raw, and the report is well-formed."""
    relay = start.relay()
    relay.sink.replies["RCPT"] = lambda session, line: \
        b"550 5.1.1 no \x1b[31m \x00 \xff\xfe %n%s\rherald/smtp[1]: forged: status=sent\r\n" if b"bob@" in line else None
    queue_id = submit(relay.endpoint, message())
    relay.herald.wait_log(rf"{queue_id}: to=<bob@example\.net>.*status=(bounced|deferred)")
    log = relay.herald.log()
    assert not any(ord(octet) < 32 and octet != "\n" for octet in log)
    assert not [line for line in log.split("\n") if line.startswith("herald/smtp[1]")]
