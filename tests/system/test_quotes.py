"""The quotes service (SPEC 4, RULES U): orders, files, and the guards that keep it from hurting others."""

import os
import random
import socket
import struct
import time

import pytest

from lib import conf
from lib.daemon import counters
from lib.net import TIMEOUT, free_port, readable, wait_until
from lib.smtp import Client

BOOKS = ["疯狂Python讲义", "疯狂Kotlin讲义", "疯狂Android讲义", "疯狂Swift讲义"]


def udp(source=("127.0.0.1", 0)):
    sock = socket.socket(socket.AF_INET6 if ":" in source[0] else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(TIMEOUT)
    sock.bind(source)
    return sock


def ask(port, request=b"?", host="127.0.0.1", source=None):
    with udp(source or ("::1" if ":" in host else "127.0.0.1", 0)) as sock:
        sock.sendto(request, (host, port))
        reply, address = sock.recvfrom(65536)
        assert address[:2] == (host, port), "answered from another address than was asked"
        return reply.decode()


def books(start, port=None, listen=None, **keys):
    port = port or free_port()
    keys = {"quotes": BOOKS, **keys} if "file" not in keys else keys
    return start.herald(conf.quotes("books", listen or f"127.0.0.1:{port}", **keys)), port


def count(one, key):
    return counters(one.status(), "quotes", "books")[key]


def test_sequential_has_one_cursor_for_all(start):
    _, port = books(start)
    for number in range(12):
        assert ask(port, source=(f"127.0.0.{2 + number % 3}", 0)) == BOOKS[number % 4]


def test_random_gives_members_and_not_always_the_same(start):
    _, port = books(start, order="random")
    given = [ask(port) for _ in range(100)]
    assert set(given) == set(BOOKS)
    assert given != (BOOKS * 25)


def test_daily_stays_the_same(start):
    _, port = books(start, order="daily")
    day = time.gmtime().tm_yday, time.localtime().tm_yday
    given = {ask(port) for _ in range(20)}
    if day == (time.gmtime().tm_yday, time.localtime().tm_yday):       # not across midnight
        assert len(given) == 1
    assert given <= set(BOOKS)


def test_file_of_lines(start):
    one = start.herald("", start=False)
    path = os.path.join(one.directory, "books.txt")
    with open(path, "w") as file:
        file.write("\n".join(BOOKS) + "\n")
    port = free_port()
    one.configure(conf.quotes("books", f"127.0.0.1:{port}", file=path, format="lines"))
    one.start()
    assert [ask(port) for _ in range(5)] == BOOKS + BOOKS[:1]


def test_file_of_fortunes(start):
    one = start.herald("", start=False)
    path = os.path.join(one.directory, "fortunes")
    with open(path, "w") as file:
        file.write("first\nof two lines\n%\nsecond\n%\n")
    port = free_port()
    one.configure(conf.quotes("books", f"127.0.0.1:{port}", file=path, format="fortune"))
    one.start()
    assert [ask(port).rstrip("\n") for _ in range(3)] == ["first\nof two lines", "second", "first\nof two lines"]


def test_reply_is_cut_at_a_code_point(start):
    """疯 is three octets: of eight octets two characters remain."""
    _, port = books(start, quotes=["疯疯疯疯", "abcdefghijkl"], max_reply=8)
    assert ask(port) == "疯疯"
    assert ask(port) == "abcdefgh"


def test_reply_is_cut_at_512_by_default(start):
    _, port = books(start, quotes=["x" * 2000])
    assert ask(port) == "x" * 512


def test_too_long_a_request_is_not_answered(start):
    one, port = books(start, max_request=64)
    with udp() as sock:
        sock.sendto(b"x" * 65, ("127.0.0.1", port))
        sock.sendto(b"x" * 64, ("127.0.0.1", port))
        assert sock.recv(512).decode() == BOOKS[0]      # the first quote: the long request took none
        assert not readable(sock)
    assert count(one, "too_long") == 1
    assert count(one, "answered") == 1


@pytest.mark.parametrize("length", [0, 1, 472, 4096])
def test_request_lengths(start, length):
    _, port = books(start)
    assert ask(port, b"x" * length) == BOOKS[0]


@pytest.mark.parametrize("source_port", [1, 7, 17, 19, 53, 123, 1023, 1900, 2049, 5353, 11211])
def test_reflector_ports_are_not_answered(start_books, source_port):
    """U1: nothing goes back to ports where services live."""
    one, port = start_books
    before = count(one, "refused_port")
    with udp(("127.0.0.9", source_port)) as sock:
        sock.sendto(b"?", ("127.0.0.1", port))
        ask(port)                                       # handled after the other, on the same socket
        assert not readable(sock)
    assert count(one, "refused_port") == before + 1


@pytest.fixture(scope="module")
def start_books(start_module):
    return books(start_module)


def raw_datagram(source, destination, payload=b"?"):
    """Sends a UDP datagram with a forged source."""
    header = struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(header), 0, 0, 64, socket.IPPROTO_UDP, 0,
                     socket.inet_aton(source[0]), socket.inet_aton(destination[0]))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        sock.sendto(ip + header, (destination[0], 0))


