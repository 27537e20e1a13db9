"""End of data is CRLF.CRLF and nothing else (RULES E; CVE-2023-51764 and its kin).

In every case but E13 the text after the sequence must stay content, or nothing: one reply for the one true end, and never
a message from evil@."""

import os

import pytest

from lib.net import connect, wait_until
from lib.smtp import Client, message, message_id, submit

SMUGGLED = b"MAIL FROM:<evil@e.example>\r\nRCPT TO:<v@h.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nX\r\n.\r\n"

REFUSED = {
    "E1": "0A2E0A", "E2": "0A2E0D", "E3": "0D2E0A", "E4": "0D2E0D", "E5": "0A2E0D0A", "E6": "0D0A2E0A", "E7": "0D2E0D0A",
    "E8": "0D0A2E0D78", "E9": "0D0A002E0D0A", "E10": "0D0A2E000D0A", "E11": "0D0A2E0D0D0A", "E12": "0D0D0A2E0D0D0A",
    "E14": "0A0D2E0D0A"}
CONTENT = {
    "E15": "0D0A202E0D0A", "E16": "0D0A2E200D0A", "E17": "0D0A2E090D0A", "E18": "0D0A2E2E0D0A", "E19a": "0B2E0B", "E19b": "0C2E0C",
    "E19c": "C2852EC285", "E19d": "E280A82EE280A8"}


@pytest.fixture(scope="module")
def strict(start_module):
    return start_module.relay(submission={"max_errors": 100}, queue={"max_message_size": "1M"})


@pytest.fixture(scope="module")
def lenient(start_module):
    return start_module.relay(submission={"max_errors": 100, "bare_newline": "normalize"})


def dialogue(relay, wire, parameters=" BODY=8BITMIME"):
    """Sends a message's octets after 354; the codes until the end of the session."""
    with Client(relay.endpoint) as client:
        client.transaction("ann@example.org", parameters=parameters)
        client.send(wire + b"QUIT\r\n")
        return client.rest()


def flushed(relay):
    """Sends a message of the test's own and waits until it is through: what came before it is through, too."""
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: ident in relay.sink.idents(), "the closing message")
    relay.herald.wait_empty()
    assert not [one for one in relay.sink.messages if one.sender.startswith("evil")], "smuggled"
    return relay.sink.messages


# With all fields that herald would add to a message of this machine.
HEAD = "Subject: t{0}From: <ann@example.org>{0}Date: Mon, 02 Nov 2026 10:00:00 +0000{0}Message-ID: {1}{0}{0}"


def frame(sequence, ident="<frame@example.org>"):
    return (HEAD.format("\r\n", ident) + "A").encode() + bytes.fromhex(sequence) + SMUGGLED


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_held(strict, name):
    ident = message_id()
    assert dialogue(strict, frame(REFUSED[name], ident)) == [550, 221]
    flushed(strict)
    assert ident not in strict.sink.idents()


@pytest.mark.parametrize("name", CONTENT)
def test_plain_content(strict, name):
    ident = message_id()
    wire = frame(CONTENT[name], ident)
    assert dialogue(strict, wire) == [250, 221]
    taken = next(one for one in flushed(strict) if one.ident == ident)
    expected = wire[:-3].replace(b"\r\n.", b"\r\n")
    assert taken.without_received() == expected


def test_e13_true_end_after_a_bare_cr(strict):
    """CR CRLF . CRLF does end the data: refused, and what follows is a genuine transaction."""
    ident = message_id()
    codes = dialogue(strict, frame("0D0D0A2E0D0A", ident).replace(b"evil@e.example", b"ann@example.org"))
    assert codes == [550, 250, 250, 354, 250, 221]
    assert ident not in [one.ident for one in flushed(strict)]


def test_refusal_names_the_reason(strict):
    with Client(strict.endpoint) as client:
        client.transaction()
        client.send(b"a\nb\r\n.\r\n")
        code, texts = client.reply()
        assert code == 550 and texts[0].startswith("5.5.2 ")
        client.quit()


@pytest.mark.parametrize("name", [*REFUSED, *CONTENT])
def test_normalize_has_the_same_end(lenient, name):
    """Bare LF may become CRLF in content; the end of data stays what it is."""
    sequence = {**REFUSED, **CONTENT}[name]
    ident = message_id()
    codes = dialogue(lenient, frame(sequence, ident))
    assert codes in ([250, 221], [550, 221])
    for taken in flushed(lenient):
        assert b"\n" not in taken.wire.replace(b"\r\n", b"") and b"\r" not in taken.wire.replace(b"\r\n", b"")


