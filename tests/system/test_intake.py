"""SMTP intake (SPEC 4, RFC 5321): what is taken is delivered octet by octet, what is refused is refused with the right reply."""

import os
import re
import smtplib

import pytest

from lib.daemon import sanitized
from lib.net import connect, read_all, wait_until
from lib.smtp import Client, message, message_id, stuffed, submit


def quick(start, **keywords):
    return start.relay(**keywords)


@pytest.fixture(scope="module")
def relay(start_module):
    """One herald for the tests that only talk."""
    return start_module.relay(submission={"max_errors": 200})


def test_banner_and_keywords(relay):
    with Client(relay.endpoint) as client:
        assert client.banner[0] == 220
        assert client.banner[1][0].startswith("herald.example.org ESMTP")
        texts = client.hello()
        assert texts[0].startswith("herald.example.org")
        keywords = {text.split()[0] for text in texts[1:]}
        assert {"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES"} <= keywords
        assert not keywords & {"STARTTLS", "AUTH"}, "offered without a certificate, without users"
        assert not keywords & {"BINARYMIME", "XCLIENT", "ETRN"}, "offered, but not supported"
        assert f"SIZE {35 * 1024 * 1024}" in texts
        client.quit()


def test_smtplib_over_tcp(start):
    """A message by Python's smtplib arrives octet by octet, below one Received field."""
    relay = quick(start)
    ident = message_id()
    content = message(ident, "Grüße\r\n.\r\n..dots\r\n\tlast line".encode(), extra=b"X-Long: " + b"y" * 900 + b"\r\n") + b"\r\n"
    with smtplib.SMTP(*relay.endpoint) as client:
        assert client.sendmail("ann@example.org", ["bob@example.net"], content) == {}
    taken = relay.sink.wait_messages(1)[0]
    assert taken.without_received() == content
    assert taken.sender == "ann@example.org" and taken.recipients == ["bob@example.net"]


def test_received_field(start):
    relay = quick(start)
    with Client(relay.endpoint) as client:
        client.transaction()
        client.send(stuffed(message()))
        code, texts = client.reply()
    assert code == 250
    taken = relay.sink.wait_messages(1)[0]
    received = re.match(rb"Received: ((?:[^\r\n]|\r\n[ \t])*)\r\n", taken.content).group(1).decode()
    assert "from client.example.org" in received
    assert "[127.0.0.1]" in received
    assert "by herald.example.org" in received
    assert re.search(r"with ESMTP\b", received)
    assert re.search(rf"id {texts[0].split()[-1]}\b", received)
    assert re.search(r";\s+\w\w\w, +\d+ \w\w\w \d{4} \d\d:\d\d:\d\d [+-]\d{4}", received)
    assert taken.content.count(b"\nReceived:") == 0
    assert b"bob@example.net" not in received.encode() or b"for <bob@example.net>" in received.encode()


def test_queue_id_in_the_reply(start):
    relay = quick(start)
    given = [submit(relay.endpoint, message()) for _ in range(20)]
    assert all(re.fullmatch(r"[0-9A-F]{1,16}", ident) for ident in given)
    assert len(set(given)) == 20
    with Client(relay.endpoint) as client:
        client.transaction()
        client.send(stuffed(message()))
        assert re.fullmatch(r"2\.0\.0 .*queued as [0-9A-F]{1,16}", client.reply()[1][0])


def test_unix_socket(start):
    """The sender's uid is logged and stands in Received (SPEC 4)."""
    relay = quick(start)
    path = os.path.join(relay.herald.runtime, "submit.sock")
    content = message()
    ident = submit(path, content)
    taken = relay.sink.wait_messages(1)[0]
    assert taken.without_received() == content
    assert re.search(rb"\AReceived:(?:[^\r\n]|\r\n[ \t])*\buid[ =]?0\b", taken.content), taken.content[:300]
    relay.herald.wait_log(rf"{ident}: .*\buid=0\b")


def test_many_recipients_in_one_transaction(start):
    relay = quick(start)
    recipients = [f"user{number}@example.net" for number in range(50)]
    submit(relay.endpoint, message(), recipients=recipients)
    taken = relay.sink.wait_messages(1)[0]
    assert taken.recipients == recipients
    relay.herald.wait_empty()
    assert len(relay.sink.messages) == 1


def test_null_sender(start):
    relay = quick(start)
    submit(relay.endpoint, message(), sender="")
    assert relay.sink.wait_messages(1)[0].sender == ""


