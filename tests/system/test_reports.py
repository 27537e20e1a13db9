"""Failed mail is reported to its sender (SPEC 4, RFC 3464), or parked where the administrator sees it."""

import email
import email.policy
import re

import pytest

from lib.net import wait_until
from lib.postfix import Postfix
from lib.smtp import Client, message, message_id, stuffed, submit


def refuse(*names, reply=b"550 5.1.1 no such user"):
    """A reply function: refuses recipients that begin with one of the names."""
    def rcpt(session, line):
        return reply if any(b"<" + name.encode() + b"@" in line for name in names) else None
    return rcpt


def report_of(relay):
    """The report at the sink, parsed, with the fields of its delivery-status part: (message, about all, [about each])."""
    taken = wait_until(lambda: [one for one in relay.sink.messages if one.sender == ""], "a report")[0]
    return (taken, *parse(taken))


def parse(taken):
    """The report as (message, fields about all, [fields about each]); nothing in it is broken."""
    parsed = email.message_from_bytes(taken.content, policy=email.policy.default)
    assert [part.defects for part in parsed.walk() if part.defects] == []
    assert parsed.get_param("report-type") == parsed.get_payload()[1].get_content_subtype()
    blocks = parsed.get_payload()[1].get_payload()
    return parsed, blocks[0], blocks[1:]


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


def test_no_expiry_while_the_relay_is_down(start):
    """Nobody listens: that is no fault of the message, which waits beyond its `lifetime` and is delivered in the end."""
    relay = start.relay(host="127.0.0.1:9", queue={"lifetime": "2s", "bounce_lifetime": "2s", "delay_warning": "0"})
    queue_id = submit(relay.endpoint, message())
    arrived = wait_until(lambda: relay.herald.queue("--older", "5"), "the message is five seconds old")
    assert [one["id"] for one in arrived] == [queue_id]
    assert "status=expired" not in relay.herald.log() and "status=bounced" not in relay.herald.log()
    assert [one["state"] for one in relay.herald.queue()[0]["recipients"]] == ["deferred"]


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


# --- what the sender asked for: RFC 3461

NOTIFY = ["", "NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE", "FAILURE,DELAY", "SUCCESS,FAILURE,DELAY"]


def hand_in(endpoint, content, sender="ann@example.org", recipients=(("bob@example.net", ""),), parameters=""):
    """As submit(), with parameters for each recipient."""
    with Client(endpoint) as client:
        client.hello()
        assert client.code(f"MAIL FROM:<{sender}>{parameters}") == 250
        for recipient, words in recipients:
            assert client.code(f"RCPT TO:<{recipient}>{words}") == 250
        assert client.code("DATA") == 354
        client.send(stuffed(content))
        code, texts = client.reply()
        assert code == 250, texts
        client.send(b"QUIT\r\n")
        return texts[0].split()[-1]


def hand_in_all(relay):
    """A message for each set of words, from a sender of its own."""
    for number, words in enumerate(NOTIFY):
        hand_in(relay.endpoint, message(), sender=f"n{number}@example.org",
                recipients=[("bob@example.net", f" NOTIFY={words}" if words else "")])


def reports_at(sink):
    """{number of the set of words: what its sender was told}."""
    return {int(one.recipients[0][1]): parse(one)[2][0]["Action"] for one in list(sink.messages) if one.sender == ""}


def told(word, action, unasked):
    return {number: action for number, words in enumerate(NOTIFY)
            if (word in words.split(",") if words else unasked)}


def rcpt_lines(sink):
    return [line.decode() for session in sink.sessions for _, line in session.commands if line.startswith(b"RCPT TO:<bob@")]


def test_notify_when_sent_to_a_hop_with_dsn(start):
    """What was asked for is passed on, and is the hop's to answer."""
    relay = start.relay()
    relay.sink.extensions.append("DSN")
    hand_in_all(relay)
    relay.sink.wait_messages(len(NOTIFY))
    relay.herald.wait_empty()
    assert reports_at(relay.sink) == {}
    passed_on = [re.search(r"NOTIFY=(\S*)", line + " NOTIFY=").group(1) for line in rcpt_lines(relay.sink)]
    assert sorted(sorted(words.split(",")) for words in passed_on) == sorted(sorted(words.split(",")) for words in NOTIFY)


