"""The end of mail data through the whole daemon, in the clear and over TLS (RULES E20 to E28).

Every string of a small alphabet goes through the decoder alone in tests/unit/test_smtp_data.c; here the shorter ones pass
sockets, TLS records, the store and the way out."""

import itertools
import re
import socket
import ssl
import struct
import threading

import pytest

from lib.net import wait_until
from lib.secure import SecureClient, offers
from lib.smtp import Client, message, message_id, submit

SMUGGLED = b"MAIL FROM:<evil@e.example>\r\nRCPT TO:<v@h.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nX\r\n.\r\n"
END = b"\r\n.\r\n"
# What a line may fill: commands, RFC 5322, the blocks of the spool, of TLS and of the connection, and powers of two.
BUFFERS = [512, 998, 1000, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 262144]


@pytest.fixture(scope="module")
def relay(start_module, certificates):
    one = start_module.relay(submission=offers(certificates), queue={"max_message_size": "1M"})
    one.ca = certificates.ca
    return one


def client_of(relay, secure):
    client = SecureClient(relay.endpoint, relay.ca)
    if secure:
        client.starttls()
    return client


def turn(relay):
    """A client that comes and goes: the daemon has read all that was sent before."""
    with Client(relay.endpoint) as other:
        other.quit()


def flushed(relay):
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: ident in relay.sink.idents(), "the closing message")
    relay.herald.wait_empty()
    assert not [one for one in relay.sink.messages if one.sender.startswith("evil")], "smuggled"
    return relay.sink.messages


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("limit", BUFFERS)
def test_e21_line_as_long_as_a_buffer(relay, secure, limit):
    """Behind a line of L-3 to L+3 octets a dot is content, in the header section and below it."""
    for length in range(limit - 3, limit + 4):
        for head in (b"X: ", b"Subject: t\r\n\r\n"):
            with client_of(relay, secure) as client:
                client.transaction()
                client.send(head + b"x" * (length - (3 if head == b"X: " else 0)) + END[2:] + SMUGGLED + b"QUIT\r\n")
                codes = client.rest()
            assert len(codes) == 2 and codes[0] in (250, 500, 550, 552, 554) and codes[1] == 221, (length, codes)
    flushed(relay)


@pytest.mark.parametrize("secure", [False, True], ids=["segments", "records"])
@pytest.mark.parametrize("cuts", [cuts for count in range(1, 5) for cuts in itertools.combinations(range(1, 5), count)], ids=str)
def test_e22_end_cut_at_its_inner_boundaries(relay, secure, cuts):
    """Every way to cut the five octets: one reply, and that only behind the last of them."""
    ident = message_id()
    with client_of(relay, secure) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.transaction()
        client.send(message(ident, b"text"))
        for first, last in zip((0, *cuts), (*cuts, 5)):
            turn(relay)
            client.sock.settimeout(0)
            with pytest.raises((BlockingIOError, ssl.SSLWantReadError)):
                client.sock.recv(1)
            client.sock.settimeout(60)
            client.send(END[first:last])
        assert client.reply()[0] == 250
        assert client.code("NOOP") == 250
        client.quit()
    assert [one.ident for one in flushed(relay)].count(ident) == 1


@pytest.mark.parametrize("tail", [b"\r\n.\r", b"\r\n.", b"\r\n", b"\r", b""])
@pytest.mark.parametrize("reset", [False, True], ids=["end-of-file", "reset"])
def test_e25_closed_before_the_end(relay, tail, reset):
    """Held: neither in the queue nor at the sink."""
    ident = message_id()
    with Client(relay.endpoint) as client:
        client.transaction()
        client.send(message(ident, b"text") + tail)
        turn(relay)
        if reset:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert ident not in [one.ident for one in flushed(relay)]
    assert relay.herald.queue() == []


