"""Files, privileges, local sockets and what is executed (RULES F1 to F5, X1)."""

import base64
import glob
import itertools
import os
import pwd
import random
import re
import shutil
import socket
import sqlite3
import stat
import subprocess

import pytest

from lib import conf
from lib.daemon import run, sanitized
from lib.net import TIMEOUT, connect, free_port, need, wait_until
from lib.secure import PASSWORD, USER, offers, users_file
from lib.smtp import Client, message, message_id, stuffed, submit

COUNT = int(os.environ.get("HERALD_TEST_FRAMES", "20000"))


def refused(one, *arguments):
    """A start that must fail: its words."""
    done = run("heraldd", "-d", "-c", one.conffile, *arguments)
    assert done.returncode > 0 and done.returncode != 70, f"exit {done.returncode}: {done.stderr}"
    return done.stderr.decode("utf-8", "replace")


# -- F1

KINDS = ["symlink", "hard link", "fifo", "directory", "device", "socket"]


def put(kind, path, target):
    """Something else at `path`; `target` is a file that must stay as it is."""
    with open(target, "w") as file:
        file.write("precious\n")
    os.chmod(target, 0o644)
    if os.path.lexists(path):
        os.unlink(path)
    if kind == "symlink":
        os.symlink(target, path)
    elif kind == "hard link":
        os.link(target, path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
    os.chown(path, *owner(), follow_symlinks=False)


def owner():
    found = pwd.getpwnam("nobody")
    return found.pw_uid, found.pw_gid


def untouched(target):
    with open(target) as file:
        assert file.read() == "precious\n"


@pytest.mark.parametrize("kind", KINDS)
def test_f1_in_place_of_the_database(start, kind):
    one = start.relay().herald
    one.stop()
    for name in os.listdir(one.state):
        os.unlink(os.path.join(one.state, name))
    target = os.path.join(one.state, "precious")
    put(kind, os.path.join(one.state, "queue.db"), target)
    assert "queue.db" in refused(one)
    untouched(target)


@pytest.mark.parametrize("name", ["queue.db-wal", "queue.db-shm"])
@pytest.mark.parametrize("kind", KINDS)
def test_f1_beside_the_database(start, name, kind):
    """Refused, or put out of the way; what a link leads to is not written."""
    relay = start.relay(host="127.0.0.1:9", queue={"retry_min": "1h"})
    ident = submit(relay.endpoint, message())
    relay.herald.stop()
    target = os.path.join(relay.herald.state, "precious")
    path = os.path.join(relay.herald.state, name)
    put(kind, path, target)
    try:
        done = run("heraldd", "-d", "-c", relay.herald.conffile, timeout=3)
        assert done.returncode > 0 and done.returncode != 70
        assert b"queue.db" in done.stderr
    except subprocess.TimeoutExpired:                        # it runs
        pass
    untouched(target)
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    elif os.path.lexists(path):
        os.unlink(path)
    relay.herald.start()
    assert [one["id"] for one in relay.herald.queue()] == [ident]


@pytest.mark.parametrize("kind", KINDS)
def test_f1_in_place_of_the_pidfile(start, kind):
    """The folder is everybody's, as somebody's mistake would have it."""
    one = start.relay().herald
    one.stop()
    folder = os.path.join(one.directory, "pids")
    os.mkdir(folder)
    os.chown(folder, *owner())
    target = os.path.join(folder, "precious")
    path = os.path.join(folder, "heraldd.pid")
    put(kind, path, target)
    assert "heraldd.pid" in refused(one, "-p", path)
    untouched(target)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("symlink", "hard link")])