def test_body_8bitmime(start):
    relay = quick(start)
    content = message(body=bytes(range(0x80, 0x100)) + b"\r\n")
    submit(relay.endpoint, content, parameters=" BODY=8BITMIME")
    taken = relay.sink.wait_messages(1)[0]
    assert taken.without_received() == content
    assert any(line.endswith(b" BODY=8BITMIME") for _, line in taken.session.commands if line.startswith(b"MAIL"))


@pytest.mark.parametrize("address", ["simple@example.net", '"quoted string"@example.net', '"a\\"b"@example.net', "user+tag@example.net",
                                     "!#$%&'*+-/=?^_`{|}~@example.net", "user@[192.0.2.1]", "UPPER.Case@Example.NET",
                                     "x" * 64 + "@example.net"])
def test_addresses_pass_unchanged(relay, address):
    before = len(relay.sink.messages)
    submit(relay.endpoint, message(), sender=address, recipients=[address])
    taken = relay.sink.wait_messages(before + 1)[-1]
    local, _, domain = address.rpartition("@")
    assert taken.recipients == [taken.sender]
    assert taken.sender.rpartition("@")[0] == local
    assert taken.sender.rpartition("@")[2].lower() == domain.lower()


@pytest.mark.parametrize("line,code", [
    ("MAIL FROM:ann@example.org", {250, 501}), ("MAIL FROM:<ann@example.org", {501}), ("MAIL TO:<ann@example.org>", {501}),
    ("MAIL", {501}), ("MAIL FROM:<a b@example.org>", {501, 553}), ("MAIL FROM:<ann@example.org> NONSENSE=1", {555}),
    ("MAIL FROM:<ann@example.org> SIZE=", {501}), ("MAIL FROM:<ann@example.org> SIZE=-1", {501}),
    ("MAIL FROM:<ann@example.org> SIZE=1e3", {501}), ("MAIL FROM:<ann@example.org> SIZE=" + "0" * 400, {501, 250}),
    ("MAIL FROM:<ann@example.org> BODY=7BIT", {250}), ("MAIL FROM:<ann@example.org> BODY=9BIT", {501}),
    ("MAIL FROM:<ann@example.org\0>", {500, 501, 553}), ("MAIL FROM:<é@example.org>", {501, 553}),
    ("MAIL FROM:<" + "x" * 65 + "@example.org>", {250, 501, 553}), ("MAIL FROM:<a@" + "x" * 300 + ".org>", {501, 553}),
    ('MAIL FROM:<"">', {501, 553}), ("MAIL FROM:<ann\\>", {501, 553}), ("MAIL FROM:<@a,@b:c@example.org>", {250, 501}),
    ("MAIL FROM:<;sleep 66;>", {501, 553}), ("RCPT TO:<bob@example.net>", {503}), ("DATA", {503}), ("RCPT", {501, 503}),
    ("VRFY bob", {252}), ("NOOP", {250}), ("NOOP text", {250}), ("RSET", {250}), ("RSET x", {250, 501}), ("NONSENSE", {500, 502}),
    ("", {500}), (" ", {500}), ("EXPN list", {500, 502}), ("TURN", {500, 502}), ("HELP", {214, 500, 502}),
    ("STARTTLS", {502}), ("AUTH PLAIN AGFubgBzZWNyZXQ=", {502}), ("BDAT 0 LAST", {503}),
    ("x" * 600, {500}), ("NOOP " + "x" * 2000, {500}), ("EHLO", {501}), ("HELO", {501}),
], ids=lambda value: repr(value[:40]) if isinstance(value, str) else "")
def test_replies(relay, line, code):
    """One reply to each, with an enhanced code where RFC 2034 asks for one, and the session goes on."""
    with Client(relay.endpoint) as client:
        client.hello()
        given, texts = client.command(line)
        assert given in code, texts
        if not line.startswith(("EHLO", "HELO")):
            assert re.match(rf"{given // 100}\.\d+\.\d+ ", texts[0]), "no enhanced status code"
        assert client.code("NOOP") == 250
        client.quit()


def test_verbs_are_taken_in_any_case(relay):
    with Client(relay.endpoint) as client:
        assert client.code("ehlo x.example.org") == 250
        assert client.code("mail from:<ann@example.org> size=100 body=8bitmime") == 250
        assert client.code("Rcpt To:<bob@example.net>") == 250
        assert client.code("rset") == 250
        client.quit()


def test_helo_has_no_keywords(relay):
    with Client(relay.endpoint) as client:
        assert len(client.command("HELO client.example.org")[1]) == 1
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        client.quit()