def chunked(*chunks):
    return b"".join(b"BDAT %d%s\r\n%s" % (len(chunk), b" LAST" if at == len(chunks) - 1 else b"", chunk)
                    for at, chunk in enumerate(chunks))


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_e24_an_end_of_data_within_a_chunk_is_content(relay, secure):
    ident = message_id()
    content = message(ident, b"one" + END + SMUGGLED)
    with client_of(relay, secure) as client:
        if not secure:
            client.hello()
        client.send(b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\n" + chunked(content[:200], content[200:]) + b"QUIT\r\n")
        assert client.rest() == [250, 250, 250, 250, 221]
    taken = [one for one in flushed(relay) if one.ident == ident]
    assert len(taken) == 1 and taken[0].without_received() == content


# -- every short string, in by DATA and by BDAT, and out

ALPHABET = b"\r\n.x\0"


def reference(content):
    """RFC 5321 4.5.2 over a whole string: (refused, the content) up to its true end, and what is behind it."""
    end = -2 if content.startswith(b".\r\n") else content.find(END)
    rest = content[end + 5:]
    body = content[:max(end, 0) + 2] if end >= 0 else b""
    refused = b"\0" in body or re.search(rb"\r(?!\n)|(?<!\r)\n", body) is not None
    return refused, re.sub(rb"(\A|\r\n)\.", rb"\1", body), rest


# With all fields that herald would add to a message of this machine.
HEAD = b"Subject: %d\r\nFrom: <ann@example.org>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n"


def strings(length):
    return [bytes(one) for size in range(length + 1) for one in itertools.product(ALPHABET, repeat=size)]


def run_all(relay, wires, replies, per_session=50):
    """Sends what `wires` gives, `per_session` in a segment; the last of each one's replies."""
    found = []
    for at in range(0, len(wires), per_session):
        with Client(relay.endpoint) as client:
            client.hello()
            writer = threading.Thread(target=client.send, args=(b"".join(wires[at:at + per_session]) + b"QUIT\r\n",))
            writer.start()
            codes = client.rest()
            writer.join()
        some = wires[at:at + per_session]
        assert len(codes) == replies * len(some) + 1, codes
        found += [codes[replies * number + replies - 1] for number in range(len(some))]
    return found


def delivered(relay, before):
    """What came since, by the number in its Subject."""
    return {int(re.search(rb"Subject: (\d+)", one.content).group(1)): one for one in flushed(relay)[before:]
            if re.search(rb"Subject: \d+\r\n", one.content)}


def test_e27_every_short_string_by_data(relay):
    """Behind an empty header section, ended by a true end: refused or taken as the reference says, and delivered as it was."""
    before = len(flushed(relay))
    cases, wires = [], []
    for string in strings(5):
        head = HEAD % len(cases)
        refused, body, rest = reference(head + string + END)
        if rest == b"":
            cases.append((refused, body))
            wires.append(b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n" + head + string + END)
    assert len(cases) > 3800
    codes = run_all(relay, wires, 4)
    assert codes == [550 if refused else 250 for refused, _ in cases]
    taken = delivered(relay, before)
    assert set(taken) == {number for number, (refused, _) in enumerate(cases) if not refused}
    for number, one in taken.items():
        assert one.without_received() == cases[number][1], wires[number]
        canonical(one.wire)


def test_e27_every_short_string_by_bdat(relay):
    """Counted octets have no end of data and no dots to remove; the rest is judged alike."""
    before = len(flushed(relay))
    cases, wires = [], []
    for string in strings(4):
        content = HEAD % len(cases) + string + b"\r\n"
        cases.append((b"\0" in content or re.search(rb"\r(?!\n)|(?<!\r)\n", content) is not None, content))
        wires.append(b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\n" + chunked(content))
    assert len(cases) == 781
    codes = run_all(relay, wires, 3)
    assert codes == [550 if refused else 250 for refused, _ in cases]
    taken = delivered(relay, before)
    assert set(taken) == {number for number, (refused, _) in enumerate(cases) if not refused}
    for number, one in taken.items():
        assert one.without_received() == cases[number][1], wires[number]
        canonical(one.wire)


def canonical(wire):
    """E28: lines that end in CRLF, dots stuffed, one end."""
    assert wire.endswith(END) or wire == END[2:]
    lines = wire.split(b"\r\n")
    assert lines.pop() == b"" and lines.pop() == b"."
    for line in lines:
        assert b"\r" not in line and b"\n" not in line
        assert not line.startswith(b".") or line.startswith(b".."), line


def test_normalizing_leaves_nothing_bare(start):
    """E28 with bare_newline = "normalize": what was bare leaves as CRLF, and never ends the data."""
    relay = start.relay(submission={"bare_newline": "normalize", "max_errors": 300})
    wires = []
    for string in strings(4):
        head = HEAD % len(wires)
        if reference(head + string + END)[2] == b"":
            wires.append(b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n" + head + string + END)
    codes = run_all(relay, wires, 4)
    assert set(codes) == {250, 550}
    for one in flushed(relay):
        canonical(one.wire)
    assert len(relay.sink.messages) == codes.count(250) + 1