@pytest.mark.parametrize("option", [(), ("-t",), ("-T",)], ids=["start", "test", "print"])
def test_f1_in_place_of_the_conffile(start, kind, option):
    """Said in words and at once: a FIFO nobody writes to must not hold it."""
    one = start.relay().herald
    one.stop()
    put(kind, one.conffile, os.path.join(one.directory, "precious"))
    said = refused(one, *option)
    assert "herald.conf" in said


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("symlink", "hard link")])
def test_f1_in_place_of_the_users_file(start, certificates, kind):
    one = start.relay().herald
    one.stop()
    path = users_file(one.directory)
    put(kind, path, os.path.join(one.directory, "precious"))
    one.configure(conf.mail(free_port(), "127.0.0.1:9", None, offers(certificates, users=path)))
    assert path in refused(one)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_users_file_that_others_may_read(start, certificates, mode):
    """Hashes are secrets: the group of the daemon may read them, nobody else."""
    one = start.relay().herald
    one.stop()
    path = users_file(one.directory)
    os.chown(path, 0, 0)
    os.chmod(path, mode)
    one.configure(conf.mail(free_port(), "127.0.0.1:9", None, offers(certificates, users=path)))
    assert path in refused(one)


@pytest.mark.parametrize("kind", ["symlink", "file", "directory"])
@pytest.mark.parametrize("name", ["control.sock", "submit.sock"])
def test_f1_in_place_of_a_socket(start, name, kind):
    """Only a socket that nobody serves is replaced."""
    one = start.relay().herald
    one.stop()
    path = os.path.join(one.runtime, name)
    target = os.path.join(one.directory, "precious")
    if kind == "file":
        put("symlink", path, target)
        os.unlink(path)
        shutil.copy(target, path)
        refused(one)
        untouched(path)
    else:
        put(kind, path, target)
        assert name in refused(one)
    untouched(target)


# -- F2, F3

def frames(chance):
    """What no client of ours says to the control socket."""
    kind = chance.randrange(6)
    if kind == 0:
        return bytes(chance.randrange(256) for _ in range(chance.randrange(200))) + b"\n"
    if kind == 1:
        return b'{"verb": "' + bytes(chance.randrange(32, 127) for _ in range(20)) + b'"}\n'
    if kind == 2:
        return b"[" * chance.randrange(5000) + b"\n"
    if kind == 3:
        return b'{"verb": "queue list", "limit": ' + str(chance.choice([-1, 1 << 63, 1 << 70, 1e300, '"x"', "null", "{}"])).encode() + b"}\n"
    if kind == 4:
        return b'{"verb": "queue show", "id": "' + b"F" * chance.randrange(3000) + b'"}\n'
    return b'{"verb": "status"'[:chance.randrange(17)]


def knock(path):
    """Connects; a UNIX socket whose backlog is full says so at once and not when the time is over."""
    def enter():
        try:
            return connect(path)
        except BlockingIOError:
            return None
    return wait_until(enter, f"room at {path}")