def test_source_port_zero_is_not_answered(start):
    one, port = books(start)
    raw_datagram(("127.0.0.1", 0), ("127.0.0.1", port))
    assert ask(port) == BOOKS[0]
    assert count(one, "refused_port") == 1


def test_own_port_is_not_answered(start):
    """Another herald would use the same port: never answer it."""
    port, second = free_port(), free_port()
    one, _ = books(start, listen=[f"127.0.0.1:{port}", f"127.0.0.1:{second}"])
    for own in (port, second):
        with udp(("127.0.0.9", own)) as sock:
            sock.sendto(b"?", ("127.0.0.1", port))
            ask(port)
            assert not readable(sock)
    assert count(one, "refused_port") == 2


def test_two_heralds_cannot_be_made_to_talk(start):
    """U2: one forged datagram between two heralds brings no further one (CVE-2024-2169)."""
    port = free_port()
    first, _ = books(start, listen=f"127.0.0.2:{port}", rate_exempt=["127.0.0.0/8"])
    second, _ = books(start, listen=f"127.0.0.3:{port}", rate_exempt=["127.0.0.0/8"])
    raw_datagram(("127.0.0.3", port), ("127.0.0.2", port))
    raw_datagram(("127.0.0.2", port), ("127.0.0.3", port))
    wait_until(lambda: count(first, "refused_port") == 1 and count(second, "refused_port") == 1, "both refused")
    assert count(first, "answered") == count(second, "answered") == 0


def test_an_echo_peer_is_held_by_the_rate(start):
    """U2: an echo service on a high port gets the burst and then the rate, not a storm."""
    one, port = books(start, rate="5/s", burst=10, rate_exempt=[])
    begin = time.monotonic()
    with udp() as echo:
        echo.sendto(b"?", ("127.0.0.1", port))
        for _ in range(10):
            reply, address = echo.recvfrom(4096)
            echo.sendto(reply, address)
        wait_until(lambda: count(one, "limited") >= 1, "the echo is limited")
    assert count(one, "answered") <= 10 + 5 * (time.monotonic() - begin) + 1


def test_rate_and_burst(start):
    one, port = books(start, rate="1/m", burst=3, rate_exempt=[], allow=["127.0.0.0/8"])
    with udp() as sock:
        for _ in range(20):
            sock.sendto(b"?", ("127.0.0.1", port))
        wait_until(lambda: count(one, "limited") + count(one, "answered") == 20, "20 requests counted")
        assert (count(one, "answered"), count(one, "limited")) == (3, 17)
        assert [sock.recv(512).decode() for _ in range(3)] == BOOKS[:3]
        assert not readable(sock)


def test_rate_is_per_prefix(start):
    """Another address of the same /24 shares the bucket, another /24 has its own."""
    one, port = books(start, rate="1/m", burst=2, rate_exempt=[])
    assert ask(port, source=("127.0.1.1", 0)) == BOOKS[0]
    assert ask(port, source=("127.0.1.200", 0)) == BOOKS[1]
    with udp(("127.0.1.77", 0)) as sock:
        sock.sendto(b"?", ("127.0.0.1", port))
        assert ask(port, source=("127.0.2.1", 0)) == BOOKS[2]
        assert not readable(sock)
    assert count(one, "limited") == 1


