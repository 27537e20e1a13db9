"""STARTTLS and TLS of a submission listener (RULES T1 to T5, T12): what came in the clear counts for nothing inside."""

import base64
import socket
import ssl
import threading

import pytest

from lib.net import connect, read_all, wait_until
from lib.secure import PASSWORD, USER, SecureClient, offers, users_file
from lib.smtp import Client, message, message_id, stuffed, submit

PLAIN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def relay(start_module, certificates):
    users = users_file(start_module.directory)
    one = start_module.relay(submission=offers(certificates, users=users, proxies=["127.0.0.9/32"], allow=["127.0.0.0/8", "192.0.2.0/24"]))
    one.ca = certificates.ca
    return one


@pytest.fixture(scope="module")
def implicit(start_module, certificates):
    one = start_module.relay(submission=offers(certificates, "implicit", users=users_file(start_module.directory)))
    one.ca = certificates.ca
    return one


def nothing_queued(relay):
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: ident in relay.sink.idents(), "the closing message")
    relay.herald.wait_empty()
    assert not [one for one in relay.sink.messages if one.sender.startswith("evil")], "injected"


def closed_or_clean(client):
    """The handshake fails, or the first reply inside TLS is that to the first command inside TLS."""
    try:
        client.handshake()
        client.send(b"VRFY bob\r\n")
        return client.reply()[0] in (252, 503)
    except (OSError, EOFError, ssl.SSLError):
        return True


TAILS = [b"NOOP\r\n", b"MAIL FROM:<evil@example.org>\r\n", f"AUTH PLAIN {PLAIN}\r\n".encode(), b"RSET\r\n", b"x",
         b"EHLO evil\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nx\r\n.\r\n"]
IDS = ["noop", "mail", "auth", "rset", "octet", "message"]


@pytest.mark.parametrize("tail", TAILS, ids=IDS)
def test_t1_behind_starttls_in_one_segment(relay, tail):
    """Nothing behind the command is taken as said inside TLS."""
    with SecureClient(relay.endpoint, relay.ca) as client:
        client.hello()
        client.send(b"STARTTLS\r\n" + tail)
        try:
            assert client.reply()[0] in (220, 421, 500, 501, 503, 554)
        except (EOFError, ConnectionResetError):
            pass
        assert client.buffer == b"", "a reply to what stood behind STARTTLS"
        assert closed_or_clean(client)
    nothing_queued(relay)


@pytest.mark.parametrize("delay", [0, 0.001, 0.01, 0.1])
@pytest.mark.parametrize("tail", TAILS, ids=IDS)
def test_t2_in_the_clear_after_the_220(relay, tail, delay):
    """The delay is the test's matter: it decides in which state of the handshake the octets arrive."""
    with SecureClient(relay.endpoint, relay.ca) as client:
        client.hello()
        assert client.code("STARTTLS") == 220
        threading.Event().wait(delay)
        try:
            client.send(tail)
            assert closed_or_clean(client)
        except OSError:
            pass
    nothing_queued(relay)


def test_t3_all_is_forgotten(relay):
    """RFC 3207 4.2: no name, no sender, no authentication of before; STARTTLS is offered no more."""
    with SecureClient(relay.endpoint, relay.ca) as client:
        assert "STARTTLS" in client.hello()
        assert client.code("STARTTLS") == 220
        client.handshake()
        assert client.code("MAIL FROM:<ann@example.org>") == 503
        assert client.code("RCPT TO:<bob@example.net>") == 503
        assert client.code("DATA") == 503
        texts = client.hello()
        assert "STARTTLS" not in texts and any(text.startswith("AUTH ") for text in texts)
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        client.quit()


def test_t3_authentication_is_forgotten(relay):
    """AUTH in the clear, which loopback may, does not last into TLS."""
    with SecureClient(relay.endpoint, relay.ca) as client:
        client.hello()
        assert client.code(f"AUTH PLAIN {PLAIN}") == 235
        assert client.code("STARTTLS") in (220, 503)
        client.handshake()
        client.hello()
        assert client.code(f"AUTH PLAIN {PLAIN}") == 235, "taken again: it was forgotten"
        client.quit()