def test_mail_before_hello(relay):
    with Client(relay.endpoint) as client:
        assert client.code("MAIL FROM:<ann@example.org>") == 503


def test_size_announced_too_large(start):
    relay = quick(start, queue={"max_message_size": "64K"})
    with Client(relay.endpoint) as client:
        assert "SIZE 65536" in client.hello()
        code, texts = client.command("MAIL FROM:<ann@example.org> SIZE=65537")
        assert (code, texts[0][:5]) == (552, "5.3.4")
        for huge in (2 ** 31, 2 ** 32, 2 ** 63, 2 ** 64, 10 ** 19):
            assert client.code(f"MAIL FROM:<ann@example.org> SIZE={huge}") in (501, 552)
        assert client.code("MAIL FROM:<ann@example.org> SIZE=65536") == 250
        client.quit()


def test_size_exceeded_in_data(start):
    """P7: exactly the limit passes, one octet more is 552, and the session goes on."""
    relay = quick(start, queue={"max_message_size": "64K"})
    head = message()
    for size, expected in ((65536, 250), (65537, 552), (300000, 552), (65536, 250)):
        content = head + b"x" * 76 + b"\r\n"
        content += (b"y" * 76 + b"\r\n") * ((size - len(content)) // 78)
        content = content[:-2] + b"z" * (size - len(content)) + b"\r\n"
        assert len(content) == size
        with Client(relay.endpoint) as client:
            client.transaction()
            client.send(stuffed(content))
            assert client.reply()[0] == expected, size
            assert client.code("NOOP") == 250
            client.quit()
    relay.sink.wait_messages(2)
    relay.herald.wait_empty()
    assert len(relay.sink.messages) == 2


def test_large_message(start):
    """20 MiB pass whole: in a file, not in memory, until they are in the store."""
    relay = quick(start)
    content = message() + (os.urandom(38).hex().encode() + b"\r\n") * (20 * 1024 * 1024 // 78)
    submit(relay.endpoint, content)
    assert relay.sink.wait_messages(1)[0].without_received() == content
    with open(f"/proc/{relay.herald.pid}/status") as lines:
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    if not sanitized():
        assert peak < 128 * 1024, "kB"


def test_pipelining(start):
    """A whole session in one segment: replies in order, one for each command."""
    relay = quick(start)
    with Client(relay.endpoint, banner=False) as client:
        client.send(b"EHLO x\r\n")
        assert client.reply()[0] == 220 and client.reply()[0] == 250
        client.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\nDATA\r\n"
                    + stuffed(message()) + b"MAIL FROM:<d@example.org>\r\nRCPT TO:<e@example.net>\r\nDATA\r\n"
                    + stuffed(message()) + b"QUIT\r\n")
        assert client.rest() == [250, 250, 250, 354, 250, 250, 250, 354, 250, 221]
    taken = relay.sink.wait_messages(2)
    assert sorted(one.sender for one in taken) == ["a@example.org", "d@example.org"]


def test_relay_access_denied(start):
    relay = quick(start, submission={"allow": ["127.0.0.2/32"]})
    with Client(relay.endpoint) as client:
        client.hello()
        if client.code("MAIL FROM:<ann@example.org>") == 250:
            code, texts = client.command("RCPT TO:<bob@example.net>")
            assert code == 554 and texts[0].startswith("5.7.1 ")
            assert client.code("DATA") in (503, 554)
        relay.herald.wait_log(r"smtpd\[\d+\]: NOQUEUE: reject: RCPT from \S*\[127\.0\.0\.1\]: 554 5\.7\.1 <bob@example\.net>: "
                              r"Relay access denied; from=<ann@example\.org> to=<bob@example\.net> proto=ESMTP helo=<client\.example\.org>")
        client.quit()
    with Client(relay.endpoint, source=("127.0.0.2", 0)) as client:
        client.transaction()
        client.send(stuffed(message()))
        assert client.reply()[0] == 250
    relay.sink.wait_messages(1)


@pytest.mark.parametrize("key", ["max_connections", "max_connections_per_client"])
def test_connection_limits(start, key):
    relay = quick(start, submission={key: 3})
    held = [Client(relay.endpoint) for _ in range(3)]
    with Client(relay.endpoint) as client:
        assert client.banner[0] == 421
        assert read_all(client.sock) == b""
    held.pop().quit()

    def served():
        with Client(relay.endpoint) as client:
            return client.banner[0] == 220
    wait_until(served, "room again")
    for client in held:
        client.quit()


def test_recipient_limit(start):
    """P2: the 1001st is refused for now, the first 1000 are kept."""
    relay = quick(start)
    with Client(relay.endpoint) as client:
        client.hello()
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        client.send(b"".join(b"RCPT TO:<user%d@example.net>\r\n" % number for number in range(1001)))
        codes = [client.reply()[0] for _ in range(1001)]
        assert codes == [250] * 1000 + [452]
        assert client.code("DATA") == 354
        client.send(stuffed(message()))
        assert client.reply()[0] == 250
        client.quit()
    wait_until(lambda: sum(len(one.recipients) for one in relay.sink.messages) == 1000, "1000 recipients at the sink")


def test_error_limit(start):
    relay = quick(start, submission={"max_errors": 5})
    with Client(relay.endpoint) as client:
        client.send(b"NONSENSE\r\n" * 20)
        codes = client.rest()
    assert codes[-1] == 421
    assert set(codes[:-1]) <= {500, 502} and 4 <= len(codes[:-1]) <= 5


def test_endless_command(start):
    """P1: a line without end is refused and the connection closed; memory does not grow with it."""
    relay = quick(start)
    with Client(relay.endpoint) as client:
        try:
            for _ in range(64):
                client.send(b"x" * 65536)
        except (BrokenPipeError, ConnectionResetError):
            return
        try:
            assert all(code >= 400 for code in client.rest())
        except ConnectionResetError:
            pass


def test_too_many_hops(start):
    """P8: a message that has been through 100 hosts goes in circles."""
    relay = quick(start, queue={"max_hops": 50})
    for hops, expected in ((40, 250), (100, 554)):
        with Client(relay.endpoint) as client:
            client.transaction()
            client.send(stuffed(b"Received: from a by b; Mon, 02 Nov 2026 10:00:00 +0000\r\n" * hops + message()))
            code, texts = client.reply()
            assert code == expected
            if expected == 554:
                assert texts[0].startswith("5.4.6 ")
            client.quit()


def test_timeout(start):
    relay = quick(start, submission={"timeout": "1s"})
    with Client(relay.endpoint) as client:
        assert client.reply()[0] == 421
        assert read_all(client.sock) == b""


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 20\r\n\r\nMAIL FROM:<a@b.example>\r\n",
                                    b"CONNECT x:25 HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n",
                                    bytes.fromhex("1603010200010001fc0303") + b"\r\n" * 20], ids=["get", "post", "connect", "ssh", "tls"])
