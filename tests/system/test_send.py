"""herald send (herald(1)): the ways a mail goes, what refuses it, and that nothing else is said to be sent."""

import os
import re
import socket
import subprocess
import threading

import pytest

from lib import net
from lib.daemon import program, run, sanitized
from lib.net import TIMEOUT, free_port
from lib.sending import (ADDRESSES, DATAERR, IOERR, NOINPUT, NOPERM, NOUSER, OK, TEMPFAIL, UNAVAILABLE, USAGE, Terminal, memory_of, send, subject,
                         told)
from lib.sink import Drop

SENDER, RECIPIENT = ADDRESSES[1], ADDRESSES[3]


@pytest.fixture(scope="module")
def relay(start_module):
    return start_module.relay()


def queue_of(herald):
    return {"HERALD_SUBMIT_SOCKET": os.path.join(herald.runtime, "submit.sock")}


def to(sink, *arguments, **keywords):
    return send("--server", f"smtp://{sink.host}", *arguments, **keywords)


def all_verbs(sink):
    return [verb for session in sink.sessions for verb in session.verbs()]


# --- the local queue

def test_local_queue(relay):
    """Envelope: --from; To, Cc, Bcc in this order, doubles once.  Quiet when it went well."""
    before = len(relay.sink.messages)
    done = send("--cc", "carl@example.net, dora@example.net", "--bcc", "eve@example.net", "--to", "bob@example.net", "--subject", "x", "--text", "-",
                input=b"Hello\n", env=queue_of(relay.herald))
    assert (done.returncode, done.stdout, done.stderr) == (OK, b"", b"")
    taken = relay.sink.wait_messages(before + 1)[before]
    assert taken.sender == SENDER
    assert taken.recipients == [RECIPIENT, "carl@example.net", "dora@example.net", "eve@example.net"]
    assert b"eve@" not in taken.content.split(b"\r\n\r\n")[0], "blind"
    assert b"Hello" in taken.content


def test_exit_0_is_durable(start):
    """0 is said behind the 250 of the queue: kill -9 at once, and the message is there."""
    relay = start.relay(host=f"127.0.0.1:{free_port()}", queue={"retry_min": "1h"})
    for _ in range(5):
        done = send("--text", "-", "--debug", input=b"Hello\n", env=queue_of(relay.herald))
        assert done.returncode == OK
        assert re.search(rb"^S: 250 .*queued as ", done.stderr, re.M)
        assert len(re.findall(rb"^\* [0-9]+ octets of mail data$", done.stderr, re.M)) == 1
        relay.herald.kill()
        relay.herald.start()
    queued = relay.herald.queue()
    assert len(queued) == 5 and all(one["sender"] == SENDER for one in queued)


def test_local_queue_is_down(tmp_path):
    """As herald-sendmail: a daemon that starts is waited for, then 75."""
    done = send(env={"HERALD_SUBMIT_SOCKET": str(tmp_path / "none.sock")})
    assert done.returncode == TEMPFAIL and "is heraldd running?" in told(done)


def test_local_queue_is_not_for_us(tmp_path):
    """A socket that may not be used is no matter of time."""
    path = str(tmp_path / "submit.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        done = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", "inject=connect:error=EACCES", program("herald"), "send", *ADDRESSES],
                              env={**os.environ, "HERALD_SUBMIT_SOCKET": path, "ASAN_OPTIONS": "detect_leaks=0"},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT)
    assert done.returncode == NOPERM, done


def test_local_queue_refuses_one(start):
    """All or nobody, from the queue too."""
    relay = start.relay(submission={"max_recipients": 1})
    done = send("--cc", "carl@example.net", "--text", "-", input=b"x\n", env=queue_of(relay.herald))
    assert done.returncode == DATAERR
    assert "carl@example.net: 452" in told(done) and "not sent to anybody" in told(done)
    assert relay.herald.queue() == [] and not relay.sink.messages


# --- a server

@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_server_in_clear(start, address):
    sink = start.py_sink(address=address)
    done = to(sink, "--text", "-", input=b"Hello\n.\n..\n")
    assert (done.returncode, done.stdout, done.stderr) == (OK, b"", b"")
    assert sink.messages[0].recipients == [RECIPIENT] and b"Hello" in sink.messages[0].content
    assert sink.sessions[0].verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