def test_t4_out_of_place(relay):
    with SecureClient(relay.endpoint, relay.ca) as client:
        client.hello()
        assert client.code("STARTTLS x") == 501
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        assert client.code("STARTTLS") == 503
        assert client.code("RSET") == 250
        assert client.code("STARTTLS") == 220
        client.handshake()
        client.hello()
        assert client.code("STARTTLS") in (502, 503)
        client.quit()


def test_t4_over_implicit_tls(implicit):
    with SecureClient(implicit.endpoint, implicit.ca, implicit=True) as client:
        assert "STARTTLS" not in client.hello()
        assert client.code("STARTTLS") in (502, 503)
        client.transaction()
        client.send(stuffed(message()))
        assert client.reply()[0] == 250
        client.quit()
    assert b"with ESMTPS" in implicit.sink.wait_messages(1)[0].content


def proxied(relay, line=b"PROXY TCP4 192.0.2.9 192.0.2.1 40000 25\r\n"):
    """A client off loopback, as one of the listed proxies tells."""
    client = SecureClient(relay.endpoint, relay.ca, banner=False, source=("127.0.0.9", 0))
    client.send(line)
    assert client.reply()[0] == 220
    return client


@pytest.mark.parametrize("command", [f"AUTH PLAIN {PLAIN}", "AUTH LOGIN", "AUTH PLAIN"])
def test_t5_no_auth_in_the_clear_off_loopback(relay, command):
    """Not listed, refused without a challenge; inside TLS it works."""
    with proxied(relay) as client:
        texts = client.hello()
        assert "STARTTLS" in texts and not any(text.startswith("AUTH") for text in texts)
        assert client.code(command) in (502, 503, 530, 538)
        assert client.code("STARTTLS") == 220
        client.handshake()
        assert any(text.startswith("AUTH ") for text in client.hello())
        assert client.code(f"AUTH PLAIN {PLAIN}") == 235
        client.quit()
    assert PLAIN not in relay.herald.log() and PASSWORD not in relay.herald.log()


@pytest.mark.parametrize("octets", [b"EHLO x\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"SSH-2.0-x\r\n", b"\0" * 600, b"\x80\x2e\x01\0\x02",
                                    b"\x16\x03\x01\x40\x00" + b"\x01" * 20000], ids=["smtp", "http", "hello", "ssh", "nul", "sslv2", "large"])
def test_t12_what_is_no_handshake(implicit, octets):
    """Closed without a reply in the clear but, at most, an alert; the next client is served."""
    with connect(implicit.endpoint) as sock:
        try:
            sock.sendall(octets)
            sock.shutdown(socket.SHUT_WR)
            said = read_all(sock)
        except OSError:
            said = b""
    assert said == b"" or said[0] == 21, said
    with SecureClient(implicit.endpoint, implicit.ca, implicit=True) as client:
        client.hello()
        client.quit()


@pytest.mark.slow
def test_handshake_has_a_deadline(relay, implicit):
    """Clients that never begin, and that stop within their ClientHello: closed without a long wait, all at the same time."""
    waiting = []
    for part in (b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        waiting.append(connect(implicit.endpoint, timeout=90))
        client = Client(relay.endpoint)
        client.hello()
        assert client.code("STARTTLS") == 220
        waiting.append(client.sock)
        for sock in waiting[-2:]:
            sock.settimeout(90)
            sock.sendall(part)
    for sock in waiting:
        try:
            read_all(sock)                                   # returns: the daemon has closed
        except ConnectionResetError:
            pass
        sock.close()


def test_garbage_in_a_handshake_hurts_no_other(relay):
    """V25 on the server's side: one queue of errors of the library, many clients."""
    ident = message_id()
    with SecureClient(relay.endpoint, relay.ca) as honest:
        honest.starttls()
        assert honest.code("MAIL FROM:<ann@example.org>") == 250
        assert honest.code("RCPT TO:<bob@example.net>") == 250
        assert honest.code("DATA") == 354
        for line in message(ident, b"line\r\n" * 100).splitlines(keepends=True):
            with Client(relay.endpoint) as other:
                other.hello()
                assert other.code("STARTTLS") == 220
                other.send(b"\x16\x03\x01\x00\x10" + b"\xff" * 40)
                honest.send(line)
        honest.send(b".\r\n")
        assert honest.reply()[0] == 250
        honest.quit()
    wait_until(lambda: ident in relay.sink.idents(), "the message")
    assert relay.sink.idents().count(ident) == 1
