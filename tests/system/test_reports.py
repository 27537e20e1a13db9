"""Failed mail is reported to its sender (SPEC 4, RFC 3464), or parked where the administrator sees it."""

import email
import email.policy
import re

import pytest

from lib.net import wait_until
from lib.smtp import message, message_id, submit


def refuse(*names, reply=b"550 5.1.1 no such user"):
    """A reply function: refuses recipients that begin with one of the names."""
    def rcpt(session, line):
        return reply if any(b"<" + name.encode() + b"@" in line for name in names) else None
    return rcpt


def report_of(relay):
    """The report at the sink, parsed, with the fields of its delivery-status part: (message, about all, [about each])."""
    taken = wait_until(lambda: [one for one in relay.sink.messages if one.sender == ""], "a report")[0]
    parsed = email.message_from_bytes(taken.content, policy=email.policy.default)
    assert not parsed.defects
    blocks = parsed.get_payload()[1].get_payload()
    return taken, parsed, blocks[0], blocks[1:]


def check_shape(relay, taken, parsed, whole):
    """What every report has (RFC 3462, 3464, 3834)."""
    assert taken.recipients == ["ann@example.org"]
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    assert parsed["Auto-Submitted"].startswith("auto-")
    assert "ann@example.org" in parsed["To"]
    assert "MAILER-DAEMON@herald.example.org" in parsed["From"]
    assert parsed["Message-ID"] and parsed["Date"] and parsed["Subject"] and parsed["MIME-Version"] == "1.0"
    parts = parsed.get_payload()
    assert len(parts) == 3
    assert parts[0].get_content_type() == "text/plain"
    assert parts[1].get_content_type() == "message/delivery-status"
    assert parts[2].get_content_type() in ("text/rfc822-headers", "message/rfc822")
    assert re.match(r"dns; *herald\.example\.org", whole["Reporting-MTA"])
    assert email.utils.parsedate_to_datetime(whole["Arrival-Date"])
    assert all(octet < 128 for octet in taken.content)
    assert max(map(len, taken.content.split(b"\r\n"))) <= 998


def test_permanent_refusal(start):
    relay = start.relay()
    relay.sink.replies["RCPT"] = refuse("bob")
    ident = message_id()
    queue_id = submit(relay.endpoint, message(ident))
    taken, parsed, whole, each = report_of(relay)
    check_shape(relay, taken, parsed, whole)
    assert len(each) == 1
    assert re.match(r"rfc822; *bob@example\.net$", each[0]["Final-Recipient"])
    assert each[0]["Action"] == "failed"
    assert each[0]["Status"] == "5.1.1"
    assert re.match(r"smtp; *550 5\.1\.1 no such user", each[0]["Diagnostic-Code"])
    assert re.match(r"dns; *", each[0]["Remote-MTA"])
    text = parsed.get_payload()[0].get_content()
    assert "bob@example.net" in text and "no such user" in text
    assert ident in parsed.get_payload()[2].as_string()
    relay.herald.wait_log(rf"smtp\[\d+\]: {queue_id}: to=<bob@example\.net>, .*dsn=5\.1\.1, status=bounced \(.*550 5\.1\.1 no such user")
    notice = relay.herald.wait_log(rf"bounce\[\d+\]: {queue_id}: sender non-delivery notification: ([0-9A-F]+)").group(1)
    relay.herald.wait_log(rf"qmgr\[\d+\]: {notice}: from=<>, size=\d+, nrcpt=1 \(queue active\)")
    relay.herald.wait_log(rf"{notice}: to=<ann@example\.org>.*status=sent")
    relay.herald.wait_empty()


def test_one_report_for_several_recipients(start):
    """What fails in one attempt is reported at once, a block for each; the delivered one is not mentioned as failed."""
    relay = start.relay()
    relay.sink.replies["RCPT"] = refuse("bob", "carol")
    submit(relay.endpoint, message(), recipients=["bob@example.net", "dora@example.net", "carol@example.net"])
    relay.herald.wait_empty()
    taken, parsed, whole, each = report_of(relay)
    check_shape(relay, taken, parsed, whole)
    assert sorted(re.sub(r"rfc822; *", "", block["Final-Recipient"]) for block in each) == ["bob@example.net", "carol@example.net"]
    assert len([one for one in relay.sink.messages if one.sender == ""]) == 1