def test_server_of_a_name(start):
    """A name with two addresses, of which one has nobody."""
    sink = start.py_sink()
    done = send("--server", f"smtp://localhost:{sink.port}/", "--debug")
    assert done.returncode == OK and sink.messages
    assert f"* 127.0.0.1:{sink.port}: connected" in done.stderr.decode()


def test_no_server():
    done = send("--server", f"smtp://127.0.0.1:{free_port()}")
    assert done.returncode == UNAVAILABLE and "cannot connect to 127.0.0.1:" in told(done)


def test_one_is_refused(start):
    """The refused is named with the reply, nobody gets the mail."""
    sink = start.py_sink(replies={"RCPT": lambda _, line: b"550 5.1.1 no \x1b[31msuch\xff user" if b"carl@" in line else None})
    done = to(sink, "--cc", "carl@example.net", "--bcc", "dora@example.net")
    assert done.returncode == NOUSER
    assert "carl@example.net: 550 5.1.1 no \\x1b[31msuch\\xff user" in told(done)
    assert "bob@" not in told(done) and "not sent to anybody" in told(done)
    assert not sink.messages
    assert b"\x1b" not in done.stderr and b"\xff" not in done.stderr


REFUSALS = [("CONNECT", b"421 4.3.2 later", TEMPFAIL), ("CONNECT", b"554 5.7.1 not you", UNAVAILABLE), ("EHLO", b"421 4.3.2 later", TEMPFAIL),
            ("MAIL", b"451 4.3.0 later", TEMPFAIL), ("MAIL", b"550 5.7.1 not you", NOPERM), ("MAIL", b"421 4.3.2 later", TEMPFAIL),
            ("RCPT", b"450 4.2.0 later", TEMPFAIL), ("RCPT", b"550 5.1.1 who?", NOUSER), ("RCPT", b"550 5.7.1 no", NOPERM),
            ("DATA", b"451 4.3.0 later", TEMPFAIL), ("DATA", b"554 5.0.0 no", UNAVAILABLE),
            (".", b"451 4.3.0 later", TEMPFAIL), (".", b"554 5.6.0 no", DATAERR), (".", b"552 5.3.4 too large", DATAERR),
            ("QUIT", b"421 4.3.2 why", OK), ("QUIT", b"500 5.5.1 what?", OK)]


@pytest.mark.parametrize("step,reply,code", REFUSALS)
def test_refusal(start, step, reply, code):
    sink = start.py_sink(replies={step: reply})
    done = to(sink, "--text", "-", input=b"x\n")
    assert done.returncode == code, done
    assert len([one for one in sink.messages if one.content]) == (code == OK)     # a lone dot may end what was pipelined
    if code != OK:
        assert reply.decode() in told(done) and "not sent to anybody" in told(done)


@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"])
def test_server_closes(start, step):
    """RULES R10: at each stage; once the 250 to the end of the data was said the mail is taken."""
    def close(*_):
        raise Drop
    sink = start.py_sink(replies={step: close})
    done = to(sink, "--text", "-", input=b"x\n")
    assert done.returncode == (OK if step == "QUIT" else TEMPFAIL), done
    assert len(sink.messages) == (step == "QUIT")
    if step != "QUIT":
        assert "connection closed" in told(done) or "reset" in told(done)
        assert ("is not known" if step == "." else "not sent to anybody") in told(done)