def test_normalize_makes_crlf(lenient):
    ident = message_id()
    assert dialogue(lenient, (HEAD.format("\n", ident) + "one\n.two\n\r\n.\r\n").encode()) == [250, 221]
    taken = next(one for one in flushed(lenient) if one.ident == ident)
    assert taken.without_received().startswith((HEAD.format("\r\n", ident) + "one\r\n").encode())


# The ends of data that the published scanners try (SEC Consult's SMTP-Smuggling-Tools, in and out; Hanno Boeck's smtpsmug;
# smtp_smuggling_checker), by the octets.
SCANNED = {
    "lf.lf": b"\n.\n", "lf.cr": b"\n.\r", "cr.lf": b"\r.\n", "cr.cr": b"\r.\r", "lf.crlf": b"\n.\r\n", "cr.crlf": b"\r.\r\n",
    "crlf.lf": b"\r\n.\n", "crlf.cr": b"\r\n.\r", "crlf.crcrlf": b"\r\n.\r\r\n", "crcrlf.crcrlf": b"\r\r\n.\r\r\n",
    "crlf0.crlf": b"\r\n\0.\r\n", "crlf.0crlf": b"\r\n.\0\r\n", "crlf0.lf": b"\r\n\0.\n", "crlf0.cr": b"\r\n\0.\r", "lflf.crlf": b"\n\n.\r\n"}


def silent(relay, client):
    """Nothing has come by the time that another client has been served."""
    with Client(relay.endpoint) as other:
        other.quit()
    client.sock.settimeout(0)
    with pytest.raises(BlockingIOError):
        client.sock.recv(1)
    client.sock.settimeout(60)
    return True


@pytest.mark.parametrize("name", SCANNED)
def test_scanner_that_waits_for_a_reply(strict, name):
    """A line, the sequence, and no reply; with the true end the message is refused, not taken with the sequence in it."""
    ident = message_id()
    with Client(strict.endpoint) as client:
        client.transaction()
        client.send(message(ident, b"a test mail\r\n") + SCANNED[name])
        assert silent(strict, client)
        client.send(b"behind it\r\n\r\n.\r\n")
        assert client.reply()[0] == 550
        client.quit()
    assert ident not in [one.ident for one in flushed(strict)]


@pytest.mark.parametrize("name", SCANNED)
def test_scanner_that_smuggles(strict, name):
    """The sequence on a line of its own, and a whole second transaction behind it: one reply, nothing taken."""
    first, second = message_id(), message_id()
    wire = (message(first, b"TESTING\r\n") + SCANNED[name] + b"\r\nmail FROM:<evil@e.example>\r\nrcpt TO:<v@h.example>\r\ndata\r\n"
            + message(second, b"SMUGGLED\r\n") + b".\r\n")
    assert dialogue(strict, wire) == [550, 221]
    assert not {first, second} & {one.ident for one in flushed(strict)}


@pytest.mark.parametrize("name", SCANNED)
def test_scanner_on_the_way_out(lenient, name):
    """What a lenient listener lets pass does not leave with the sequence in it."""
    ident = message_id()
    codes = dialogue(lenient, message(ident, b"START\r\n") + SCANNED[name] + b"\r\nEND\r\n.\r\n")
    assert codes in ([250, 221], [550, 221])
    taken = [one for one in flushed(lenient) if one.ident == ident]
    assert len(taken) == (codes[0] == 250)
    for one in taken:
        lines = one.wire.split(b"\r\n")
        assert not [line for line in lines if b"\r" in line or b"\n" in line or b"\0" in line]
        assert lines.count(b".") == 1 and one.wire.endswith(b"\r\nEND\r\n.\r\n")


def test_scanner_of_pipelining(strict):
    """What stands behind a true end is a transaction of its own, in order: RFC 2920 allows it."""
    first, second = message_id(), message_id()
    wire = (message(first) + b"\r\n.\r\nMAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n" + message(second) + b"\r\n.\r\n")
    assert dialogue(strict, wire) == [250, 250, 250, 354, 250, 221]
    assert {first, second} <= {one.ident for one in flushed(strict)}


def test_e20_empty_message(strict):
    assert dialogue(strict, b".\r\n") == [250, 221]
    assert dialogue(strict, b".\n" + SMUGGLED) == [550, 221]
    flushed(strict)


