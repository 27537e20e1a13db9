"""The state of an SMTP session (RULES D, T): each error leaves it in one known place."""

import itertools

import pytest

from lib.net import connect, wait_until
from lib.smtp import Client, message, message_id, stuffed, submit


@pytest.fixture(scope="module")
def relay(start_module):
    return start_module.relay(submission={"max_errors": 300}, queue={"max_message_size": "64K"})


def flushed(relay):
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: ident in relay.sink.idents(), "the closing message")
    relay.herald.wait_empty()
    return relay.sink.messages


@pytest.fixture
def client(relay):
    with Client(relay.endpoint) as one:
        one.hello()
        yield one
        one.quit()


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"x" * 70 + (b"y" * 70 + b"\r\n") * 2000,
                                     b"Received: from a by b; Mon, 02 Nov 2026 10:00:00 +0000\r\n" * 120], ids=["bare", "size", "hops"])
def test_d2_after_a_refused_end_of_data(client, content):
    """D2: the transaction is over: RCPT and DATA are out of order."""
    client.transaction()
    client.send(content + b".\r\n")
    assert client.reply()[0] in (550, 552, 554)
    assert client.code("RCPT TO:<a@b.example>") == 503
    assert client.code("DATA") == 503


def test_d2_after_an_accepted_end_of_data(client):
    client.transaction()
    client.send(stuffed(message()))
    assert client.reply()[0] == 250
    assert client.code("RCPT TO:<a@b.example>") == 503
    assert client.code("DATA") == 503


def test_d3_address_refused(client):
    assert client.code("MAIL FROM:<é@example.org>") in (501, 553)
    assert client.code("RCPT TO:<bob@example.net>") == 503
    assert client.code("VRFY é") in (252, 501, 550, 553)
    assert client.code("DATA") == 503


def test_d4_mail_twice(relay, client):
    """The second is refused; the message goes out from the first sender, never from a mixture."""
    ident = message_id()
    assert client.code("MAIL FROM:<first@example.org>") == 250
    assert client.code("RCPT TO:<one@example.net>") == 250
    assert client.code("MAIL FROM:<second@example.org>") == 503
    if client.code("DATA") == 354:
        client.send(stuffed(message(ident)))
        assert client.reply()[0] == 250
        taken = next(one for one in flushed(relay) if one.ident == ident)
        assert (taken.sender, taken.recipients) == ("first@example.org", ["one@example.net"])


@pytest.mark.parametrize("greeting", ["EHLO again.example.org", "HELO again.example.org"])
def test_d5_hello_ends_the_transaction(client, greeting):
    assert client.code("MAIL FROM:<ann@example.org>") == 250
    assert client.code("RCPT TO:<bob@example.net>") == 250
    assert client.code(greeting) == 250
    assert client.code("DATA") == 503
    assert client.code("RCPT TO:<bob@example.net>") == 503


@pytest.mark.parametrize("position", range(4))
def test_d6_rset_between_each_pair(relay, client, position):
    """RSET after step n: the rest is out of order, and a whole transaction works again."""
    steps = ["NOOP", "MAIL FROM:<ann@example.org>", "RCPT TO:<bob@example.net>", "RCPT TO:<carol@example.net>"]
    for step in steps[:position + 1]:
        assert client.code(step) == 250
    assert client.code("RSET") == 250
    assert client.code("RCPT TO:<bob@example.net>") == 503
    assert client.code("DATA") == 503
    ident = message_id()
    assert client.code("MAIL FROM:<dora@example.org>") == 250
    assert client.code("RCPT TO:<emil@example.net>") == 250
    assert client.code("DATA") == 354
    client.send(stuffed(message(ident)))
    assert client.reply()[0] == 250
    taken = next(one for one in flushed(relay) if one.ident == ident)
    assert (taken.sender, taken.recipients) == ("dora@example.org", ["emil@example.net"])


def test_d8_closed_after_each_octet(relay):
    """A full session, cut off after its n-th octet for every n: queued only what was acknowledged."""
    sessions = b"EHLO x.example.org\r\nMAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
    acknowledged, sent = set(), {}
    length = len(sessions + stuffed(message(message_id())) + b"QUIT\r\n")
    for position in range(length + 1):
        ident = f"<cut-{position:04d}@client.example.org>"
        wire = (sessions + stuffed(message(ident)) + b"QUIT\r\n")[:position]
        sent[ident] = b"\r\n.\r\n" in wire
        with connect(relay.endpoint) as sock:
            sock.sendall(wire)
            if position % 2:
                sock.shutdown(1)                              # half of them wait for the replies
                octets = b""
                try:
                    while part := sock.recv(4096):
                        octets += part
                except ConnectionResetError:
                    pass
                if b"queued as" in octets:
                    acknowledged.add(ident)
    taken = {one.ident for one in flushed(relay) if one.ident and one.ident.startswith("<cut-")}
    assert acknowledged <= taken, "acknowledged and lost"
    assert acknowledged, "no session came to its end"
    assert all(sent[ident] for ident in taken), "taken without its end of data"
    assert len([one for one in relay.sink.messages if one.ident in taken]) == len(taken), "taken twice"