def test_wrong_protocol(start_once, octets):
    """T12: one reply, close, and nothing of it is taken as commands."""
    with Client(start_once.endpoint) as client:
        client.send(octets)
        try:
            codes = client.rest()
        except ConnectionResetError:
            return
        assert len(codes) == 1 and codes[0] in (421, 500, 502, 554), codes


@pytest.fixture(scope="module")
def start_once(start_module):
    return start_module.relay()


def test_disk_nearly_full(start):
    """Below min_free_space: 452 at MAIL, never a lost message."""
    relay = quick(start, queue={"min_free_space": "900000G"})
    with Client(relay.endpoint) as client:
        client.hello()
        code, texts = client.command("MAIL FROM:<ann@example.org>")
        assert (code, texts[0][:5]) == (452, "4.3.1")
        client.quit()


def test_clients_that_vanish(start):
    relay = quick(start)
    for part in (b"", b"EHLO x\r\n", b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: x\r\n"):
        with connect(relay.endpoint) as sock:
            sock.sendall(part)
    submit(relay.endpoint, message())
    relay.sink.wait_messages(1)
    relay.herald.wait_empty()
    assert len(relay.sink.messages) == 1


def test_client_that_does_not_read(start):
    """S4: replies pile up to a bound, then the client waits or is dropped; the others are served, memory stays."""
    relay = quick(start, submission={"timeout": "5s"})
    with Client(relay.endpoint) as deaf:
        deaf.hello()
        deaf.sock.settimeout(1)
        try:
            for _ in range(2000):
                deaf.send(b"NOOP\r\n" * 1000)
        except OSError:
            pass
        submit(relay.endpoint, message())
        relay.sink.wait_messages(1)
        with open(f"/proc/{relay.herald.pid}/status") as lines:
            resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    if not sanitized():
        assert resident < 64 * 1024, "kB"


def test_many_idle_connections(start):
    """1,000 clients that say nothing: one that does is served at once."""
    relay = quick(start, submission={"max_connections": 1001, "max_connections_per_client": 1001})
    held = [connect(relay.endpoint) for _ in range(1000)]
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: relay.sink.idents() == [ident], "the message at the sink")
    for sock in held:
        sock.close()