def scripted(serve):
    """A server of one connection: serve(sock) after the greeting is its own affair."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run_it():
        sock, _ = listener.accept()
        with sock:
            serve(sock)
        listener.close()
    thread = threading.Thread(target=run_it, daemon=True)
    thread.start()
    return listener.getsockname()[1], thread


def read_until(sock, end):
    octets = b""
    while not octets.endswith(end):
        part = sock.recv(65536)
        if not part:
            raise EOFError
        octets += part
    return octets


def dialogue(sock, *replies):
    for reply in replies:
        read_until(sock, b"\r\n")
        sock.sendall(reply + b"\r\n")


@pytest.mark.parametrize("words,code", [(b"", TEMPFAIL), (b"452 4.3.1 disk full\r\n", TEMPFAIL), (b"552 5.3.4 too large\r\n", DATAERR)], ids=["", "452", "552"])
def test_server_closes_within_data(tmp_path, words, code):
    """No SIGPIPE ends us, and what it said before it went is read."""
    def serve(sock):
        sock.sendall(b"220 x\r\n")
        dialogue(sock, b"250 x", b"250 ok", b"250 ok", b"354 go")
        sock.recv(1000)
        sock.sendall(words)
    port, thread = scripted(serve)
    (tmp_path / "big").write_bytes(os.urandom(4 * 1024 * 1024))
    done = send("--server", f"smtp://127.0.0.1:{port}", "--attach", str(tmp_path / "big"))
    thread.join(TIMEOUT)
    assert done.returncode in (code, TEMPFAIL), done          # a reset may swallow the words
    assert "not sent to anybody" in told(done)


@pytest.mark.parametrize("banner", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", b"\x15\x03\x01\x00\x02\x02\x46\r\n", b"250 ok\r\n",
                                    b"220-a\r\n550 b\r\n", b"+OK POP3\r\n", b"1" * 5000 + b"\r\n"],
                         ids=["http", "ssh", "tls", "250", "mixed", "pop3", "long"])
def test_no_smtp_at_all(banner):
    """RULES R: a greeting that is none; nothing of the mail is said to it."""
    said = []

    def serve(sock):
        sock.sendall(banner)
        while True:
            part = sock.recv(65536)
            if not part:
                return
            said.append(part)
    port, thread = scripted(serve)
    done = send("--server", f"smtp://127.0.0.1:{port}")
    thread.join(TIMEOUT)
    assert done.returncode in (UNAVAILABLE, TEMPFAIL), done
    assert "not sent to anybody" in told(done)
    assert b"MAIL" not in b"".join(said)


def test_endless_reply():
    """RULES R1, R6: bounded, not waited out."""
    def serve(sock):
        try:
            while True:
                sock.sendall(b"220-a\r\n" * 1000)
        except OSError:
            pass
    port, thread = scripted(serve)
    done = send("--server", f"smtp://127.0.0.1:{port}")
    thread.join(TIMEOUT)
    assert done.returncode in (UNAVAILABLE, TEMPFAIL), done


# --- what the server cannot do

def test_smtputf8_is_not_offered(start):
    sink = start.py_sink()
    done = to(sink, "--to", "用户@example.net")
    assert done.returncode == DATAERR and "SMTPUTF8" in told(done), done
    assert "MAIL" not in all_verbs(sink) and not sink.messages


def test_smtputf8_is_offered(start):
    sink = start.py_sink(extensions=["PIPELINING", "8BITMIME", "SMTPUTF8"])
    done = to(sink, "--to", "用户@example.net")
    assert done.returncode == OK, done
    assert sink.messages[0].recipients == [RECIPIENT, "用户@example.net"]
    assert any(line.startswith(b"MAIL") and b"SMTPUTF8" in line for _, line in sink.sessions[0].commands)


def test_too_large_for_the_server(start, tmp_path):
    sink = start.py_sink(extensions=["SIZE 10000"])
    (tmp_path / "big").write_bytes(os.urandom(20000))
    done = to(sink, "--attach", str(tmp_path / "big"))
    assert done.returncode == DATAERR and "MAIL" not in all_verbs(sink), done


# --- what sends nothing

def test_output(start, tmp_path):
    sink = start.py_sink()
    path, name = str(tmp_path / "mail.eml"), subject()
    done = to(sink, "--subject", name, "--text", "-", "--output", path, input=b"Hello\n")
    assert (done.returncode, done.stdout, done.stderr) == (OK, b"", b"")
    with open(path, "rb") as file:
        text = file.read()
    assert name.encode() in text and b"\nHello\r\n" in text and not re.search(rb"[^\r]\n", text)
    assert os.stat(path).st_mode & 0o777 == 0o600
    done = to(sink, "--subject", name, "--text", "-", "--output", "-", input=b"Hello\n")
    assert done.returncode == OK and name.encode() in done.stdout
    assert not sink.sessions


def test_dry_run(start):
    sink = start.py_sink()
    name = subject()
    done = to(sink, "--subject", name, "--text", "-", "--dry-run", input=b"Hello\n")
    assert done.returncode == OK
    assert name.encode() in done.stdout and b"\nHello\r\n" in done.stdout
    assert done.stderr
    assert not sink.sessions


def test_output_cannot_be_written(tmp_path):
    assert send("--output", str(tmp_path / "none" / "x")).returncode == 73
    done = send("--output", "/dev/full")
    assert done.returncode == IOERR and "cannot write /dev/full" in told(done)


@pytest.mark.parametrize("there", [False, True], ids=["new", "there"])
def test_output_ends_early(tmp_path, there):
    """No half of a mail stays behind, and no file of somebody's is removed."""
    path, large = tmp_path / "out.eml", tmp_path / "large"
    large.write_bytes(b"x" * 30000)
    if there:
        path.write_bytes(b"y" * 50000)
    done = subprocess.run(["sh", "-c", 'ulimit -f 8; trap "" XFSZ; exec "$0" "$@"', program("herald"), "send", *ADDRESSES, "--attach", str(large),
                           "--output", str(path)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TIMEOUT)
    assert done.returncode == IOERR and f"cannot write {path}" in told(done)
    assert path.exists() == there


def test_reader_goes():
    """SIGPIPE is no way to end: 74."""
    ours, its = os.pipe()
    os.close(ours)
    child = subprocess.Popen([program("herald"), "send", *ADDRESSES, "--output", "-"], stdin=subprocess.DEVNULL, stdout=its,
                             stderr=subprocess.PIPE)
    os.close(its)
    child.communicate(timeout=TIMEOUT)
    assert child.returncode == IOERR


def closed(redirections, *arguments):
    return subprocess.run(["sh", "-c", f'exec "$0" "$@" {redirections}', program("herald"), "send", *ADDRESSES, *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT)


def test_closed_descriptors(start):
    """RULES X2: nothing but the dialogue gets into the dialogue, and no empty text is read from what is not there."""
    sink = start.py_sink(replies={"RCPT": b"550 5.1.1 who?"})
    assert closed("<&- >&- 2>&-", "--server", f"smtp://{sink.host}", "--debug").returncode == NOUSER
    assert set(all_verbs(sink)) <= {"EHLO", "MAIL", "RCPT", "DATA", "RSET", "QUIT", "."}, all_verbs(sink)
    assert closed("<&- 2>&-", "--server", f"smtp://{sink.host}", "--text", "-").returncode in (NOINPUT, IOERR)
    assert closed(">&-", "--output", "-").returncode == IOERR
    assert closed(">&- 2>&-", "--dry-run").returncode == IOERR


# --- the command line

VALUES = ["from", "to", "cc", "bcc", "reply-to", "subject", "text", "html", "inline", "attach", "header", "server", "password", "ca-file", "output"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=["lf", "cr", "crlf"])
@pytest.mark.parametrize("option", VALUES)
def test_line_break_in_a_value(start, option, end):
    """RULES H: refused wherever it stands; a NUL no command line can hold."""
    sink = start.py_sink()
    addresses = [word for pair in zip(ADDRESSES[::2], ADDRESSES[1::2]) if pair[0] != f"--{option}" for word in pair]
    server = [] if option == "server" else ["--server", f"smtp://{sink.host}"]
    done = send(f"--{option}", f"x{end}Bcc: <eve@example.net>", *server, addresses=addresses)
    assert done.returncode == DATAERR, done
    assert f"--{option}" in told(done) and "eve" not in told(done)
    assert not sink.sessions


@pytest.mark.parametrize("words", [[], ["--from", "ann@example.org"], ["--to", "bob@example.net"], [*ADDRESSES, "--from", "eve@example.org"],
                                   [*ADDRESSES, "bob@example.net"], [*ADDRESSES, "--nonsense"], [*ADDRESSES, "--password", "env:X"],
                                   [*ADDRESSES, "--ca-file", "/dev/null"], [*ADDRESSES, "--dry-run", "--output", "-"],
                                   [*ADDRESSES, "--server", "smtp.example.org"], [*ADDRESSES, "--server", "http://smtp.example.org"],
                                   [*ADDRESSES, "--server", "smtp://"], [*ADDRESSES, "--server", "smtp://a:99999"], [*ADDRESSES, "--server", "smtp://a/b"],
                                   [*ADDRESSES, "--server", "smtp://%zz@a"], [*ADDRESSES, "--server", "smtp://a%0db@a"],
                                   [*ADDRESSES, "--server", "smtps://a", "--password", "env:X"],
                                   [*ADDRESSES, "--server", "smtp://u@a", "--ca-file", "/dev/null"]])
def test_usage(words):
    done = send(*words, addresses=[])
    assert done.returncode == USAGE and done.stderr.startswith(b"herald: ") and done.stdout == b"", done


def test_help():
    done = run("herald", "send", "--help")
    assert done.returncode == OK and done.stderr == b""
    for option in [*VALUES, "dry-run", "debug"]:
        assert f"--{option}" in done.stdout.decode()
    assert run("herald", "s", "-h").stdout == done.stdout, "a prefix of the verb"
    for verb in ("greet", "quote", "fetch"):
        assert f"herald {verb}".encode() in run("herald", verb, "--help").stdout
        assert f"  {verb} ".encode() in run("herald", "--help").stdout
    for words in (["--version"], ["send", "-V"], ["-V"]):
        assert re.fullmatch(rb"herald \S+\n", run("herald", *words).stdout)
    for words in ([], ["nonsense"], [""], ["--nonsense"], ["send", "--nonsense"]):
        assert run("herald", *words).returncode == USAGE


def test_what_worked_before(start):
    """Options of greet and quote in front of the verb."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        sock, _ = listener.accept()
        sock.sendall(b"hello\n")
        sock.close()
    thread = threading.Thread(target=serve)
    thread.start()
    done = run("herald", "--debug", "g", f"127.0.0.1:{listener.getsockname()[1]}")
    thread.join()
    listener.close()
    assert (done.returncode, done.stdout) == (OK, b"hello\n") and b"connected" in done.stderr
    silent = free_port()
    done = run("herald", "--timeout", "1s", "--count", "2", "quote", f"127.0.0.1:{silent}", "x")
    assert done.returncode in (UNAVAILABLE, TEMPFAIL) and b"x" not in done.stdout


# --- large mail

def slow_reader(is_seen):
    """Takes mail data in small pieces until is_seen()."""
    size = []

    def serve(sock):
        sock.sendall(b"220 x\r\n")
        dialogue(sock, b"250 x", b"250 ok", b"250 ok", b"354 go")
        tail, total = b"", 0
        while not tail.endswith(b"\r\n.\r\n"):
            if not is_seen() and total > 1024 * 1024:
                net.wait_until(is_seen, "progress", interval=0.05) if total > 8 * 1024 * 1024 else threading.Event().wait(0.05)
            part = sock.recv(262144)
            if not part:
                return
            total += len(part)
            tail = (tail + part)[-5:]
        size.append(total)
        sock.sendall(b"250 ok\r\n")
        dialogue(sock, b"221 bye")
    port, thread = scripted(serve)
    return port, thread, size


def test_progress(tmp_path):
    """20 MiB: on a terminal it is said how far it is, and the line is gone at the end."""
    (tmp_path / "big").write_bytes(os.urandom(20 * 1024 * 1024))
    terminal = []
    port, thread, size = slow_reader(lambda: terminal and b"MiB" in terminal[0].shown)
    terminal.append(Terminal(program("herald"), "send", *ADDRESSES, "--server", f"smtp://127.0.0.1:{port}", "--attach", str(tmp_path / "big")))
    assert terminal[0].wait() == OK, terminal[0].shown
    thread.join(TIMEOUT)
    assert size[0] > 20 * 1024 * 1024 * 4 / 3
    assert re.search(rb"\rsent: [0-9.]+ of 2[78]\.[0-9] MiB, [0-9]+%, ", terminal[0].shown), terminal[0].shown
    assert terminal[0].shown.endswith(b"\r\x1b[K")


def test_no_progress_elsewhere(tmp_path):
    (tmp_path / "big").write_bytes(os.urandom(20 * 1024 * 1024))
    mark = threading.Event()
    timer = threading.Timer(1.5, mark.set)               # until when a terminal would have been told
    timer.start()
    port, thread, _ = slow_reader(mark.is_set)
    done = send("--server", f"smtp://127.0.0.1:{port}", "--attach", str(tmp_path / "big"))
    thread.join(TIMEOUT)
    assert (done.returncode, done.stdout, done.stderr) == (OK, b"", b"")


@pytest.mark.slow
def test_memory(start, tmp_path):
    """An attachment of 200 MiB goes through in 64 MiB of memory."""
    sink = start.smtp_sink(dump=False)
    path = tmp_path / "huge"
    with open(path, "wb") as file:
        for _ in range(200):
            file.write(os.urandom(1024 * 1024))
    code, memory = memory_of(program("herald"), "send", *ADDRESSES, "--server", f"smtp://{sink.host}", "--attach", str(path))
    assert code == OK
    print(f"{memory / 1024 / 1024:.1f} MiB")
    if not sanitized():
        assert memory <= 64 * 1024 * 1024


