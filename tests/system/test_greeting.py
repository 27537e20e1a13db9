"""The greeting service (SPEC 4): the text arrives whole, whatever the client does, and nobody is harmed by a bad client."""

import os
import re
import socket
import ssl
import struct
import time

import pytest

from lib import conf
from lib.daemon import counters, run
from lib.net import TIMEOUT, connect, fetch, free_port, read_all, wait_until

TEXT = "您好，您收到了服务器的新年祝福！"


def welcome(listen, text=TEXT, **keys):
    return conf.greeting("welcome", listen, text=text, **keys)


def reset(sock):
    """Closes with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_text_on_every_kind_of_socket(start):
    port = free_port()
    one = start.herald(welcome([f"127.0.0.1:{port}", f"[::1]:{port}", "unix:greeting.sock"]))
    for endpoint in (("127.0.0.1", port), ("::1", port), os.path.join(one.runtime, "greeting.sock")):
        assert fetch(endpoint) == TEXT.encode(), endpoint
    wait_until(lambda: one.status(), "status")


def test_wildcard_listens_on_both_families(start):
    port = free_port()
    start.herald(welcome(f"*:{port}"))
    assert fetch(("127.0.0.1", port)) == TEXT.encode()
    assert fetch(("::1", port)) == TEXT.encode()


@pytest.mark.parametrize("text", ["one line", "line\r\nline\r\n", "a\tb", "x" * 60000], ids=["line", "lines", "tab", "long"])
def test_text_is_sent_exactly_as_written(start, text):
    one = start.herald("", start=False)
    with open(os.path.join(one.directory, "text"), "wb") as file:
        file.write(text.encode())
    port = free_port()
    one.configure(conf.greeting("welcome", f"127.0.0.1:{port}", file=file.name))
    one.start()
    assert fetch(("127.0.0.1", port)) == text.encode()


def test_variables(start):
    port = free_port()
    start.herald(welcome(f"127.0.0.1:{port}", "%{client_address}|%{client_port}|%{hostname}|%{time}|100 %%|%%{time}"))
    with connect(("127.0.0.1", port), source=("127.0.0.5", 0)) as sock:
        own_port = sock.getsockname()[1]
        fields = read_all(sock).decode().split("|")
    assert fields[:3] == ["127.0.0.5", str(own_port), "herald.example.org"]
    assert str(time.localtime().tm_year) in fields[3]
    assert fields[4:] == ["100 %", "%{time}"]


def test_unknown_variable_is_a_fault(start):
    one = start.herald(welcome(f"127.0.0.1:{free_port()}", "%{colour}"), start=False)
    done = run("heraldd", "-t", "-c", one.conffile)
    assert done.returncode == 78 and b"colour" in done.stderr


def test_several_blocks(start):
    first, second = free_port(), free_port()
    start.herald(conf.greeting("one", f"127.0.0.1:{first}", text="one") + conf.greeting("two", f"127.0.0.1:{second}", text="two"))
    assert fetch(("127.0.0.1", first)) == b"one"
    assert fetch(("127.0.0.1", second)) == b"two"


def closed_at_once(endpoint, source):
    try:
        return fetch(endpoint, source) == b""
    except ConnectionResetError:
        return True


def test_allow_and_deny(start):
    """An empty allow is everyone; deny outweighs allow."""
    port = free_port()
    one = start.herald(welcome(f"127.0.0.1:{port}", allow=["127.0.0.0/29"], deny=["127.0.0.4/32"]))
    endpoint = ("127.0.0.1", port)
    assert fetch(endpoint, ("127.0.0.2", 0)) == TEXT.encode()
    assert closed_at_once(endpoint, ("127.0.0.4", 0))
    assert closed_at_once(endpoint, ("127.0.0.9", 0))
    wait_until(lambda: counters(one.status(), "greeting", "welcome")["denied"] == 2, "two clients counted as denied")


def test_limit_per_client(start):
    """The newest client over the limit is closed at once, those of other addresses are served."""
    port = free_port()
    start.herald(welcome(f"127.0.0.1:{port}", max_connections_per_client=3))
    endpoint = ("127.0.0.1", port)
    held = [connect(endpoint) for _ in range(3)]
    for sock in held:
        assert read_all(sock) == TEXT.encode()          # and stays open on our side
    assert closed_at_once(endpoint, None)
    assert fetch(endpoint, ("127.0.0.7", 0)) == TEXT.encode()
    held.pop().close()
    wait_until(lambda: not closed_at_once(endpoint, None), "room again after a client has gone")
    for sock in held:
        sock.close()


def test_limit_in_total(start):
    port = free_port()
    one = start.herald(welcome(f"127.0.0.1:{port}", max_connections=4))
    endpoint = ("127.0.0.1", port)
    held = [connect(endpoint) for _ in range(4)]
    for sock in held:
        assert read_all(sock) == TEXT.encode()
    assert closed_at_once(endpoint, ("127.0.0.8", 0))
    wait_until(lambda: counters(one.status(), "greeting", "welcome")["limited"] >= 1, "the refused client is counted")
    for sock in held:
        sock.close()
    wait_until(lambda: not closed_at_once(endpoint, None), "room again")


def test_client_that_talks_first(start):
    """Octets unread at close make TCP send RST, which can eat the text: all are read first."""
    port = free_port()
    start.herald(welcome(f"127.0.0.1:{port}", TEXT * 100))
    for size in (1, 100, 100000):
        for _ in range(20):
            with connect(("127.0.0.1", port)) as sock:
                try:
                    sock.sendall(b"x" * size)
                except (BrokenPipeError, ConnectionResetError):
                    pytest.fail("the connection broke while the client was talking")
                assert read_all(sock) == (TEXT * 100).encode()


def test_client_that_talks_without_end_is_cut_off(start):
    """Draining is bounded in octets and time: a client that never stops is not served for ever."""
    port = free_port()
    start.herald(welcome(f"127.0.0.1:{port}", timeout="2s"))
    with connect(("127.0.0.1", port)) as sock:
        begin = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() - begin < TIMEOUT:
                sock.sendall(b"x" * 65536)


def test_client_that_never_reads_is_dropped(start):
    """After `timeout` the slot is free again, though the client neither read nor closed."""
    port = free_port()
    one = start.herald(welcome(f"127.0.0.1:{port}", "x" * 60000, max_connections=1, timeout="1s"))
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    wait_until(lambda: counters(one.status(), "greeting", "welcome")["active"] == 1, "the client is in")
    wait_until(lambda: counters(one.status(), "greeting", "welcome")["active"] == 0, "the client is dropped")
    sock.close()


def test_client_that_never_closes_is_dropped(start):
    port = free_port()
    one = start.herald(welcome(f"127.0.0.1:{port}", timeout="1s"))
    sock = connect(("127.0.0.1", port))
    assert read_all(sock) == TEXT.encode()
    wait_until(lambda: counters(one.status(), "greeting", "welcome")["active"] == 0, "the client is dropped")
    sock.close()


def test_clients_that_reset(start):
    port = free_port()
    one = start.herald(welcome(f"127.0.0.1:{port}"))
    for _ in range(200):
        reset(connect(("127.0.0.1", port)))
    assert fetch(("127.0.0.1", port)) == TEXT.encode()
    wait_until(lambda: counters(one.status(), "greeting", "welcome")["active"] == 0, "no connection left")


def test_five_thousand_connections_harm_nobody(start):
    """5,000 clients that hold their connection: each has the text, and the other services answer meanwhile."""
    port, other, udp = free_port(), free_port(), free_port()
    one = start.herald(welcome(f"127.0.0.1:{port}", max_connections=5000, max_connections_per_client=5000, timeout="120s")
                       + conf.greeting("other", f"127.0.0.1:{other}", text="other")
                       + conf.quotes("books", f"127.0.0.1:{udp}", quotes=["a quote"]))
    held = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(TIMEOUT)
        for number in range(5000):
            held.append(connect(("127.0.0.1", port)))
            if number % 500 == 499:
                asker.sendto(b"?", ("127.0.0.1", udp))
                assert asker.recv(512) == b"a quote"
                assert fetch(("127.0.0.1", other)) == b"other"
    wait_until(lambda: counters(one.status(), "greeting", "welcome")["active"] == 5000, "5,000 clients counted")
    assert closed_at_once(("127.0.0.1", port), None)
    for sock in held:
        assert read_all(sock) == TEXT.encode()
        sock.close()
    wait_until(lambda: counters(one.status(), "greeting", "welcome")["active"] == 0, "all have gone")
    assert fetch(("127.0.0.1", port)) == TEXT.encode()


def test_out_of_descriptors(start):
    """Accepting pauses, or turns the newest away; nothing spins, nobody gets half a text, and it goes on by itself (RULES S5)."""
    port = free_port()
    one = start.herald(welcome(f"127.0.0.1:{port}", timeout="120s", max_connections_per_client=1000), prefix=("prlimit", "--nofile=64", "--"))
    held = [connect(("127.0.0.1", port)) for _ in range(200)]

    def processor_seconds():
        with open(f"/proc/{one.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    before, begin = processor_seconds(), time.monotonic()
    served = 0
    for sock in held:                                    # as some leave, others come in
        text = read_all(sock)
        assert text in (TEXT.encode(), b"")
        served += text != b""
        sock.close()
    assert served >= 100
    assert processor_seconds() - before < max(1.0, (time.monotonic() - begin) / 2)
    assert fetch(("127.0.0.1", port)) == TEXT.encode()


def test_tls_implicit(start, certificates):
    """The same text inside TLS, verified by the client; a client that talks plainly does no harm."""
    port = free_port()
    pem, key = certificates.path("good")
    start.herald(welcome(f"127.0.0.1:{port}", tls="implicit", certificate=pem, private_key=key))
    context = ssl.create_default_context(cafile=certificates.ca)

    def text():
        with context.wrap_socket(connect(("127.0.0.1", port)), server_hostname="localhost") as sock:
            assert sock.version() in ("TLSv1.2", "TLSv1.3")
            return read_all(sock)
    assert text() == TEXT.encode()
    with connect(("127.0.0.1", port)) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        try:
            assert TEXT.encode() not in read_all(plain)
        except ConnectionResetError:
            pass
    idle = connect(("127.0.0.1", port))                   # never says anything: holds nobody up
    assert text() == TEXT.encode()
    idle.close()


def test_no_line_per_client_at_info(start):
    """A line per client only at debug (SPEC 4), and then in the shape of SPEC 5."""
    port = free_port()
    one = start.herald(welcome(f"127.0.0.1:{port}"))
    fetch(("127.0.0.1", port))
    one.wait_log(rf"greeting\[\d+\]: welcome: client=\[127\.0\.0\.1\]:\d+ octets={len(TEXT.encode())} duration=\d+\.\d+")
    quiet = start.herald(welcome(f"127.0.0.1:{port + 1}") + conf.block("log", target="stderr", level="info"), arguments=())
    fetch(("127.0.0.1", port + 1))
    wait_until(lambda: counters(quiet.status(), "greeting", "welcome")["connections"] == 1, "the client is counted")
    assert not re.search("client=", quiet.log())