def test_d10_all_recipients_refused(start):
    """MAIL, 100 refused RCPT and DATA in one segment: DATA is refused and what follows it is commands (RFC 2920)."""
    relay = start.relay(submission={"allow": ["127.0.0.2/32"], "max_errors": 1000})
    with Client(relay.endpoint) as client:
        client.hello()
        client.send(b"MAIL FROM:<a@example.org>\r\n" + b"RCPT TO:<b@example.net>\r\n" * 100 + b"DATA\r\nNOOP\r\nQUIT\r\n")
        codes = client.rest()
    assert codes[0] in (250, 554) and codes[1:101] == [554 if codes[0] == 250 else 503] * 100
    assert codes[101] in (503, 554) and codes[102:] == [250, 221]


def test_d10_some_recipients_refused(relay, client):
    """One good among bad ones: the message goes to that one."""
    ident = message_id()
    client.send(b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<bad\r\nRCPT TO:<good@example.net>\r\nRCPT TO:nonsense here\r\nDATA\r\n")
    assert [client.reply()[0] for _ in range(5)] == [250, 501, 250, 501, 354]
    client.send(stuffed(message(ident)))
    assert client.reply()[0] == 250
    assert next(one for one in flushed(relay) if one.ident == ident).recipients == ["good@example.net"]


def test_client_that_talks_before_the_greeting(relay):
    """Either it is served in order, or it is refused as a whole; never out of step."""
    with connect(relay.endpoint) as sock:
        sock.sendall(b"EHLO x\r\nNOOP\r\nQUIT\r\n")
        octets = b""
        while part := sock.recv(4096):
            octets += part
    finals = [int(line[:3]) for line in octets.split(b"\r\n") if line and line[3:4] == b" "]
    assert finals in ([220, 250, 250, 221], [554], [421])


@pytest.mark.parametrize("tail", [b"NOOP\r\n", b"MAIL FROM:<ann@example.org>\r\n", b"RSET\r\n"])
def test_t1_text_after_starttls(relay, tail):
    """STARTTLS is not offered and is refused: the commands after it are ordinary ones."""
    with Client(relay.endpoint) as client:
        client.hello()
        client.send(b"STARTTLS\r\n" + tail + b"QUIT\r\n")
        assert client.rest() == [502, 250, 221]


@pytest.mark.parametrize("command", [b"AUTH PLAIN AGFubgBzZWNyZXQ=", b"AUTH LOGIN", b"AUTH"])
def test_t5_auth_is_not_offered(relay, command):
    """Refused at once, no challenge, and what the client said is not in the log."""
    with Client(relay.endpoint) as client:
        client.hello()
        assert client.code(command) == 502
        client.quit()
    assert "AGFubgBzZWNyZXQ" not in relay.herald.log()


VERBS = [b"EHLO x", b"HELO x", b"MAIL FROM:<a@example.org>", b"MAIL FROM:<a", b"RCPT TO:<b@example.net>", b"RCPT TO:<b", b"DATA",
         b"RSET", b"NOOP", b"JUNK"]


def model(commands):
    """What RFC 5321 says about a sequence of commands: the class of each reply."""
    hello = mail = False
    recipients = 0
    for command in commands:
        verb = command[:4]
        if verb in (b"EHLO", b"HELO"):
            hello, mail, recipients = True, False, 0
            yield 2
        elif verb == b"RSET":
            mail, recipients = False, 0
            yield 2
        elif verb == b"NOOP":
            yield 2
        elif verb == b"MAIL":
            good = hello and not mail and command.endswith(b">")
            mail = mail or good
            yield 2 if good else 5
        elif verb == b"RCPT":
            good = mail and command.endswith(b">")
            recipients += good
            yield 2 if good else 5
        elif verb == b"DATA":
            good = mail and recipients > 0
            if good:
                mail, recipients = False, 0
                yield 3
                yield 2
            else:
                yield 5
        else:
            yield 5


def test_d9_sequences_against_the_model(relay):
    """Every sequence of three commands, pipelined; the exhaustive check of five runs on the engine itself."""
    sequences = list(itertools.product(VERBS, repeat=3))
    for part in range(0, len(sequences), 50):
        commands, wire = [], b""
        with Client(relay.endpoint) as client:
            for sequence in sequences[part:part + 50]:
                commands += [b"EHLO x", b"RSET", *sequence]
            expected = list(model(commands))
            # DATA takes content only where the model says 3: text follows exactly there.
            replies = iter(expected)
            for command in commands:
                wire += command + b"\r\n"
                if next(replies) == 3:
                    next(replies)
                    wire += b"Subject: t\r\n\r\nx\r\n.\r\n"
            client.send(wire + b"QUIT\r\n")
            codes = client.rest()
        assert [code // 100 for code in codes[:-1]] == expected
        assert codes[-1] == 221
