"""Who may ask what of the control socket: root and the daemon's user all, others for their own mail, and no more."""

import contextlib
import json
import os
import random

import pytest

from lib import conf
from lib.daemon import run
from lib.net import connect, free_port, read_all, wait_until
from lib.smtp import message, submit

ANN, BOB = 61001, 61002                      # users without a name do as well


@contextlib.contextmanager
def acting_as(uid):
    """What this process connects in the meantime, it connects as that user (SO_PEERCRED)."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def connect_as(uid, path):
    with acting_as(uid):
        return connect(path)


def ask(sock, **request):
    sock.sendall(json.dumps(request).encode() + b"\n")
    octets = b""
    while not octets.endswith(b"\n"):
        part = sock.recv(65536)
        assert part, f"closed after {octets!r}"
        octets += part
    return json.loads(octets)


def ask_as(who, herald, **request):
    with connect_as(who, herald.control) as sock:
        return ask(sock, **request)


@pytest.fixture
def stuck(start):
    """A herald with one message of ANN's, one of BOB's and one from the network, none of which is delivered."""
    relay = start.relay(queue={"retry_min": "1h", "retry_max": "4h"})
    relay.sink.replies["RCPT"] = b"451 4.3.0 not today"
    relay.socket = os.path.join(relay.herald.runtime, "submit.sock")
    relay.idents = {}
    for uid in (ANN, BOB):
        with acting_as(uid):
            relay.idents[uid] = submit(relay.socket, message())
    relay.idents[None] = submit(relay.endpoint, message())
    wait_until(lambda: relay.herald.status()["queue"]["deferred"] == 3, "all deferred")
    return relay


def test_own_mail_and_no_other(stuck):
    """The uid is the store's: it stands a restart."""
    for _ in range(2):
        for uid in (ANN, BOB):
            answer = ask_as(uid, stuck.herald, verb="queue list")
            assert answer["ok"] and [(one["id"], one["uid"]) for one in answer["result"]] == [(stuck.idents[uid], uid)]
        assert ask_as(61003, stuck.herald, verb="queue list")["result"] == []
        # Filters narrow, and never widen.
        assert ask_as(ANN, stuck.herald, verb="queue list", id=stuck.idents[BOB])["result"] == []
        assert ask_as(ANN, stuck.herald, verb="queue list", uid=BOB)["result"][0]["uid"] == ANN
        assert ask_as(ANN, stuck.herald, verb="queue list", state="held")["result"] == []
        assert {(one["id"], one["uid"]) for one in stuck.herald.queue()} == {(ident, uid) for uid, ident in stuck.idents.items()}
        assert stuck.herald.stop() == 0
        stuck.herald.start()


def test_the_administrator_filters_by_user(stuck):
    def ids(**request):
        return [one["id"] for one in ask_as(0, stuck.herald, verb="queue list", **request)["result"]]
    assert ids(uid=ANN) == [stuck.idents[ANN]]
    assert ids(uid=0) == []
    assert len(ids()) == 3
    for wrong in (-1, 2 ** 32 - 1, 2 ** 40, "0", None, 1.5):
        assert ask_as(0, stuck.herald, verb="queue list", uid=wrong)["exit"] == 64
        assert ask_as(0, stuck.herald, verb="queue remove", all=True, uid=wrong)["exit"] == 64
    assert ask_as(0, stuck.herald, verb="queue remove", all=True, uid=ANN) == {"ok": True, "result": 1}
    assert len(ids()) == 2


def test_what_others_may_not_ask(stuck):
    ident = stuck.idents[ANN]
    before = stuck.herald.queue()
    for verb in ("reload", "queue show", "queue content", "queue retry", "queue hold", "queue release", "queue remove", "queue bounce",
                 "queue reroute", "trace", "relays", "relay pause", "relay resume", "route", "probe"):
        answer = ask_as(ANN, stuck.herald, verb=verb, id=ident, all=True, what=ident, relay="smarthost", name="smarthost",
                        target="smarthost", recipient="bob@example.net")
        assert (answer["ok"], answer["exit"]) == (False, 77), (verb, answer)
        assert "only root" in answer["error"]
    after = stuck.herald.queue()
    for one in before + after:
        del one["age_seconds"]
    assert len(before) == 3 and before == after
    assert stuck.herald.status()["generation"] == 1


def test_short_status_and_health(stuck):
    whole = ask_as(0, stuck.herald, verb="status")["result"]
    short = ask_as(ANN, stuck.herald, verb="status")["result"]
    assert {"relays", "generation", "submission"} <= set(whole)
    assert set(short) == {"version", "uptime", "healthy", "stopping", "queue"}
    assert set(short["queue"]) == {"messages", "active", "deferred", "held", "parked", "oldest_seconds"}
    assert short["queue"]["messages"] == 3
    for uid in (0, ANN):
        assert ask_as(uid, stuck.herald, verb="health") == {"ok": True, "result": {"healthy": True}}