def test_notify_when_sent_to_a_hop_without_dsn(start):
    relay = start.relay()
    hand_in_all(relay)
    expected = told("SUCCESS", "relayed", False)
    relay.sink.wait_messages(len(NOTIFY) + len(expected))
    relay.herald.wait_empty()
    assert reports_at(relay.sink) == expected
    assert not any("NOTIFY" in line for line in rcpt_lines(relay.sink))
    relay.herald.wait_log(r"bounce\[\d+\]: [0-9A-F]+: sender delivery status notification: [0-9A-F]+")


def test_notify_when_failed(start):
    relay = start.relay()
    relay.sink.replies["RCPT"] = refuse("bob")
    hand_in_all(relay)
    expected = told("FAILURE", "failed", True)
    relay.sink.wait_messages(len(expected))
    relay.herald.wait_empty()
    assert reports_at(relay.sink) == expected


def test_notify_when_delayed(start):
    """One warning, once, to those who want it; then the mail is delivered."""
    relay = start.relay(queue={"delay_warning": "2s"})
    relay.sink.replies["RCPT"] = refuse("bob", reply=b"451 4.2.0 not yet")
    hand_in_all(relay)
    expected = told("DELAY", "delayed", True)
    relay.sink.wait_messages(len(expected))
    mark = relay.herald.mark()
    for _ in range(len(NOTIFY)):            # some attempts more: nobody is warned again
        mark = relay.herald.wait_log(r"status=deferred", since=mark + 1).start()
    del relay.sink.replies["RCPT"]
    relay.herald.wait_empty()
    assert reports_at(relay.sink) == {**expected, **told("SUCCESS", "relayed", False)}
    delayed = [one for one in relay.sink.messages if one.sender == "" and b"Action: delayed" in one.content]
    assert len(delayed) == len(expected)
    parsed, whole, each = parse(delayed[0])
    assert each[0]["Status"] == "4.2.0"
    assert email.utils.parsedate_to_datetime(each[0]["Will-Retry-Until"]) > email.utils.parsedate_to_datetime(whole["Arrival-Date"])
    assert email.utils.parsedate_to_datetime(each[0]["Last-Attempt-Date"])
    assert "elayed" in parsed["Subject"]
    relay.herald.wait_log(r"bounce\[\d+\]: [0-9A-F]+: sender delay notification: [0-9A-F]+")


def test_a_fate_for_each_recipient(start):
    """One failed, one delivered to a hop without DSN, one not yet: each is told as it was asked for."""
    relay = start.relay(queue={"delay_warning": "2s"})

    def rcpt(session, line):
        return b"550 5.1.1 no" if b"<fred@" in line else b"451 4.2.0 later" if b"<dora@" in line else None
    relay.sink.replies["RCPT"] = rcpt
    hand_in(relay.endpoint, message(), parameters=" ENVID=QQ+2B314159", recipients=[
        ("fred@example.net", " ORCPT=rfc822;Fred+2BX@Example.net"), ("rita@example.net", " NOTIFY=SUCCESS"),
        ("dora@example.net", " NOTIFY=DELAY"), ("nell@example.net", " NOTIFY=NEVER")])
    seen = {}

    def all_told():
        for one in list(relay.sink.messages):
            if one.sender == "":
                parsed, whole, each = parse(one)
                assert whole["Original-Envelope-Id"] == "QQ+314159"
                seen.update({block["Final-Recipient"].split("; ")[1]: block for block in each})
        return len(seen) >= 3
    wait_until(all_told, "all three are told")
    assert {name: block["Action"] for name, block in seen.items()} == {
        "fred@example.net": "failed", "rita@example.net": "relayed", "dora@example.net": "delayed"}
    assert seen["fred@example.net"]["Original-Recipient"] == "rfc822; Fred+X@Example.net"
    assert seen["rita@example.net"]["Original-Recipient"] is None


def test_postfix_takes_over_and_reports(start):
    """A real hop with DSN gets RET, ENVID, ORCPT and NOTIFY, and its own report says so."""
    postfix = Postfix(start.directory)
    port = postfix.listen()
    postfix.start()
    try:
        relay = start.relay(host=f"127.0.0.1:{port}")
        ident = message_id()
        hand_in(relay.endpoint, message(ident), parameters=" RET=HDRS ENVID=QQ+2B314159",
                recipients=[("bob@example.net", " NOTIFY=SUCCESS ORCPT=rfc822;Bob+2Btag@Example.net")])
        relay.herald.wait_empty()
        wait_until(lambda: postfix.delivered(ident), "the message is delivered")
        report = wait_until(lambda: next((text for text in postfix.mailbox() if b"multipart/report" in text), None),
                            "the report of Postfix")
        assert re.search(rb"^Original-Envelope-Id: QQ\+314159$", report, re.M)
        assert re.search(rb"^Original-Recipient: rfc822; ?Bob\+tag@Example\.net$", report, re.M)
        assert re.search(rb"^Action: delivered$", report, re.M)
        assert b"sender delivery status" not in relay.herald.log().encode()
    finally:
        postfix.stop()