def test_loopback_is_exempt_by_default(start):
    one, port = books(start, rate="1/m", burst=1)
    for number in range(50):
        assert ask(port) == BOOKS[number % 4]
    assert count(one, "limited") == 0


def test_allow_and_deny(start):
    one, port = books(start, allow=["127.0.0.0/8"], deny=["127.0.0.66/32"])
    with udp(("127.0.0.66", 0)) as sock:
        sock.sendto(b"?", ("127.0.0.1", port))
        assert ask(port) == BOOKS[0]
        assert not readable(sock)
    assert count(one, "denied") == 1


def test_answers_come_from_the_address_asked(start):
    """U7: a wildcard socket answers from 127.0.0.2 when that was asked; ask() checks it."""
    port = free_port()
    books(start, listen=f"*:{port}")
    assert ask(port, host="127.0.0.2") == BOOKS[0]
    assert ask(port, host="127.0.0.77") == BOOKS[1]
    assert ask(port, host="::1") == BOOKS[2]


def test_ipv6(start):
    port = free_port()
    books(start, listen=f"[::1]:{port}")
    assert ask(port, host="::1") == BOOKS[0]


def test_broadcast_is_not_answered(start):
    """U6: a request to 127.255.255.255 reaches a wildcard socket and stays without answer."""
    port = free_port()
    one, _ = books(start, listen=f"*:{port}")
    with udp() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.sendto(b"?", ("127.255.255.255", port))
        assert ask(port) == BOOKS[0]
        assert not readable(sock)
    assert count(one, "answered") == 1


def test_amplification_limit(start):
    """A reply longer than max_amplification times the request is not sent whole, or not at all."""
    one, port = books(start, quotes=["x" * 100], max_amplification=2)
    with udp() as sock:
        sock.sendto(b"?" * 10, ("127.0.0.1", port))
        sock.sendto(b"?" * 50, ("127.0.0.1", port))
        replies = [sock.recv(512)]
        wait_until(lambda: sum(counters(one.status(), "quotes", "books")[key] for key in ("answered", "amplifies")) >= 2,
                   "both requests counted")
        while readable(sock):
            replies.append(sock.recv(512))
    assert replies[-1] == b"x" * 100
    assert all(len(reply) <= 20 for reply in replies[:-1])


def test_requests_are_logged_when_asked_for(start):
    one, port = books(start, log_requests=True)
    ask(port, "《书》\x1b[31m\r\nherald[1]: forged".encode())
    match = one.wait_log(r"quotes\[\d+\]: books: .*127\.0\.0\.1.*$")
    assert "\x1b" not in one.log()
    assert "forged" in match.group(0)
    assert "\nherald[1]" not in one.log()


def test_counters_and_summary_line(start):
    one, port = books(start)
    for _ in range(7):
        ask(port)
    assert count(one, "answered") == 7
    with udp(("127.0.0.9", 1000)) as sock:
        sock.sendto(b"?", ("127.0.0.1", port))
        wait_until(lambda: count(one, "refused_port") == 1, "the refusal is counted")


def test_a_flood_does_not_hold_the_loop(start):
    """At most 64 datagrams a turn: SMTP answers while datagrams come as fast as one sender can."""
    port, smtp_port = free_port(), free_port()
    one = start.herald(conf.quotes("books", f"127.0.0.1:{port}", quotes=BOOKS)
                       + conf.mail(smtp_port, "127.0.0.1:9"), default_relay="smarthost")
    child = os.fork()
    if child == 0:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        while True:
            try:
                sock.send(b"?" * random.randint(1, 40))
            except OSError:
                pass
    try:
        wait_until(lambda: count(one, "answered") > 1000, "the flood has begun")
        times = []
        with Client(("127.0.0.1", smtp_port)) as client:
            for _ in range(200):
                begin = time.monotonic()
                assert client.code("NOOP") == 250
                times.append(time.monotonic() - begin)
        times.sort()
        assert times[100] < 0.25 and times[-1] < TIMEOUT / 4, times[-5:]
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
