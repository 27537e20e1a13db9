"""herald greet and herald quote (SPEC 6), against the daemon and against servers that are none."""

import socket
import subprocess
import threading

import pytest

from lib import conf
from lib.daemon import program, run
from lib.net import TIMEOUT, free_port
from lib.sending import Terminal

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


@pytest.fixture
def says():
    """A server that says this to its one client; its HOST:PORT."""
    server = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(octets):
        sock, _ = server.accept()
        with sock:
            sock.sendall(octets)

    def start(octets):
        threads.append(threading.Thread(target=serve, args=(octets,)))
        threads[0].start()
        return f"127.0.0.1:{server.getsockname()[1]}"
    yield start
    threads[0].join()
    server.close()


def test_greet_of_another_server(says):
    """What any server says is printed, in its own octets."""
    done = run("herald", "greet", says("Grüße\n".encode()))
    assert done.returncode == 0 and done.stdout.decode() == "Grüße\n"


def test_nobody_reads_what_has_no_end():
    """The output fails, and the server goes on: 74 at once."""
    with socket.create_server(("127.0.0.1", 0)) as server, open("/dev/full", "wb") as full:
        child = subprocess.Popen([program("herald"), "greet", f"127.0.0.1:{server.getsockname()[1]}"], stdin=subprocess.DEVNULL, stdout=full,
                                 stderr=subprocess.PIPE)
        sock, _ = server.accept()
        sock.settimeout(TIMEOUT)
        with sock, pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(1 << 16):
                sock.sendall(b"x" * 4096)
        assert child.wait(TIMEOUT) == 74 and b"cannot write" in child.stderr.read()
        child.stderr.close()


def test_no_server_drives_the_terminal(says):
    terminal = Terminal(program("herald"), "greet", says("Grüße\0\x1b[31m\x9b\u202e\\\n".encode() + b"\xff\n"))
    assert terminal.wait() == 0
    assert terminal.shown.decode() == "Grüße\\x00\\x1b[31m\\xc2\\x9b\\xe2\\x80\\xae\\\r\n\\xff\r\n"