def test_smtp_sink_without_dsn(start):
    sink = start.smtp_sink("-N")
    relay = start.relay(host=sink.host)
    hand_in(relay.endpoint, message(), parameters=" RET=FULL ENVID=QQ314159",
            recipients=[("bob@example.net", " NOTIFY=SUCCESS ORCPT=rfc822;bob@example.net")])
    relay.herald.wait_empty()
    report = wait_until(lambda: next((text for text in sink.dumps() if b"multipart/report" in text), None), "the report")
    for field in (b"Original-Envelope-Id: QQ314159", b"Original-Recipient: rfc822; bob@example.net", b"Action: relayed"):
        assert field in report.split(b"\n")
    assert b"text/rfc822-headers" in report         # RET is for failures


@pytest.mark.parametrize("parameters,line,count,kind", [
    (" RET=FULL", ".dot", 1, "message/rfc822"),
    (" RET=HDRS", "All of it", 1, "text/rfc822-headers"),
    ("", "All of it", 1, "text/rfc822-headers"),
    (" RET=FULL BODY=8BITMIME", "Grüße", 1, "message/rfc822"),
    (" RET=FULL", "Grüße", 1, "text/rfc822-headers"),
    (" RET=FULL", "x" * 76, 13000, "message/rfc822"),
    (" RET=FULL", "x" * 76, 14000, "text/rfc822-headers"),
])
def test_ret(start, parameters, line, count, kind):
    """The whole message goes back when asked for, up to 1 MiB; what is 8-bit only by a declared way."""
    body = (line.encode() + b"\r\n") * count
    relay = start.relay()
    relay.sink.replies["RCPT"] = refuse("bob")
    content = message(body=body)
    hand_in(relay.endpoint, content, parameters=parameters)
    taken, parsed, _, _ = report_of(relay)
    part = parsed.get_payload()[2]
    assert part.get_content_type() == kind
    assert (content in taken.content) == (kind == "message/rfc822")
    assert b"\r\nReceived: from " in taken.content
    mail = next(line for _, line in taken.session.commands if line.startswith(b"MAIL FROM:<>"))
    eight_bit = any(octet > 127 for octet in taken.content)
    assert eight_bit == (kind == "message/rfc822" and any(octet > 127 for octet in body))
    assert (b"BODY=8BITMIME" in mail) == eight_bit


def test_storm(start):
    """60 reports an hour to a sender; the rest waits, and none of it is lost.  Others are told as ever."""
    relay = start.relay()
    relay.sink.replies["RCPT"] = refuse("bob")
    for _ in range(65):
        submit(relay.endpoint, message())
    submit(relay.endpoint, message(), sender="eve@example.org")
    relay.sink.wait_messages(61)
    wait_until(lambda: relay.herald.status()["queue"]["messages"] == 5, "five wait for their report")
    assert sorted({one.recipients[0] for one in relay.sink.messages}) == ["ann@example.org", "eve@example.org"]
    assert len(relay.sink.messages) == 61
    relay.herald.stop()
    relay.herald.start()
    assert relay.herald.status()["queue"]["messages"] == 5


# --- addresses beyond ASCII: RFC 6531, 6533

def test_utf8_addresses_end_to_end(start):
    relay = start.relay()
    relay.sink.extensions += ["SMTPUTF8", "DSN"]
    content = message(extra="X-Name: 收件人\r\n".encode())
    hand_in(relay.endpoint, content, sender="发件人@example.org", parameters=" SMTPUTF8 BODY=8BITMIME", recipients=[
        ("收件人@bücher.example", r" ORCPT=utf-8;\x{6536}@example.net")])
    taken = relay.sink.wait_messages(1)[0]
    assert (taken.sender, taken.recipients) == ("发件人@example.org", ["收件人@bücher.example"])
    assert taken.without_received() == content
    commands = [line.decode() for _, line in taken.session.commands]
    assert any(line.startswith("MAIL FROM:<发件人@example.org>") and " SMTPUTF8" in line for line in commands)
    assert any(line.startswith("RCPT TO:<收件人@") and r"ORCPT=utf-8;\x{6536}@example.net" in line for line in commands)
    assert re.search(rb"\A[^\r]*\r\n\tby herald\.example\.org \(herald\) with UTF8SMTP id", taken.content)
    relay.herald.wait_empty()