def test_f2_random_frames_at_the_control_socket(start):
    """Bad ones close that client alone."""
    relay = start.relay()
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    pid = relay.herald.pid
    for number in range(COUNT // 10 if sanitized() else COUNT):
        with knock(relay.herald.control) as sock:
            try:
                sock.sendall(b"".join(frames(chance) for _ in range(chance.randrange(1, 4))))
                if number % 3 == 0:
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass
            except OSError:
                pass
        if number % 500 == 0:
            assert relay.herald.status(), seed
    assert relay.herald.alive() and relay.herald.pid == pid
    assert relay.herald.status()["queue"]["messages"] == 0, seed


def test_f2_random_octets_at_the_submission_socket(start):
    relay = start.relay(submission={"max_connections_per_client": 900})
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    path = os.path.join(relay.herald.runtime, "submit.sock")
    verbs = [b"EHLO x\r\n", b"MAIL FROM:<a@example.org>\r\n", b"RCPT TO:<b@example.net>\r\n", b"DATA\r\n", b"BDAT 3\r\n", b".\r\n", b"RSET\r\n"]
    for _ in range(COUNT // 10 if sanitized() else COUNT):
        wire = b"".join(chance.choice(verbs) if chance.random() < 0.7 else bytes(chance.randrange(256) for _ in range(chance.randrange(40)))
                        for _ in range(chance.randrange(1, 9)))
        with knock(path) as sock:
            sock.sendall(wire)
    ident = message_id()
    submit(path, message(ident))
    wait_until(lambda: ident in relay.sink.idents(), f"the message (seed {seed})")
    assert relay.herald.alive()


def test_f3_one_user_with_a_thousand_connections(start):
    """Capped at max_connections_per_client; another user, and TCP, are served."""
    relay = start.relay(submission={"max_connections_per_client": 50})
    path = os.path.join(relay.herald.runtime, "submit.sock")
    os.chmod(relay.herald.directory, 0o755)
    held = [knock(path) for _ in range(1000)]
    banners = [sock.recv(4) for sock in held]
    assert banners.count(b"220 ") == 50 and banners.count(b"421 ") == 950
    other = subprocess.run(["setpriv", "--reuid", "daemon", "--clear-groups", "--", "/usr/bin/python3", "-c",
                            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(sys.argv[1]); "
                            "print(s.recv(3).decode())", path], stdout=subprocess.PIPE, text=True, timeout=TIMEOUT)
    assert other.stdout == "220\n"
    with Client(relay.endpoint) as client:
        client.transaction()
        client.send(stuffed(message()))
        assert client.reply()[0] == 250
    for sock in held:
        sock.close()
    wait_until(lambda: knock(path).recv(4) == b"220 ", "room again")


# -- F4, F5

SECRET = "smarthost-Secret-0815"


def test_f4_secrets_stay_inside(start, certificates):
    """Neither the password for the smarthost nor a user's is in logs, arguments, environment, replies, files or reports."""
    sink = start.py_sink(users={"herald": "another"}, mechanisms="PLAIN LOGIN")
    port = free_port()
    one = start.herald("", start=False, default_relay="smarthost")
    secret = os.path.join(one.directory, "secret")
    with open(secret, "w") as file:
        file.write(SECRET + "\n")
    os.chmod(secret, 0o600)
    os.chown(secret, *owner())
    users = users_file(one.directory)
    one.configure(conf.mail(port, sink.host, None, offers(certificates, users=users), username="herald", password=f"file:{secret}"))
    one.start()
    endpoint = ("127.0.0.1", port)
    plain = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    with Client(endpoint) as client:
        client.hello()
        assert client.code(f"AUTH PLAIN {plain}") == 235
        client.transaction("ann@example.org")
        client.send(stuffed(message()))
        assert client.reply()[0] == 250
        client.quit()
    with Client(endpoint) as client:
        client.hello()
        assert client.code(f"AUTH PLAIN {plain}xxx") in (501, 535)
        assert client.code("AUTH LOGIN") == 334
        assert client.code("*") == 501
    one.wait_log("535")
    texts = [one.log()]
    for name in ("cmdline", "environ", "status", "maps"):
        with open(f"/proc/{one.pid}/{name}", "rb") as file:
            texts.append(file.read().decode("utf-8", "replace"))
    for words in (("status",), ("--json", "status"), ("queue", "list"), ("--json", "queue", "list"), ("relay", "list"), ("health",)):
        done = one.ctl(*words)
        texts.append((done.stdout + done.stderr).decode("utf-8", "replace"))
    for ident in [item["id"] for item in one.queue()]:
        texts.append(one.ctl("queue", "show", ident, "--headers", "--content").stdout.decode("utf-8", "replace"))
    texts.append(run("heraldd", "-T", "-c", one.conffile).stdout.decode("utf-8", "replace"))
    one.stop()
    for path in glob.glob(os.path.join(one.state, "*")):
        with open(path, "rb") as file:
            texts.append(file.read().decode("latin-1"))
    with open(users) as file:
        digest = file.read().strip().split("$")[-1]
    wanted = [SECRET, PASSWORD, plain, digest, *(base64.b64encode(text.encode()).decode().rstrip("=")
                                                for text in (SECRET, PASSWORD, f"\0herald\0{SECRET}"))]
    for number, (text, word) in enumerate(itertools.product(texts, wanted)):
        assert word not in text, (number, word)


def test_f5_no_core_and_no_look_into_memory(start, certificates):
    """Its own user cannot read its memory or attach to it; no core is written."""
    relay = start.relay()
    with open(f"/proc/{relay.herald.pid}/limits") as limits:
        line = next(line for line in limits if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]
    if sanitized():                                          # its leak checker attaches to it
        return
    assert os.stat(f"/proc/{relay.herald.pid}/mem").st_uid == 0
    for name in ("environ", "maps", "mem"):
        done = subprocess.run(["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--",
                               "dd", f"if=/proc/{relay.herald.pid}/{name}", "of=/dev/null", "count=1"], stderr=subprocess.PIPE, text=True)
        assert done.returncode != 0 and "ermission denied" in done.stderr, name


# -- X1

SHELL = [";sleep 66;", "$(id)", "`id`", "|id", "/etc/passwd", "-oQ/tmp", "a;touch x", "&id&", "${IFS}", "a\\nb", "../../x", "*", "~root", "!!"]


def test_x1_nothing_is_executed(start, certificates):
    """From the start on: addresses made for a shell at every door, AUTH, TLS, reload, reports, and not one exec."""
    users = users_file(start.directory)
    relay = start.relay(submission=offers(certificates, users=users))
    trace = os.path.join(relay.herald.directory, "trace")
    tracer = subprocess.Popen([need("strace"), "-f", "-e", "trace=execve,execveat,fork,vfork", "-o", trace, "-p", str(relay.herald.pid)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert b"attached" in tracer.stderr.readline()
        taken = []
        for endpoint in (relay.endpoint, os.path.join(relay.herald.runtime, "submit.sock")):
            for word in SHELL:
                with Client(endpoint) as client:
                    client.hello()
                    for path in (f"<{word}>", f"<{word}@x.example>", f'<"{word}"@x.example>', f"<a@{word}>"):
                        assert client.code(f"VRFY {word}") in (252, 501, 550, 553)
                        for command in (f"MAIL FROM:{path}", f"RCPT TO:{path}"):
                            code = client.code(command)
                            assert code in (250, 501, 503, 553), (command, code)
                            if code == 250 and command.startswith("RCPT"):
                                taken.append(path[1:-1])
                                assert client.code("DATA") == 354
                                client.send(stuffed(message()))
                                assert client.reply()[0] == 250
                        assert client.code("RSET") == 250
                    assert client.code(f"AUTH {word}") in (501, 503, 504)
                    client.quit()
        relay.herald.reload()
        relay.herald.wait_empty()
        delivered = [address for one in relay.sink.messages for address in one.recipients]
        assert len(taken) > 20
        assert not {address for address in taken if "@" in address and address not in delivered}, "not as it was given"
    finally:
        tracer.terminate()
        tracer.wait(TIMEOUT)
    with open(trace) as file:
        assert not re.search(r"exec|fork", file.read())
    assert not os.path.exists(os.path.join(relay.herald.state, "x"))


# -- H6

def test_h6_line_end_in_a_row_of_the_database(start):
    """A row that somebody has edited: its line end never reaches a relay as one."""
    relay = start.relay(host="127.0.0.1:9", queue={"retry_min": "1h"})
    submit(relay.endpoint, message())
    good = submit(relay.endpoint, message(message_id()), recipients=["carol@example.net"])
    relay.herald.stop()
    evil = "bob@example.net>\r\nRCPT TO:<evil@e.example"
    with sqlite3.connect(os.path.join(relay.herald.state, "queue.db")) as database:
        database.execute("PRAGMA ignore_check_constraints = 1")
        found = database.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%recipient%'").fetchall()
        changed = 0
        for name, _ in found:
            for column in [row[1] for row in database.execute(f"PRAGMA table_info({name})")]:
                values = [row[0] for row in database.execute(f"SELECT {column} FROM {name}")]
                if any(value in ("bob@example.net", b"bob@example.net") for value in values):
                    changed += database.execute(f"UPDATE {name} SET {column} = ? WHERE {column} = ?",
                                                (evil, "bob@example.net")).rowcount
    database.close()
    assert changed == 1, "the test knows no more where a recipient stands"
    sink = start.py_sink()
    relay.herald.configure(conf.mail(relay.port, sink.host))
    relay.herald.start()
    sink.wait_messages(1)
    relay.herald.wait_log(rf"{good}: removed")
    relay.herald.wait_log(r"(?i)damag|corrupt|digest|unreadable|not valid|bad row|does not match|line end|constraint")
    assert not [line for session in sink.sessions for _, line in session.commands if b"evil" in line]
    assert [address for one in sink.messages for address in one.recipients] == ["carol@example.net"]
