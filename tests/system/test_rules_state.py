"""The state of a session with BDAT, STARTTLS and AUTH in it (RULES D1, D7, D8); test_session.py has the rest of section D."""

import itertools
import random
import re
import socket
import struct

import pytest

from lib.daemon import sanitized
from lib.net import connect, wait_until
from lib.secure import offers, users_file
from lib.smtp import Client, message, message_id, stuffed, submit


@pytest.fixture(scope="module")
def relay(start_module, certificates):
    users = users_file(start_module.directory)
    one = start_module.relay(submission=offers(certificates, users=users), queue={"max_message_size": "64K"})
    return one


@pytest.fixture
def client(relay):
    with Client(relay.endpoint) as one:
        one.hello()
        yield one
        one.quit()


def flushed(relay):
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: ident in relay.sink.idents(), "the closing message")
    relay.herald.wait_empty()
    return relay.sink.messages


def begun(client):
    assert client.code("MAIL FROM:<ann@example.org>") == 250
    assert client.code("RCPT TO:<bob@example.net>") == 250


@pytest.mark.parametrize("size", ["zzz", "-1", "", "99999999999999999999", "1e3", "0x10", "+1", "1,000", "1 FIRST", "1 LAST x", "1 LASTX"])
def test_d1_bdat_with_a_bad_size(relay, size):
    """501 and 421: nobody knows where the chunk ends, and what follows may not be commands (RULES E, rule 6)."""
    with Client(relay.endpoint) as client:
        client.hello()
        begun(client)
        client.send(f"BDAT {size}\r\nMAIL FROM:<evil@e.example>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nx\r\n.\r\n".encode())
        assert client.rest() == [501, 421]


@pytest.mark.parametrize("last", ["", " LAST"])
def test_d1_bdat_over_the_limit(client, last):
    """The octets of the chunk are read and dropped, then one 552; DATA behind it is out of order."""
    begun(client)
    client.send(f"BDAT 70000{last}\r\n".encode() + b"NOOP\r\n" * 11666 + b"NOOP")
    assert client.reply()[0] == 552
    assert client.code("DATA") == 503
    client.send(b"BDAT 1 LAST\r\nx")
    assert client.reply()[0] == 503
    begun(client)
    assert client.code("RSET") == 250


def test_d1_bdat_without_a_transaction(client):
    """503 once for each, behind the octets that it counts."""
    client.send(b"BDAT 12\r\nNOOP\r\nQUIT\r\nNOOP\r\n")
    assert [client.reply()[0] for _ in range(2)] == [503, 250]
    assert client.code("MAIL FROM:<ann@example.org>") == 250
    client.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    assert client.reply()[0] in (503, 554)
    assert client.reply()[0] == 250
    assert client.code("RSET") == 250


def test_d1_data_between_chunks(relay, client):
    """RFC 3030 2: DATA behind BDAT is 503; RSET drops what came."""
    ident = message_id()
    content = message(ident)
    begun(client)
    client.send(b"BDAT 6\r\nX: a\r\n")
    assert client.reply()[0] == 250
    assert client.code("DATA") == 503
    assert client.code("MAIL FROM:<bob@example.org>") == 503
    assert client.code("RSET") == 250
    assert client.code("BDAT 0 LAST") == 503
    begun(client)
    client.send(b"BDAT %d LAST\r\n%s" % (len(content), content))
    assert client.reply()[0] == 250
    taken = [one for one in flushed(relay) if one.ident == ident]
    assert len(taken) == 1 and taken[0].without_received() == content


def test_empty_last_chunk(relay, client):
    """RFC 3030 3: BDAT 0 LAST ends what came before."""
    ident = message_id()
    content = message(ident)
    begun(client)
    client.send(b"BDAT %d\r\n%s" % (len(content), content))
    assert client.reply()[0] == 250
    assert client.code("BDAT 0 LAST") == 250
    assert client.code("BDAT 0 LAST") == 503
    taken = [one for one in flushed(relay) if one.ident == ident]
    assert len(taken) == 1 and taken[0].without_received() == content


@pytest.mark.parametrize("command", ["AUTH PLAIN AGFubgBzZWNyZXQ=", "AUTH LOGIN", "STARTTLS"])
def test_d7_in_a_transaction(relay, client, command):
    ident = message_id()
    assert client.code("MAIL FROM:<ann@example.org>") == 250
    assert client.code(command) == 503
    assert client.code("RCPT TO:<bob@example.net>") == 250
    assert client.code(command) == 503
    assert client.code("DATA") == 354
    client.send(stuffed(message(ident)))
    assert client.reply()[0] == 250
    assert ident in [one.ident for one in flushed(relay)]