def test_heraldctl_of_a_user(stuck):
    """The programs are there for users too, and say in words and with 77 what is not for them."""
    def ctl(*arguments):
        return run("heraldctl", "-s", stuck.herald.control, *arguments, user="daemon", group="daemon", extra_groups=[])
    assert ctl("health").returncode == 0
    assert ctl("status").returncode == 0
    done = ctl("--json", "queue", "list")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    done = ctl("queue", "remove", "--all")
    assert done.returncode == 77 and b"only root" in done.stderr
    assert len(stuck.herald.queue()) == 3


def test_the_daemons_own_user_is_an_administrator(stuck):
    done = run("heraldctl", "-s", stuck.herald.control, "--json", "queue", "list", user="nobody", group="nogroup", extra_groups=[])
    assert done.returncode == 0 and len(json.loads(done.stdout)) == 3


def test_one_user_cannot_lock_others_out(start):
    """F3: 1,000 connections of one user: a handful is held, the others hear why; root and other users are served."""
    herald = start.relay().herald
    held, told = [], 0
    for _ in range(1000):
        sock = connect_as(ANN, herald.control)
        held.append(sock)
    for sock in held[4:]:
        try:
            told += b"too many connections" in read_all(sock)
        except ConnectionResetError:
            pass
    assert told == 996
    assert ask_as(BOB, herald, verb="health")["ok"]
    assert ask_as(0, herald, verb="queue list")["ok"]
    for sock in held[:4]:
        assert ask(sock, verb="health")["ok"]
        sock.close()

    def is_served():
        with connect_as(ANN, herald.control) as one:
            one.sendall(b'{"verb": "health"}\n')
            return b'"ok":true' in one.recv(65536)
    wait_until(is_served, "room for the user again")


def test_all_users_together_leave_room_for_root(start):
    herald = start.relay().herald
    held = [connect_as(uid, herald.control) for uid in range(62000, 62020) for _ in range(4)]
    served = 0
    for sock in held:
        try:
            sock.sendall(b'{"verb": "health"}\n')
            served += b'"ok":true' in sock.recv(65536)
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert served == 32
    for _ in range(10):
        assert ask_as(0, herald, verb="reload")["ok"]
    for sock in held:
        sock.close()


def test_users_at_the_submission_socket_leave_room_for_root(start):
    """With few descriptors, and mail clients of four users holding what they can get: root still asks, and health is health."""
    herald = start.herald(conf.mail(free_port(), "127.0.0.1:9"), default_relay="smarthost", prefix=["prlimit", "--nofile=256:256"])
    local = os.path.join(herald.runtime, "submit.sock")
    held = [connect_as(uid, local) for uid in range(62000, 62004) for _ in range(100)]
    for sock in held:
        assert sock.recv(3) in (b"220", b"421")
    held += [connect_as(uid, herald.control) for uid in range(62000, 62004) for _ in range(4)]
    for _ in range(5):
        assert herald.ctl("health").returncode == 0
        assert herald.ctl("status").returncode == 0
    for sock in held:
        sock.close()


def frames(seed):
    """Requests as nobody should make them: octets, JSON of every kind, verbs that are not theirs, and halves of them."""
    chance = random.Random(seed)
    verbs = ["queue remove", "queue retry", "reload", "relay pause", "queue list", "status", "trace", "probe", "queue content", "x" * 300, "", "health"]
    values = [True, None, -1, 2 ** 63, 1e308, "", "0", "\u202e\n", "smarthost", [], {}, [[[]]], {"a": {"b": []}}]
    names = ["id", "all", "uid", "limit", "older", "state", "sender", "relay", "what", "verb", "headers"]
    while True:
        kind = chance.randrange(4)
        if kind == 0:
            yield chance.randbytes(chance.randrange(60)).replace(b"\n", b" ")
        elif kind == 1:
            yield json.dumps(chance.choice(values)).encode()
        else:
            request = {chance.choice(names): chance.choice(values) for _ in range(chance.randrange(4))}
            request["verb"] = chance.choice(verbs)
            line = json.dumps(request).encode()
            yield line if kind == 2 else line[:chance.randrange(len(line))]


def test_random_frames_of_a_user(stuck):
    """F2: 100,000 of them change nothing, and others are served all the while."""
    seed = random.randrange(2 ** 32)
    print("seed", seed)
    source = frames(seed)
    before, pid = [one["id"] for one in stuck.herald.queue()], stuck.herald.pid
    for _ in range(50):
        with connect_as(ANN, stuck.herald.control) as sock:
            for _ in range(20):
                sock.sendall(b"".join(next(source) + b"\n" for _ in range(100)))
                answers = b""
                while answers.count(b"\n") < 100:
                    part = sock.recv(65536)
                    assert part
                    answers += part
            sock.sendall(next(source))       # and one that is cut off
        assert ask_as(BOB, stuck.herald, verb="health")["ok"]
    assert stuck.herald.pid == pid and stuck.herald.alive()
    assert [one["id"] for one in stuck.herald.queue()] == before
    assert stuck.herald.status()["generation"] == 1


def test_a_frame_without_end(start):
    """What is no request after 64 KiB closes that client alone."""
    herald = start.relay().herald
    with connect_as(ANN, herald.control) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(b"{" * 300000)
            read_all(sock)
    assert ask_as(ANN, herald, verb="health")["ok"]