@pytest.mark.parametrize("limit", [998, 1000, 2048, 4096, 8192, 16384, 65536])
def test_e21_long_line_before_a_dot(strict, limit):
    """A line as long as some buffer, directly followed by ".": still one line."""
    for length in range(limit - 3, limit + 4):
        ident = message_id()
        wire = f"Subject: t\r\nMessage-ID: {ident}\r\n\r\n".encode() + b"x" * length + b".\r\n" + SMUGGLED
        codes = dialogue(strict, wire)
        assert len(codes) == 2 and codes[0] in ((250,) if length < 998 else (250, 500, 550, 552, 554)), (length, codes)
    flushed(strict)


@pytest.mark.parametrize("position", range(1, 5))
def test_e22_end_in_two_segments(strict, position):
    end = b"\r\n.\r\n"
    with Client(strict.endpoint) as client:
        client.transaction()
        client.send(b"Subject: t\r\n\r\ntext" + end[:position])
        assert client.buffer == b""
        with Client(strict.endpoint) as other:              # a turn of the loop passes in between
            other.quit()
        client.send(end[position:])
        assert client.reply()[0] == 250
        client.quit()


def test_e22_octet_by_octet(strict):
    ident = message_id()
    with Client(strict.endpoint) as client:
        client.transaction()
        for octet in message(ident, b"..a\r\n") + b".\r\n":
            client.send(bytes([octet]))
        assert client.reply()[0] == 250
        client.quit()
    flushed(strict)


def test_e23_oversize_then_dot_lf(strict):
    """After a message too large only the true end counts; HELP inside it is no command."""
    wire = b"Subject: t\r\n\r\n" + (b"x" * 76 + b"\r\n") * 20000 + b".\nHELP\r\nHELP\r\n.\r\n"
    codes = dialogue(strict, wire)
    assert codes in ([552, 221], [550, 221])
    flushed(strict)


def test_e25_closed_before_the_end(strict):
    for tail in (b"\r\n.\r", b"\r\n.", b"\r\n", b"", b"\r"):
        ident = message_id()
        with Client(strict.endpoint) as client:
            client.transaction()
            client.send(message(ident, b"text") + tail)
        flushed(strict)
        assert ident not in strict.sink.idents()


@pytest.mark.parametrize("line", [b"NOOP\nNOOP\r\n", b"EHLO a\rb\r\n", b"MAIL FROM:<a@example.org>\nRCPT TO:<b@example.net>\r\n", b"NO\0OP\r\n"])
def test_e26_bare_newlines_in_commands(strict, line):
    with Client(strict.endpoint) as client:
        client.hello()
        client.send(line)
        assert client.reply()[0] in (500, 501)
        client.send(b"QUIT\r\n")
        assert client.rest()[-1] in (221, 421)


def test_e26_commands_ended_by_lf_alone_do_nothing(strict):
    """A client that ends its commands with LF gets nowhere, and not a message in."""
    with connect(strict.endpoint) as sock:
        sock.sendall(b"EHLO x\nMAIL FROM:<evil@e.example>\nRCPT TO:<v@h.example>\nDATA\nSubject: x\n\nx\n.\nQUIT\n")
        sock.sendall(b"QUIT\r\n")
        octets = b""
        while True:
            part = sock.recv(4096)
            if not part:
                break
            octets += part
    assert b"\r\n250 2.0.0" not in octets and b"354" not in octets
    flushed(strict)


def test_outbound_is_canonical(strict):
    """E28: what leaves is CRLF lines, dots stuffed, one end."""
    ident = message_id()
    body = b".\r\n..\r\n...\r\n.x\r\nx.\r\n\r\n.\r\n"
    submit(strict.endpoint, message(ident, body))
    taken = next(one for one in flushed(strict) if one.ident == ident)
    assert taken.wire.endswith(b"\r\n.\r\n")
    assert all(line == b"." and position == len(taken.wire.split(b"\r\n")) - 2 or not line.startswith(b".") or line.startswith(b"..")
               for position, line in enumerate(taken.wire.split(b"\r\n")))
    assert taken.content.endswith(b"\r\n\r\n" + body)


def test_nothing_of_the_kind_over_the_unix_socket(start):
    relay = start.relay()
    relay.endpoint = os.path.join(relay.herald.runtime, "submit.sock")
    for name in ("E1", "E5", "E6", "E11"):
        assert dialogue(relay, frame(REFUSED[name])) == [550, 221]
    relay.endpoint = ("127.0.0.1", relay.port)
    flushed(relay)