def by_data(content):
    return b"DATA\r\n" + stuffed(content)


def by_bdat(content):
    return b"BDAT 20\r\n" + content[:20] + b"BDAT %d LAST\r\n" % (len(content) - 20) + content[20:]


def is_whole(sent):
    """Whether the octets hold a message to its end, which QUIT itself may complete."""
    last = re.search(rb"BDAT (\d+) LAST\r\n", sent)
    return b"\r\n.\r\n" in sent if last is None else len(sent) - last.end() >= int(last.group(1))


@pytest.mark.parametrize("form", [by_data, by_bdat])
@pytest.mark.parametrize("ending", ["quit", "end-of-file", "reset"])
def test_d8_cut_at_each_octet(relay, form, ending):
    """A full session cut behind its n-th octet, for every n: QUIT, EOF or a reset instead of the rest.

    What was not whole is held; what was acknowledged is there, once."""
    def wire(ident):
        return (b"EHLO x.example.org\r\nMAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\n" + form(message(ident, b"x\r\n")) + b"QUIT\r\n")
    length = len(wire(f"<{form.__name__}-{ending}-0000@client.example.org>"))
    whole, acknowledged = set(), set()
    for position in range(length + 1):
        ident = f"<{form.__name__}-{ending}-{position:04d}@client.example.org>"
        sent = wire(ident)[:position] + (b"\r\nQUIT\r\n" if ending == "quit" else b"")
        if is_whole(sent):
            whole.add(ident)
        with connect(relay.endpoint) as sock:
            sock.sendall(sent)
            octets = b""
            try:
                if ending == "reset":
                    octets = sock.recv(4096)                 # it has been read, in part at least
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    sock.shutdown(socket.SHUT_WR)
                    while part := sock.recv(4096):
                        octets += part
            except ConnectionResetError:
                pass
            if b"queued as" in octets:
                acknowledged.add(ident)
    idents = [one.ident for one in flushed(relay) if one.ident and one.ident.startswith(f"<{form.__name__}-{ending}-")]
    assert len(idents) == len(set(idents)), "taken twice"
    assert acknowledged <= set(idents) <= whole
    # A CRLF of QUIT that completes a chunk may leave a bare CR in it, which is refused.
    assert ending == "reset" or (ending == "quit" and form is by_bdat) or acknowledged == whole
    assert relay.herald.queue() == []


def test_d9_random_sessions(relay):
    """Verbs in any order, chunks and content among them, whole sessions in one segment: as many replies as commands, in step."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    verbs = [b"EHLO x\r\n", b"HELO x\r\n", b"MAIL FROM:<a@example.org>\r\n", b"MAIL FROM:<a\r\n", b"RCPT TO:<b@example.net>\r\n", b"RCPT TO:<b\r\n",
             b"BDAT 7\r\nQUIT\r\n.", b"BDAT 6 LAST\r\nX: y\r\n", b"BDAT 5 LAST\r\na\nb\r\n", b"BDAT 70000\r\n" + b"x" * 70000, b"RSET\r\n", b"NOOP\r\n",
             b"AUTH PLAIN =\r\n", b"AUTH NONE\r\n", b"STARTTLS x\r\n", b"JUNK\r\n", b"VRFY b\r\n", b"HELP\r\n"]
    for number in range(20 if sanitized() else 100):
        commands = [chance.choice(verbs) for _ in range(chance.randrange(6, 40))]
        with Client(relay.endpoint) as client:
            client.send(b"".join(commands) + b"QUIT\r\n")
            codes = client.rest()
        assert codes[-1] in (221, 421), (seed, number, codes)
        assert codes[-1] == 421 or len(codes) == len(commands) + 1, (seed, number, commands, codes)
    for one in flushed(relay):
        if one.sender == "a@example.org":
            own = re.sub(rb"(?m)^(Date|From|Message-ID): [^\r\n]*\r\n", b"", one.without_received())
            assert re.fullmatch(rb"(QUIT\r\n\.)*X: y", own.strip(b"\r\n")), one.content
    assert relay.herald.alive()


def test_d10_pipelined_around_starttls(relay):
    """RFC 2920 3.1: STARTTLS and AUTH are the last of their group; replies to what stands before them come all."""
    for tail in itertools.product([b"NOOP\r\n", b"RSET\r\n"], repeat=3):
        with Client(relay.endpoint) as client:
            client.send(b"EHLO x\r\n" + b"".join(tail) + b"STARTTLS\r\n")
            assert [client.reply()[0] for _ in range(5)] == [250, 250, 250, 250, 220]
