"""Back-pressure (RULES S, TARGETS R5 and R11): no disk, no memory, no descriptors is 452 or 421, never a loss, and passes by itself."""

import contextlib
import os
import socket
import ssl
import threading
import time

import pytest

from lib import conf
from lib.daemon import sanitized
from lib.net import connect, free_port, read_all, wait_until
from lib.power import Disk
from lib.smtp import Client, message, message_id, stuffed, submit

FULL_ROUNDS = int(os.environ.get("HERALD_TEST_FILLS", "10"))
LARGE = int(os.environ.get("HERALD_TEST_LARGE", "24"))          # messages of 10 MiB


# -- disk

@pytest.fixture
def disk(start):
    disk = Disk(start.directory, megabytes=48)
    start.running.append(disk)
    return disk


class Ballast:
    """Takes all that is left on a file system, and gives it back."""

    def __init__(self, path):
        self.path = os.path.join(path, "ballast")

    def fill(self):
        with open(self.path, "wb", buffering=0) as file:
            for piece in (1 << 20, 1 << 16, 1 << 12, 1):
                try:
                    while True:
                        assert file.write(b"x" * piece)
                except OSError:
                    continue

    def drop(self):
        os.unlink(self.path)


def hand_in(endpoint, count, taken, refused, body=b"x" * 1500 + b"\r\n"):
    """`count` messages in sessions of 50; the Message-IDs that got their 250, and the codes of the others' replies."""
    for _ in range(0, count, 50):
        with Client(endpoint) as client:
            client.hello()
            for _ in range(min(50, count)):
                ident = message_id()
                client.send(b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n")
                codes = [client.reply()[0] for _ in range(3)]
                if codes[2] == 354:
                    client.send(stuffed(message(ident, body=body)))
                    code, texts = client.reply()
                    if code == 250:
                        taken.append(ident)
                        continue
                    codes = [code]
                refused.append(codes[0])
                assert client.code("RSET") == 250


def is_healthy(herald):
    return herald.ctl("health").returncode == 0


@pytest.mark.parametrize("floor", ["4M", "0"])
def test_disk_full_while_mail_comes(start, disk, floor):
    """R5: the disk fills under the mail that comes: 452 and nothing else, nothing lost, and once there is room it goes on alone.
    With a floor mail is refused before the disk is full; without one the store itself finds no room."""
    sink = start.py_sink()
    port = free_port()
    herald = start.herald(conf.mail(port, sink.host, {"min_free_space": floor}), default_relay="smarthost", state=disk.state)
    ballast, taken, refused, endpoint = Ballast(disk.path), [], [], ("127.0.0.1", port)
    for turn in range(FULL_ROUNDS):
        before, loads = len(refused), [threading.Thread(target=hand_in, args=(endpoint, 250, taken, refused)) for _ in range(4)]
        for load in loads:
            load.start()
        wait_until(lambda: len(taken) > turn * 20, "mail flows")
        ballast.fill()
        for load in loads:
            load.join()
        assert set(refused[before:]) <= {452}, set(refused[before:])
        extra = []
        hand_in(endpoint, 50, taken, extra)
        assert extra and set(extra) == {452}
        ballast.drop()
        wait_until(lambda: is_healthy(herald), "health without a hand", 30)

        def is_taken():
            with Client(endpoint) as client:
                client.hello()
                return client.code("MAIL FROM:<ann@example.org>") == 250
        wait_until(is_taken, "mail is taken again", 30)
    ident = message_id()
    submit(endpoint, message(ident))
    taken.append(ident)
    wait_until(lambda: herald.status()["queue"]["messages"] == 0, "an empty queue", 120, 0.1)
    found = sink.idents()
    assert set(taken) <= set(found), f"{len(set(taken) - set(found))} acknowledged messages were lost"
    assert refused, "the disk was never full"
    print(f"{len(taken)} taken, {len(refused)} refused, {herald.log().count('the queue takes no mail')} times in trouble")


def test_declared_size_that_does_not_fit(start, disk):
    """SIZE (RFC 1870) is looked at before a single octet comes."""
    port = free_port()
    start.herald(conf.mail(port, "127.0.0.1:9", {"min_free_space": "1M"}), default_relay="smarthost", state=disk.state)
    with Client(("127.0.0.1", port)) as client:
        client.hello()
        code, texts = client.command("MAIL FROM:<ann@example.org> SIZE=34000000")
        assert (code, texts[0][:5]) == (452, "4.3.1")
        assert client.code("MAIL FROM:<ann@example.org> SIZE=1000000") == 250


def test_disk_that_fills_with_the_message(start, disk):
    """What does not fit is refused at its end, and leaves the room that it took."""
    sink = start.py_sink()
    port = free_port()
    start.herald(conf.mail(port, sink.host, {"min_free_space": "1M", "max_message_size": "200M"}), default_relay="smarthost",
                 state=disk.state)
    endpoint = ("127.0.0.1", port)
    with Client(endpoint) as client:
        client.transaction()
        client.send(stuffed(message(body=(b"x" * 998 + b"\r\n") * 60000)))
        code, texts = client.reply()
        assert (code, texts[0][:5]) == (452, "4.3.1")

        def is_taken():
            client.command("RSET")
            return client.code("MAIL FROM:<ann@example.org>") == 250
        wait_until(is_taken, "the room is free again")
    ident = submit(endpoint, message())
    assert ident
    sink.wait_messages(1)


# -- memory

def memory_of(herald):
    return herald.status()["queue"]["memory"]


class Crowd:
    """Clients that each begin a message to many recipients, which costs us memory and them nothing."""

    def __init__(self, endpoint):
        self.endpoint, self.clients = endpoint, []
        self.line = b"".join(b"RCPT TO:<user%d@example.net>\r\n" % number for number in range(500))

    def add(self):
        """One more, of up to 4,000 recipients; the code that it ended with."""
        client = Client(self.endpoint, banner=False)
        self.clients.append(client)
        code = client.reply()[0]
        if code != 220:
            return code
        client.hello()
        code = client.code("MAIL FROM:<ann@example.org>")
        for _ in range(8):
            if code != 250:
                break
            client.send(self.line)
            code = max(client.reply()[0] for _ in range(500))
        return code

    def leave(self):
        for client in self.clients:
            client.sock.close()


def test_memory_is_bounded(start):
    """At nine tenths of max_memory no message is begun, at all of it no client is taken; both pass when there is room."""
    relay = start.relay(queue={"max_memory": "16M"}, submission={"max_recipients": 5000})
    empty = memory_of(relay.herald)
    with Client(relay.endpoint) as early:
        early.hello()
        crowd, codes = Crowd(relay.endpoint), []
        while len(codes) < 60 and codes[-1:] != [421]:
            codes.append(crowd.add())
        assert codes[0] == 250 and 452 in codes and set(codes) <= {250, 452, 421}, codes
        assert memory_of(relay.herald) < (16 << 20) * 1.2
        # Who was there before is served, but for what takes memory.
        code, texts = early.command("MAIL FROM:<ann@example.org>")
        assert (code, texts[0][:5]) == (452, "4.3.1")
        if codes[-1] == 421:
            relay.herald.wait_log("max_memory is used up")
        crowd.leave()
        wait_until(lambda: early.code("MAIL FROM:<ann@example.org>") == 250, "room for mail")
    wait_until(lambda: memory_of(relay.herald) <= empty + 65536, "the memory is free")
    submit(relay.endpoint, message())
    relay.sink.wait_messages(1)
    relay.herald.wait_empty()
    assert memory_of(relay.herald) <= empty + 65536


def test_no_client_beyond_the_memory(start):
    """421 4.3.2 when all of it is used, and greeted again when it is not; the control socket answers all the while."""
    relay = start.relay(queue={"max_memory": "8M"}, submission={"max_connections": 5000, "max_connections_per_client": 5000})
    held, told = [], []
    while not told and len(held) < 4000:
        client = connect(relay.endpoint)
        held.append(client)
        if client.recv(100).startswith(b"421 4.3.2 herald.example.org "):
            told.append(client)
    assert told and len(held) > 1000
    assert relay.herald.status()["queue"]["memory"] >= 8 << 20
    for client in held:
        client.close()

    def is_greeted():
        with Client(relay.endpoint) as client:
            return client.banner[0] == 220
    wait_until(is_greeted, "a greeting")
    submit(relay.endpoint, message())
    relay.sink.wait_messages(1)


def test_reload_changes_the_budget(start):
    relay = start.relay(queue={"max_memory": "8M"})
    assert relay.herald.status()["queue"]["max_memory"] == 8 << 20
    with open(relay.herald.conffile) as file:
        text = file.read()
    with open(relay.herald.conffile, "w") as file:
        file.write(text.replace('"8M"', '"64M"'))
    relay.herald.reload()
    assert relay.herald.status()["queue"]["max_memory"] == 64 << 20


def resident(pid, what="VmRSS"):
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def private(pid):
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_Dirty"))


def test_idle_clients_cost_little(start):
    """S1: 4,000 clients that were greeted and wait: at most 8 KiB each, and what is counted is not less than what is taken."""
    relay = start.relay(submission={"max_connections": 5000, "max_connections_per_client": 5000})
    before, counted = private(relay.herald.pid), memory_of(relay.herald)
    held = [connect(relay.endpoint) for _ in range(4000)]
    for sock in held:
        assert sock.recv(100).startswith(b"220")
        sock.sendall(b"EHLO x\r\n")
    for sock in held:
        assert sock.recv(1000).startswith(b"250")
    taken = private(relay.herald.pid) - before
    if not sanitized():
        assert taken / 4000 <= 8192
        assert memory_of(relay.herald) - counted >= taken * 0.8
    submit(relay.endpoint, message())
    for sock in held:
        sock.close()
    wait_until(lambda: memory_of(relay.herald) <= counted + 65536, "none of them is counted any more")


def deaf_client(endpoint):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(endpoint)
    sock.setblocking(False)
    return [sock, 0]


def test_clients_that_do_not_read(start):
    """S4: 60 peers with a window of nothing, who ask for replies without end, and come back when they are thrown out."""
    relay = start.relay()
    before, lines = resident(relay.herald.pid), b"EHLO x\r\nNOOP\r\n" * 100
    deaf = [deaf_client(relay.endpoint) for _ in range(60)]
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        for one in deaf:
            try:
                one[1] = (one[1] + one[0].send(lines[one[1]:])) % len(lines)
            except BlockingIOError:
                pass
            except OSError:
                one[0].close()
                one[:] = deaf_client(relay.endpoint)
    submit(relay.endpoint, message())
    relay.sink.wait_messages(1)
    assert memory_of(relay.herald) < 60 * 160 * 1024
    if not sanitized():
        assert resident(relay.herald.pid) - before < 60 * 160 * 1024
    for sock, _ in deaf:
        sock.close()


def test_half_handshakes(start, certificates):
    """S3: 1,000 clients that begin TLS and stop: bounded memory that is given back, and an honest client is served meanwhile."""
    pem, key = certificates.path("good")
    relay = start.relay(queue={"max_memory": "64M"}, submission={
        "tls": "implicit", "certificate": pem, "private_key": key,
        "max_connections": 2000, "max_connections_per_client": 2000, "timeout": "5s"})
    empty = memory_of(relay.herald)
    trust = ssl.create_default_context(cafile=certificates.ca)
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trust.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    held = [connect(relay.endpoint) for _ in range(1000)]
    for number, sock in enumerate(held):
        sock.sendall(hello[:number % len(hello)])
    with trust.wrap_socket(connect(relay.endpoint), server_hostname="localhost") as honest:
        assert honest.recv(100).startswith(b"220")
        honest.sendall(b"QUIT\r\n")
        assert honest.recv(100).startswith(b"221")
    if not sanitized():
        assert resident(relay.herald.pid) < 128 << 20
    assert memory_of(relay.herald) > empty + 900 * 16384, "a handshake is not counted"
    for sock in held:
        sock.close()
    wait_until(lambda: memory_of(relay.herald) <= empty + 65536, "their memory is free")


# -- 64 MiB for everything

@pytest.fixture
def cell():
    """A memory cgroup of 64 MiB, by whichever version the kernel has mounted; the prefix that starts a program in it."""
    for top, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/unified", "memory.max"),
                       ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        path = os.path.join(top, f"herald-test-{os.getpid()}")
        try:
            os.mkdir(path)
        except OSError:
            continue
        try:
            with open(os.path.join(path, limit), "r+") as file:
                file.write(str(64 << 20))
        except OSError:
            os.rmdir(path)
            continue
        yield path, ["/bin/sh", "-c", f'echo $$ >{path}/cgroup.procs && exec "$@"', "sh"]
        wait_until(lambda: try_rmdir(path), "an empty cgroup")
        return
    yield None, []


def try_rmdir(path):
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def killed_in(path):
    for name in ("memory.events", "memory.oom_control"):
        try:
            with open(os.path.join(path, name)) as lines:
                return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        except FileNotFoundError:
            continue
    return 0


@pytest.mark.slow                             # and not with sanitizers, whose memory is not the program's
def test_large_messages_in_little_memory(cell, start):
    """R11, S6: messages of 10 MiB from 25 clients at once: all arrive, nothing is killed, 64 MiB are not passed."""
    path, prefix = cell
    sink = start.smtp_sink()
    port = free_port()
    herald = start.herald(conf.mail(port, sink.host, {"min_free_space": "1M"}), default_relay="smarthost", prefix=prefix)
    data, failed = stuffed(message(body=(b"x" * 998 + b"\r\n") * 10486)), []

    def send(count):
        try:
            for _ in range(count):
                with Client(("127.0.0.1", port)) as client:
                    client.transaction()
                    client.send(data)
                    code, texts = client.reply()
                    assert code == 250, texts
        except (AssertionError, OSError, EOFError) as fault:
            failed.append(fault)
    clients = min(25, LARGE)
    threads = [threading.Thread(target=send, args=(LARGE // clients,)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]
    herald.wait_empty(300)
    assert herald.alive() and resident(herald.pid, "VmHWM") <= 64 << 20
    if path:
        assert killed_in(path) == 0


# -- descriptors

def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_few_descriptors_and_many_clients(start):
    """R11, S5: 64 descriptors and 500 clients: 421 for most, little work, mail still goes out, and it passes."""
    sink = start.py_sink()
    port = free_port()
    herald = start.herald(conf.mail(port, sink.host), default_relay="smarthost", prefix=["prlimit", "--nofile=64:64"])
    endpoint, local = ("127.0.0.1", port), os.path.join(herald.runtime, "submit.sock")
    began, spent = time.monotonic(), cpu_seconds(herald.pid)
    socks = [connect(endpoint) for _ in range(500)]
    greetings = [sock.recv(200)[:9] for sock in socks]
    assert set(greetings) == {b"220 heral", b"421 4.3.2"}
    held = [sock for sock, greeting in zip(socks, greetings) if greeting.startswith(b"220")]
    assert 10 <= len(held) <= 50
    # Those who come back at once, as clients do that know no patience.
    while time.monotonic() - began < 3:
        with connect(endpoint) as sock:
            assert read_all(sock).startswith(b"421")
    share = (cpu_seconds(herald.pid) - spent) / (time.monotonic() - began)
    # Users of this machine, and what goes out, have descriptors of their own.
    ident = message_id()
    submit(local, message(ident))
    wait_until(lambda: ident in sink.idents(), "mail goes out all the same")
    assert herald.ctl("status").returncode == 0
    for sock in socks:
        sock.close()

    def is_greeted():
        with Client(endpoint) as client:
            return client.banner[0] == 220
    wait_until(is_greeted, "a greeting")
    submit(endpoint, message())
    sink.wait_messages(2)
    if not sanitized():
        assert share <= 0.05, f"{share:.1%} of a processor while starved"
