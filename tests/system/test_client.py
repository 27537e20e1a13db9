"""herald greet and herald quote (SPEC 6), against the daemon and against servers that are none."""

import socket
import threading

import pytest

from lib import conf
from lib.daemon import run
from lib.net import free_port

TEXT = "您好，您收到了服务器的新年祝福！"
BOOKS = ["疯狂Python讲义", "疯狂Kotlin讲义", "疯狂Android讲义", "疯狂Swift讲义"]


@pytest.fixture(scope="module")
def services(start_module):
    port, udp = free_port(), free_port()
    start_module.herald(conf.greeting("welcome", [f"127.0.0.1:{port}", f"[::1]:{port}"], text=TEXT)
                        + conf.quotes("books", f"127.0.0.1:{udp}", quotes=BOOKS))
    return port, udp


def quotes(start, **keys):
    udp = free_port()
    start.herald(conf.quotes("books", f"127.0.0.1:{udp}", quotes=BOOKS, **keys))
    return udp


def test_greet(services):
    for host in ("127.0.0.1", "localhost", "[::1]"):
        done = run("herald", "greet", f"{host}:{services[0]}")
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.decode().rstrip("\n") == TEXT


def test_greet_over_tls(start, certificates):
    port = free_port()
    pem, key = certificates.path("good")
    start.herald(conf.greeting("welcome", f"127.0.0.1:{port}", text=TEXT, tls="implicit", certificate=pem, private_key=key))
    done = run("herald", "greet", f"localhost:{port}", "--tls", env={"SSL_CERT_FILE": certificates.ca, "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().rstrip("\n") == TEXT
    refused = run("herald", "greet", f"localhost:{port}", "--tls", env={"PATH": "/usr/bin:/bin"})
    assert refused.returncode != 0 and TEXT.encode() not in refused.stdout


@pytest.mark.parametrize("verb", ["greet", "quote"])
def test_nobody_there(verb):
    done = run("herald", verb, f"127.0.0.1:{free_port()}", *(["hello", "--timeout", "1s"] if verb == "quote" else []))
    assert done.returncode in (69, 75)
    assert done.stderr.startswith(b"herald: ")
    assert done.stdout == b""


@pytest.mark.parametrize("where", ["127.0.0.1", "127.0.0.1:", ":3000", "127.0.0.1:99999", ""])
@pytest.mark.parametrize("verb", ["greet", "quote"])
def test_no_proper_endpoint(verb, where):
    assert run("herald", verb, where).returncode == 64


def test_quote(start):
    udp = quotes(start)
    for book in BOOKS:
        done = run("herald", "quote", f"127.0.0.1:{udp}", "another", "one")
        assert (done.returncode, done.stdout.decode(), done.stderr) == (0, book + "\n", b"")


def test_quote_count(start):
    udp = quotes(start)
    done = run("herald", "quote", f"127.0.0.1:{udp}", "x", "--count", "5")
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == BOOKS + BOOKS[:1]


@pytest.mark.parametrize("tail", ["exit\nignored\n", ""])
def test_quote_reads_lines(start, tail):
    """Without TEXT: a line in, a reply out, until `exit` or the end of the file."""
    udp = quotes(start)
    done = run("herald", "quote", f"127.0.0.1:{udp}", input=("one\ntwo\nthree\n" + tail).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == BOOKS[:3]


def test_quote_timeout():
    """A server that does not answer: an error within the time given."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        done = run("herald", "quote", f"127.0.0.1:{silent.getsockname()[1]}", "x", "--timeout", "1s", timeout=30)
    assert done.returncode in (69, 75) and done.stdout == b""


def test_greet_of_another_server():
    """What any server says is printed, in its own octets."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        sock, _ = server.accept()
        sock.sendall("Grüße\n".encode())
        sock.close()
    thread = threading.Thread(target=serve)
    thread.start()
    done = run("herald", "greet", f"127.0.0.1:{server.getsockname()[1]}")
    thread.join()
    server.close()
    assert done.returncode == 0 and done.stdout.decode() == "Grüße\n"