def test_report_to_a_utf8_sender(start):
    relay = start.relay()
    relay.sink.extensions.append("SMTPUTF8")
    relay.sink.replies["RCPT"] = refuse("收件人")
    hand_in(relay.endpoint, message(extra="X-Name: 收件人\r\n".encode()), sender="发件人@example.org",
            parameters=" SMTPUTF8", recipients=[("收件人@example.net", "")])
    taken, parsed, whole, each = report_of(relay)
    assert taken.recipients == ["发件人@example.org"]
    assert [part.get_content_type() for part in parsed.get_payload()] == [
        "text/plain", "message/global-delivery-status", "message/global-headers"]
    assert "收件人@example.net" in parsed.get_payload()[0].get_content()
    assert "Final-Recipient: utf-8; 收件人@example.net\r\n".encode() in taken.content
    assert any(line.startswith(b"MAIL FROM:<>") and b" SMTPUTF8" in line for _, line in taken.session.commands)


def test_utf8_recipient_and_a_hop_without_smtputf8(start):
    """Failed with 5.6.7; the report to an ASCII sender needs no SMTPUTF8 itself."""
    relay = start.relay()
    hand_in(relay.endpoint, message(), parameters=" SMTPUTF8", recipients=[("收件人@example.net", ""), ("bob@example.net", "")])
    taken, parsed, whole, each = report_of(relay)
    assert len(each) == 1
    assert each[0]["Final-Recipient"] == r"utf-8; \x{6536}\x{4EF6}\x{4EBA}@example.net"
    assert (each[0]["Action"], each[0]["Status"]) == ("failed", "5.6.7")
    assert "收件人@example.net" in parsed.get_payload()[0].get_content()
    assert all(octet < 128 for octet in taken.content)
    assert [one.recipients for one in relay.sink.messages if one.sender] == [["bob@example.net"]]


def test_utf8_domain_needs_no_smtputf8(start):
    """A local part of ASCII at an internationalized domain goes to any hop: as an A-label."""
    relay = start.relay()
    hand_in(relay.endpoint, message(), parameters=" SMTPUTF8", recipients=[("bob@bücher.example", "")])
    taken = relay.sink.wait_messages(1)[0]
    assert taken.recipients == ["bob@xn--bcher-kva.example"]
    assert not any(b"SMTPUTF8" in line for _, line in taken.session.commands)
    relay.herald.wait_empty()


def test_utf8_addresses_wait_in_the_queue(start):
    """They are shown and found as they are, and survive a restart with all that was said about them."""
    relay = start.relay()
    relay.sink.extensions += ["SMTPUTF8", "DSN"]
    relay.sink.replies["RCPT"] = b"451 4.2.0 later"
    queue_id = hand_in(relay.endpoint, message(), sender="发件人@example.org", parameters=" SMTPUTF8 RET=HDRS ENVID=a+2Bb", recipients=[
        ("收件人@bücher.example", r" NOTIFY=SUCCESS ORCPT=utf-8;收件人@example.net")])
    relay.herald.wait_log(rf"{queue_id}: .*status=deferred")
    shown = relay.herald.queue("--sender", "发件人@example.org")
    assert [one["id"] for one in shown] == [queue_id]
    assert shown[0]["recipients"][0]["address"] == "收件人@bücher.example"
    assert "收件人" in relay.herald.ctl("queue", "list").stdout.decode()
    relay.herald.stop()
    relay.sink.replies.clear()
    sessions = len(relay.sink.sessions)
    relay.herald.start()
    relay.sink.wait_messages(1)
    commands = [line.decode() for session in relay.sink.sessions[sessions:] for _, line in session.commands]
    mail = next(line for line in commands if line.startswith("MAIL"))
    rcpt = next(line for line in commands if line.startswith("RCPT"))
    assert mail.startswith("MAIL FROM:<发件人@example.org>")
    assert {"SMTPUTF8", "RET=HDRS", "ENVID=a+2Bb"} <= set(mail.split())
    assert {"NOTIFY=SUCCESS", r"ORCPT=utf-8;\x{6536}\x{4EF6}\x{4EBA}@example.net"} <= set(rcpt.split())