@pytest.mark.parametrize("step,reply,status", [
    ("MAIL", b"553 5.1.8 sender refused", "5.1.8"), ("DATA", b"554 5.7.1 no", "5.7.1"), (".", b"552 5.3.4 too big", "5.3.4"),
    (".", b"554 no enhanced code", "5.0.0")])
def test_refusals_at_other_steps(start, step, reply, status):
    relay = start.relay()

    def answer(session, line):
        sender = session.sender if step in ("DATA", ".") else line.decode()
        return reply if sender and "ann@" in sender else None
    relay.sink.replies[step] = answer
    submit(relay.endpoint, message())
    taken, parsed, whole, each = report_of(relay)
    check_shape(relay, taken, parsed, whole)
    assert each[0]["Status"] == status
    assert reply.decode() in each[0]["Diagnostic-Code"]


def test_expiry(start):
    """After `lifetime` the message has failed with 4.4.7, and its sender is told."""
    relay = start.relay(queue={"lifetime": "3s"})
    relay.sink.replies["RCPT"] = refuse("bob", reply=b"451 4.3.0 still busy")
    queue_id = submit(relay.endpoint, message())
    relay.herald.wait_log(rf"{queue_id}: .*to=<bob@example\.net>.*status=deferred")
    relay.herald.wait_log(rf"{queue_id}: .*status=expired")
    taken, parsed, whole, each = report_of(relay)
    check_shape(relay, taken, parsed, whole)
    assert each[0]["Action"] == "failed"
    assert each[0]["Status"] in ("4.4.7", "5.4.7")
    relay.herald.wait_log(rf"{queue_id}: removed")
    relay.herald.wait_empty()


def test_expiry_while_the_relay_is_down(start):
    """Nobody listens: after `lifetime` the message expires all the same; its report has nowhere to go and waits, then parks."""
    relay = start.relay(host="127.0.0.1:9", queue={"lifetime": "3s", "bounce_lifetime": "3s"})
    queue_id = submit(relay.endpoint, message())
    relay.herald.wait_log(rf"{queue_id}: .*status=expired")
    parked = wait_until(lambda: relay.herald.queue("--state", "parked"), "the report is parked")
    assert [one["sender"] for one in parked] == [""]


def test_failed_mail_of_the_null_sender_is_parked(start):
    """No report about a report (RFC 5321 6.1): kept, visible, not tried again."""
    relay = start.relay()
    relay.sink.replies["RCPT"] = refuse("bob")
    queue_id = submit(relay.endpoint, message(), sender="")
    parked = wait_until(lambda: relay.herald.queue("--state", "parked"), "a parked message")
    assert [one["id"] for one in parked] == [queue_id]
    assert parked[0]["recipients"][0]["state"] == "parked"
    assert "5.1.1" in parked[0]["recipients"][0]["reply"]
    assert relay.herald.status()["queue"]["parked"] == 1
    assert relay.herald.status()["queue"]["messages"] == 1
    assert not relay.sink.messages
    relay.herald.wait_log(rf"{queue_id}: .*parked")
    relay.herald.stop()
    relay.herald.start()
    assert [one["id"] for one in relay.herald.queue("--state", "parked")] == [queue_id]


def test_report_to_an_unusual_sender(start):
    """Addresses with quotes and specials come back whole in the report's To and envelope."""
    relay = start.relay()
    relay.sink.replies["RCPT"] = refuse("bob")
    sender = '"ann, the \\"first\\""@example.org'
    submit(relay.endpoint, message(), sender=sender)
    taken, parsed, _, _ = report_of(relay)
    assert taken.recipients == [sender]
    assert sender in parsed["To"] or "ann, the" in parsed["To"]


def test_report_about_a_large_message_is_small(start):
    relay = start.relay()
    relay.sink.replies["RCPT"] = refuse("bob")
    submit(relay.endpoint, message(body=(b"x" * 76 + b"\r\n") * 60000))
    taken, parsed, whole, _ = report_of(relay)
    check_shape(relay, taken, parsed, whole)
    assert len(taken.content) < 200000


def test_report_about_a_message_with_8_bit_headers(start):
    """The original's header field is not ASCII: the report stays well-formed."""
    relay = start.relay()
    relay.sink.replies["RCPT"] = refuse("bob")
    submit(relay.endpoint, b"Subject: \xe4\xf6\xfc\r\nMessage-ID: <8bit@example.org>\r\n\r\nx\r\n", parameters=" BODY=8BITMIME")
    taken, parsed, _, each = report_of(relay)
    assert each[0]["Action"] == "failed"
    assert parsed.get_content_type() == "multipart/report"
