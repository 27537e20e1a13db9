"""Limits of the server's parser, and its memory (RULES P): each has a reply, the session survives, the process does not grow."""

import random
import threading

import pytest

from lib.daemon import sanitized
from lib.net import connect, wait_until
from lib.secure import offers, users_file
from lib.smtp import Client, message, message_id, stuffed, submit

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture(scope="module")
def relay(start_module, certificates):
    users = users_file(start_module.directory)
    return start_module.relay(submission=offers(certificates, users=users), queue={"max_message_size": "32M"})


@pytest.fixture
def client(relay):
    with Client(relay.endpoint) as one:
        one.hello()
        yield one


def memory(relay, key="VmRSS"):
    """KiB."""
    with open(f"/proc/{relay.herald.pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))


def forget_peak(relay):
    with open(f"/proc/{relay.herald.pid}/clear_refs", "w") as file:
        file.write("5")


def growth(relay, deed, times=20):
    """KiB that the process has grown by when a deed is done again and again; the first ones may fill what is kept for all."""
    for _ in range(3):
        deed()
    before = memory(relay)
    for _ in range(times):
        deed()
    return memory(relay) - before


def bounded(relay, deed, limit, times=20):
    if sanitized():                                          # its memory is not the program's
        deed()
        return
    grown = growth(relay, deed, times)
    assert grown <= limit, f"{grown} KiB"


# -- P1

@pytest.mark.parametrize("length", [511, 512, 513, 1024, 2048, 12288, MIB])
@pytest.mark.parametrize("verb", [b"NOOP ", b"MAIL FROM:<", b"RCPT TO:<", b"AUTH PLAIN ", b"VRFY ", b"EHLO ", b"", b"BDAT "])
def test_p1_long_command(relay, verb, length):
    """Of any length and verb: a reply of class 5 (or 2 where it may be so long), and the session goes on or is closed."""
    with Client(relay.endpoint) as client:
        client.hello()
        line = verb + b"x" * (length - len(verb) - 2) + b"\r\n"
        try:
            client.send(line)
            client.send(b"NOOP\r\nQUIT\r\n")
            codes = client.rest()
        except (BrokenPipeError, ConnectionResetError):
            assert length == MIB
            return
    if length > 64 * KIB:
        assert codes[-1] == 421 and 250 not in codes
    elif verb == b"BDAT " and length <= 512:            # RULES E, rule 6: where the chunk ends is not known
        assert codes == [501, 421], codes
    else:
        assert codes[0] in (250, 252, 500, 501, 503, 535, 550, 553) and codes[1:] == [250, 221], codes


def test_p1_auth_may_have_12288_octets(client):
    """RFC 4954 4; one more is a line too long."""
    assert client.code(b"AUTH PLAIN " + b"A" * (12288 - 13)) in (501, 535)
    code, texts = client.command(b"AUTH PLAIN " + b"A" * (12289 - 13))
    assert code == 500 and "too long" in texts[0]


def test_p1_endless_command_takes_no_memory(relay):
    def deed():
        with connect(relay.endpoint) as sock:
            try:
                for _ in range(64):
                    sock.sendall(b"x" * 65536)
            except OSError:
                pass
    bounded(relay, deed, 64)


# -- P3, P4, P10: what no dialogue of tests/dialog/server has

@pytest.mark.parametrize("value", ["0" * 10000, "9" * 1900, " 1", "1 SIZE=1", "１", "1.0", "0x1", "1\0"])
def test_p3_size(client, value):
    code, texts = client.command(f"MAIL FROM:<ann@example.org> SIZE={value}")
    assert code in (500, 501), texts
    assert client.code("MAIL FROM:<ann@example.org>") == 250
    client.quit()


LABEL = "x" * 63
PATHS = {
    "local-64": ("x" * 64 + "@example.org", True), "local-65": ("x" * 65 + "@example.org", False),
    "domain-255": ("a@" + ".".join([LABEL] * 3 + ["x" * 59, "org"]), True), "domain-256": ("a@" + ".".join([LABEL] * 3 + ["x" * 60, "org"]), False),
    "label-63": (f"a@{LABEL}.org", True), "label-64": (f"a@x{LABEL}.org", False), "quoted-64": ('"' + "x" * 62 + '"@example.org', True),
    "nested-quotes": ('"a"b"c"@example.org', False), "open-quote": ('"a@example.org', False), "backslash-last": ("a@example.org\\", False),
    "quoted-backslash-last": ('"a\\"@example.org', False), "two-at": ("a@b@example.org", False), "dots": ("a..b@example.org", False),
    "dot-first": (".a@example.org", False), "domain-dot-last": ("a@example.org.", False), "literal-open": ("a@[192.0.2.1", False),
    "literal-text": ("a@[not an address]", False), "blank": ("a @example.org", False), "tab": ("a\t@example.org", False),
    "bracket-inside": ("a<b@example.org", False), "route-1000": (",".join(["@a.example"] * 180) + ":a@example.org", None),
    "8-bit": ("\udcff@example.org", False), "nul": ("a\0b@example.org", False), "del": ("a\x7f@example.org", False),
    "empty-local": ("@example.org", False), "at-only": ("@", False), "percent": ("a%b@example.org", True), "bang": ("x!a@example.org", True)}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("verb", ["MAIL FROM", "RCPT TO"])
def test_p4_path(client, verb, name):
    """Taken or refused as RFC 5321 4.1.2 says, never anything else; the session goes on."""
    path, good = PATHS[name]
    if verb == "RCPT TO":
        assert client.code("MAIL FROM:<ann@example.org>") == 250
    code, texts = client.command(f"{verb}:<{path}>")
    assert code in (250,) if good else code in (500, 501, 553) if good is False else code in (250, 500, 501, 553), texts
    assert client.code("NOOP") == 250
    client.quit()


@pytest.mark.parametrize("wire", [b"MAIL FROM:<a@example.org>" + b" A=b" * 50000, b"MAIL FROM:<a@example.org>" + b" A=b" * 400,
                                  b"MAIL FROM:<" + b"<" * 1000 + b"a@example.org>", b"RCPT TO:<" + b'"' * 1999 + b">",
                                  b"MAIL FROM:<" + b"\\" * 1900 + b">", b"MAIL FROM:<a@example.org> " + b"=" * 1900,
                                  b"MAIL FROM:<" + b"(" * 1900 + b">", b"EHLO " + b"[" * 500, b"MAIL FROM:<a@" + b"[" * 1900 + b">"],
                         ids=["50000-parameters", "400-parameters", "brackets", "quotes", "backslashes", "equals", "comments", "ehlo", "literals"])
def test_p4_many_of_a_kind(relay, wire):
    with Client(relay.endpoint) as client:
        client.hello()
        try:
            client.send(wire + b"\r\nNOOP\r\nQUIT\r\n")
            codes = client.rest()
        except (BrokenPipeError, ConnectionResetError):
            assert len(wire) > 64 * KIB
            return
    assert codes[-1] in (221, 421) and codes[0] in (421, 500, 501, 503, 553, 555), codes


def test_p10_random_octets(relay):
    """Lines of random octets: each has its reply of class 5, and a session that goes on where it may."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    heads = [b"", b"EHLO ", b"HELO ", b"MAIL FROM:<", b"MAIL FROM:<a@", b"RCPT TO:<", b"VRFY ", b"AUTH PLAIN A", b"MAIL FROM:<a@b> SMTPUTF8 "]
    # AUTH with nothing behind it would be asked for more, and NOOP would be the answer: hence its A.
    for _ in range(30 if sanitized() else 300):
        with Client(relay.endpoint) as client:
            client.hello()
            wire = b""
            for _ in range(2):                               # a third bare line end would be the last; 0x16 is TLS, RULES T12
                octets = bytes(chance.randrange(256) for _ in range(chance.randrange(60))).translate(None, b"\r\n\x16")
                wire += chance.choice(heads) + octets + b"\r\n"
            client.send(wire + b"NOOP\r\nQUIT\r\n")
            codes = client.rest()
        assert codes[-1] == 221 and codes[-2] == 250, (seed, wire, codes)
    assert relay.herald.alive()


# -- P6, P7: header sections and lines of any size

def stream(client, head, block, total):
    """Sends head and then `total` octets of block in the background; the daemon's reply behind the end."""
    def send():
        try:
            client.send(head)
            for _ in range(total // len(block)):
                client.send(block)
            client.send(b"\r\n.\r\n")
        except OSError:
            pass
    writer = threading.Thread(target=send)
    writer.start()
    reply = client.reply()
    writer.join()
    return reply


@pytest.mark.slow
@pytest.mark.parametrize("field", [b"X-Long: ", b"To: ", b"From: ", b"Received: "])
def test_p6_header_line_without_end(relay, field):
    """A line that would have 1 GiB (a sanitizer's: 64 MiB): 552, in the memory of any other mail."""
    total = 64 * MIB if sanitized() or field != b"X-Long: " else 1024 * MIB
    submit(relay.endpoint, message())
    forget_peak(relay)
    before = memory(relay)
    with Client(relay.endpoint) as client:
        client.sock.settimeout(300)
        client.transaction()
        code, texts = stream(client, field, b"x" * MIB, total)
        assert code == 552 and texts[0].startswith("5.3.4"), texts
        client.quit()
    if not sanitized():
        assert memory(relay, "VmHWM") - before <= 8 * KIB, "KiB"


@pytest.mark.parametrize("field", [b"X-Long: ", b"To: ann@example.org, ", b"From: ann@example.org, ", b"X-Folded: a\r\n "])
def test_p6_header_of_10_mib(relay, field):
    """Within the limit of the message: taken whole or refused, and never held in memory."""
    ident = message_id()
    before = memory(relay)
    forget_peak(relay)
    block = b"y" * 1022 + b"\r\n" if b"Folded" in field else b"y" * 1024
    block = b" " + block[1:]
    with Client(relay.endpoint) as client:
        client.transaction()
        code, texts = stream(client, f"Message-ID: {ident}\r\n".encode() + field, block, 10 * MIB)
        assert code in (250, 552, 554), texts
        client.quit()
    if not sanitized():
        assert memory(relay, "VmHWM") - before <= 12 * KIB, "KiB"
    if code == 250:
        wait_until(lambda: ident in relay.sink.idents(), "the message")
        taken = next(one for one in relay.sink.messages if one.ident == ident)
        assert taken.content.count(b"y") >= 10 * MIB // 1024 * 1021
    relay.herald.wait_empty()


def test_p6_a_million_headers(relay):
    ident = message_id()
    before = memory(relay)
    forget_peak(relay)
    with Client(relay.endpoint) as client:
        client.sock.settimeout(300)
        client.transaction()
        code, texts = stream(client, f"Message-ID: {ident}\r\n".encode(), b"X-N: 1\r\n" * 1000, 8 * 1000 * 1000)
        assert code in (250, 552, 554), texts
        client.quit()
    if not sanitized():
        assert memory(relay, "VmHWM") - before <= 12 * KIB, "KiB"
    if code == 250:
        wait_until(lambda: ident in relay.sink.idents(), "the message")
        taken = next(one for one in relay.sink.messages if one.ident == ident)
        assert taken.content.count(b"X-N: 1\r\n") == 1000 * 1000
    relay.herald.wait_empty()


@pytest.mark.parametrize("first", [b"From ann@example.org Mon Nov 23 10:00:00 2026\r\n", b"From \r\n" * 1000, b">From x\r\n", b"\r\n", b" folded\r\n", b":\r\n"],
                         ids=["from-line", "from-lines", "escaped", "empty", "folded", "colon"])
def test_p7_first_lines_count(start, first):
    """Exactly the limit passes, one octet more does not, whatever the message begins with."""
    relay = start.relay(queue={"max_message_size": "64K"})
    head = first + message()
    for size, expected in ((65536, 250), (65537, 552)):
        content = head + (b"y" * 76 + b"\r\n") * ((size - len(head)) // 78 - 1)
        content += b"z" * (size - len(content) - 2) + b"\r\n"
        assert len(content) == size
        with Client(relay.endpoint) as client:
            client.transaction()
            client.send(stuffed(content))
            assert client.reply()[0] == expected
            client.quit()


# -- P9

def test_p9_tiny_chunks(relay):
    """100,000 chunks of an octet: taken or ended with 421, and the process has not grown by them."""
    def deed():
        with Client(relay.endpoint) as client:
            client.hello()
            assert client.code("MAIL FROM:<ann@example.org>") == 250
            assert client.code("RCPT TO:<bob@example.net>") == 250

            def send():
                try:
                    client.send(b"BDAT 1\r\nx" * 100000 + b"QUIT\r\n")
                except OSError:
                    pass
            writer = threading.Thread(target=send)
            writer.start()
            try:
                codes = client.rest()
                assert codes[-1] in (221, 421) and set(codes[:-1]) == {250}
            except ConnectionResetError:
                pass
            writer.join()
    bounded(relay, deed, 64, 3)
    assert relay.herald.queue() == []


def test_refused_and_dropped_mail_takes_no_memory(relay):
    """Transactions that come to nothing, in every way, leave nothing."""
    def deed():
        with Client(relay.endpoint) as client:
            client.hello()
            for end in (b"RSET\r\n", b"DATA\r\na\nb\r\n.\r\n", b"BDAT 3\r\nabcRSET\r\n", b"BDAT 3 LAST\r\na\nb"):
                client.send(b"MAIL FROM:<ann@example.org>\r\n" + b"RCPT TO:<bob@example.net>\r\n" * 100 + end)
                for _ in range(101 + (2 if end.startswith(b"DATA") or end.endswith(b"RSET\r\n") and end.startswith(b"BDAT") else 1)):
                    client.reply()
            client.quit()
    bounded(relay, deed, 64)


def test_auth_takes_no_memory(relay):
    def deed():
        with Client(relay.endpoint) as client:
            client.hello()
            client.command(b"AUTH PLAIN " + b"A" * 12000)
            client.send(b"AUTH LOGIN\r\n" + b"B" * 12000 + b"\r\n")
            client.reply()
            client.reply()
    bounded(relay, deed, 64)
