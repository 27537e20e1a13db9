"""heraldctl (SPEC 2): verbs, JSON shapes, exit codes, and the signals that do the same."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest

from lib import conf
from lib.daemon import program, run
from lib.net import TIMEOUT, connect, fetch, free_port, wait_until
from lib.smtp import Client, message, message_id, submit


@pytest.fixture
def stuck(start):
    """A herald whose peer refuses everything for now, with an hour until the next attempt."""
    relay = start.relay(queue={"retry_min": "1h", "retry_max": "4h"})
    relay.sink.replies["RCPT"] = b"451 4.3.0 not today"
    return relay


def deferred(relay, count, **keywords):
    idents = [submit(relay.endpoint, message(), **keywords) for _ in range(count)]
    wait_until(lambda: relay.herald.status()["queue"]["deferred"] >= count, "all deferred")
    return idents


def test_status_json(start):
    port, udp = free_port(), free_port()
    one = start.herald(conf.greeting("welcome", f"127.0.0.1:{port}", text="hi") + conf.quotes("books", f"127.0.0.1:{udp}", quotes=["a"])
                       + conf.mail(free_port(), "127.0.0.1:9"), default_relay="smarthost")
    fetch(("127.0.0.1", port))
    status = one.status()
    assert re.match(r"\d+\.\d+", status["version"])
    assert isinstance(status["uptime"], int) and 0 <= status["uptime"] < 600
    assert isinstance(status["generation"], int)
    assert status["queue"] == {"messages": 0, "active": 0, "deferred": 0, "held": 0, "parked": 0, "oldest_seconds": 0} or \
        {"messages", "active", "deferred", "held", "parked", "oldest_seconds"} <= set(status["queue"])
    assert "welcome" in json.dumps(status["greeting"])
    assert "books" in json.dumps(status["quotes"])
    assert "smarthost" in json.dumps(status["relays"])


def test_status_for_people(start):
    one = start.herald(conf.greeting("welcome", f"127.0.0.1:{free_port()}", text="hi"))
    done = one.ctl("status")
    assert done.returncode == 0 and b"welcome" in done.stdout
    assert one.ctl("s" + "tat").stdout.split()[0] == done.stdout.split()[0]


def test_queue_counts(stuck):
    deferred(stuck, 3)
    queue = stuck.herald.status()["queue"]
    assert (queue["messages"], queue["deferred"], queue["active"], queue["held"], queue["parked"]) == (3, 3, 0, 0, 0)
    assert 0 <= queue["oldest_seconds"] < 300


def test_queue_list_json(stuck):
    ident = deferred(stuck, 1, recipients=["bob@example.net", "carol@example.net"])[0]
    listed = stuck.herald.queue()
    assert len(listed) == 1
    one = listed[0]
    assert one["id"] == ident
    assert one["sender"] == "ann@example.org"
    assert one["size"] > 100 and 0 <= one["age_seconds"] < 300
    assert [recipient["address"] for recipient in one["recipients"]] == ["bob@example.net", "carol@example.net"]
    for recipient in one["recipients"]:
        assert recipient["state"] == "deferred" and recipient["attempts"] == 1
        assert recipient["next_attempt"]
        assert "451 4.3.0 not today" in recipient["reply"]


def test_queue_list_filters(stuck):
    first = deferred(stuck, 2)
    other = submit(stuck.endpoint, message(), sender="dora@example.org", recipients=["emil@example.net"])
    wait_until(lambda: stuck.herald.status()["queue"]["deferred"] == 3, "all deferred")

    def ids(*filters):
        return {one["id"] for one in stuck.herald.queue(*filters)}
    assert ids() == {*first, other}
    assert ids("--sender", "dora@example.org") == {other}
    assert ids("--recipient", "bob@example.net") == set(first)
    assert ids("--state", "deferred") == {*first, other}
    assert ids("--state", "parked") == set()
    assert ids("--relay", "smarthost") == {*first, other}
    assert ids("--older", "2h") == set()
    assert len(ids("--limit", "2")) == 2


def test_queue_list_for_people(stuck):
    ident = deferred(stuck, 1)[0]
    text = stuck.herald.ctl("queue", "list").stdout.decode()
    line = next(line for line in text.splitlines() if ident in line)
    assert "ann@example.org" in line and "bob@example.net" in text and "not today" in text


def test_empty_queue(start):
    relay = start.relay()
    assert relay.herald.queue() == []
    done = relay.herald.ctl("queue", "list")
    assert done.returncode == 0


def test_queue_show(stuck):
    ident = deferred(stuck, 1)[0]
    text = stuck.herald.ctl("queue", "show", ident).stdout.decode()
    for word in (ident, "ann@example.org", "bob@example.net", "451 4.3.0 not today"):
        assert word in text
    shown = stuck.herald.ask("queue", "show", ident)
    assert shown["id"] == ident and shown["recipients"][0]["attempts"] == 1


def test_queue_show_headers_and_content(stuck):
    content = message(body=b"the very words\r\n")
    ident = submit(stuck.endpoint, content)
    headers = stuck.herald.ctl("queue", "show", ident, "--headers").stdout.decode()
    assert "Subject: test" in headers and "the very words" not in headers
    whole = stuck.herald.ctl("queue", "show", ident, "--content").stdout.decode()
    assert "the very words" in whole


@pytest.mark.parametrize("verb", ["show", "retry", "remove"])
def test_unknown_id(stuck, verb):
    done = stuck.herald.ctl("queue", verb, "0123456789ABCDEF")
    assert done.returncode not in (0, 69, 70)
    assert done.stderr


@pytest.mark.parametrize("option", ["--sender", "--recipient", "--state", "--relay"])
@pytest.mark.parametrize("verb", ["retry", "remove"])
def test_empty_filter_is_a_mistake(stuck, verb, option):
    """A variable that is not set in somebody's script must not mean the whole queue."""
    deferred(stuck, 1)
    done = stuck.herald.ctl("queue", verb, "--all", option, "")
    assert done.returncode == 64 and done.stderr
    assert len(stuck.herald.queue()) == 1


@pytest.mark.parametrize("words", [("queue", "remove", "--all", "--limit", "1"), ("queue", "retry", "--all", "--limit", "1"),
                                   ("queue", "remove", "--all", "--limit", "1", "--dry-run"), ("reload", "--dry-run"),
                                   ("queue", "list", "--dry-run")])
def test_options_that_would_mislead(stuck, words):
    """A limit that an act would not keep, a dry run of what is no act: refused, and nothing happens."""
    deferred(stuck, 2)
    done = stuck.herald.ctl(*words)
    assert done.returncode == 64 and done.stderr
    assert len(stuck.herald.queue()) == 2
    assert stuck.herald.status()["generation"] == 1


def test_what_is_no_id_is_said_to_be_none(stuck):
    deferred(stuck, 1)
    for word in ("nonsense", "-1", "12345678901234567"):
        done = stuck.herald.ctl("queue", "remove", "--", word)
        assert done.returncode == 65 and b"not a queue id" in done.stderr
    long_line = b"x" * 63 + b" " + stuck.herald.queue()[0]["id"].encode() + b"\n"
    stuck.herald.ctl("queue", "remove", "-", input=long_line)
    assert len(stuck.herald.queue()) == 1


def test_retry_delivers_at_once(stuck):
    """Due now, though the next attempt was an hour away; the others stay."""
    idents = deferred(stuck, 2)
    stuck.sink.replies.clear()
    assert stuck.herald.ctl("queue", "retry", idents[0]).returncode == 0
    stuck.sink.wait_messages(1)
    wait_until(lambda: [one["id"] for one in stuck.herald.queue()] == idents[1:], "only the other is left")
    assert stuck.herald.ctl("queue", "retry", "--all").returncode == 0
    stuck.sink.wait_messages(2)
    stuck.herald.wait_empty()


def test_retry_reads_ids_from_standard_input(stuck):
    idents = deferred(stuck, 3)
    stuck.sink.replies.clear()
    done = stuck.herald.ctl("queue", "retry", "-", input="\n".join(idents[:2]).encode() + b"\n")
    assert done.returncode == 0, done.stderr
    stuck.sink.wait_messages(2)
    wait_until(lambda: [one["id"] for one in stuck.herald.queue()] == idents[2:], "one is left")


def test_dry_run_changes_nothing(stuck):
    idents = deferred(stuck, 2)
    done = stuck.herald.ctl("queue", "remove", "--all", "--dry-run")
    assert done.returncode == 0
    assert all(ident.encode() in done.stdout for ident in idents)
    assert len(stuck.herald.queue()) == 2


def test_remove(stuck):
    """Gone without a report, and gone after a restart; its log line says so."""
    idents = deferred(stuck, 3)
    assert stuck.herald.ctl("queue", "remove", idents[1]).returncode == 0
    assert {one["id"] for one in stuck.herald.queue()} == {idents[0], idents[2]}
    stuck.herald.wait_log(rf"{idents[1]}: removed")
    stuck.herald.stop()
    stuck.herald.start()
    assert {one["id"] for one in stuck.herald.queue()} == {idents[0], idents[2]}
    assert stuck.herald.ctl("queue", "remove", "--all").returncode == 0
    stuck.herald.wait_empty()
    assert not stuck.sink.messages


def test_unique_prefixes_of_verbs(stuck):
    deferred(stuck, 1)
    assert json.loads(stuck.herald.ctl("--json", "q", "l").stdout) == stuck.herald.queue() or \
        len(json.loads(stuck.herald.ctl("--json", "q", "l").stdout)) == 1
    assert stuck.herald.ctl("h").returncode == 0
    ambiguous = stuck.herald.ctl("queue", "re", "x")
    assert ambiguous.returncode == 64 and b"queue re" in ambiguous.stderr


def test_health(start):
    relay = start.relay()
    done = relay.herald.ctl("health")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert relay.herald.ctl("health", "-v").stdout


def test_when_the_daemon_is_down(start):
    one = start.herald("", start=False)
    for arguments in (("status",), ("queue", "list"), ("reload",), ("--json", "status")):
        done = one.ctl(*arguments)
        assert done.returncode == 69
        assert done.stderr.startswith(b"heraldctl: ")
    assert one.ctl("health").returncode in (1, 69)


def test_socket_left_by_a_crash_is_replaced(start):
    one = start.relay().herald
    one.kill()
    assert one.ctl("status").returncode == 69
    one.start()
    assert one.ctl("health").returncode == 0


def test_control_socket_is_not_for_everyone(start):
    """Another user may ask how it goes, and not remove mail: test_rights.py."""
    relay = start.relay()
    assert os.stat(relay.herald.control).st_mode & 0o777 == 0o666
    done = run("heraldctl", "-s", relay.herald.control, "reload", user="daemon", group="daemon", extra_groups=[])
    assert done.returncode == 77


def test_clients_of_the_control_socket_that_misbehave(start):
    """Half a request, garbage, a closed socket: the others are served."""
    relay = start.relay()
    idle = connect(relay.herald.control)
    for octets in (b"", b"\x00\xff" * 500, b"{" * 100000, b"status", b"\n\n\n"):
        with connect(relay.herald.control) as sock:
            try:
                sock.sendall(octets)
            except (BrokenPipeError, ConnectionResetError):
                pass
    assert relay.herald.status()["queue"]["messages"] == 0
    idle.close()


def test_sigusr1_makes_all_due(stuck):
    deferred(stuck, 3)
    stuck.sink.replies.clear()
    stuck.herald.signal(signal.SIGUSR1)
    stuck.sink.wait_messages(3)
    stuck.herald.wait_empty()


def test_sigusr2_writes_status_to_the_log(stuck):
    deferred(stuck, 2)
    mark = stuck.herald.mark()
    stuck.herald.signal(signal.SIGUSR2)
    stuck.herald.wait_log(r"heraldd\[\d+\]: .*status.*\b2\b", since=mark)


def test_sigpipe_and_sighup_do_not_kill(stuck):
    stuck.herald.signal(signal.SIGPIPE)
    stuck.herald.reload()
    assert stuck.herald.alive()


def test_queue_survives_a_restart(stuck):
    """Attempts and the time of the next one are kept."""
    deferred(stuck, 1)
    before = stuck.herald.queue()[0]
    assert stuck.herald.stop() == 0
    stuck.herald.start()
    after = stuck.herald.queue()[0]
    for key in ("id", "sender", "size"):
        assert before[key] == after[key]
    assert before["recipients"] == after["recipients"]
    stuck.sink.replies.clear()
    ident = message_id()
    submit(stuck.endpoint, message(ident))
    wait_until(lambda: ident in stuck.sink.idents(), "new mail flows")
    assert len(stuck.herald.queue()) == 1


def on_a_terminal(herald, *arguments):
    """What heraldctl writes where somebody looks at it."""
    ours, its = os.openpty()
    with subprocess.Popen([program("heraldctl"), "-s", herald.control, *arguments], stdin=subprocess.DEVNULL, stdout=its) as ctl:
        os.close(its)
        text = b""
        while True:
            try:
                text += os.read(ours, 65536)
            except OSError:                  # the other end is closed
                break
        os.close(ours)
    assert ctl.returncode == 0
    return text.decode()


HOSTILE = "\x1b[31m \u009b1m \u202egnp.exe \u2066 \u200b \ufeff"


def test_mail_does_not_command_the_terminal(stuck):
    """RULES L1: not by its content, and not by an address that shows as another."""
    stuck.sink.extensions.append("SMTPUTF8")
    with Client(stuck.endpoint) as client:
        client.hello()
        assert client.code("MAIL FROM:<a\u200bnn\u200f@example.org> SMTPUTF8") == 250
        assert client.code("RCPT TO:<bob@example.net>") == 250
        assert client.code("DATA") == 354
        assert client.code(f"Subject: {HOSTILE}\r\n\r\n{HOSTILE}\r\n.") == 250
    wait_until(lambda: stuck.herald.status()["queue"]["deferred"] == 1, "deferred")
    ident = stuck.herald.queue()[0]["id"]
    for words in (["queue", "list"], ["queue", "show", ident], ["trace", ident], ["queue", "show", ident, "--content"],
                  ["queue", "show", ident, "--headers"], ["--json", "queue", "list"],
                  ["--json", "queue", "show", ident, "--content"], ["queue", "hold", ident, "--dry-run"]):
        text = on_a_terminal(stuck.herald, *words)
        assert len(text) > 10 and not set(HOSTILE.replace("gnp.exe", "")) - set(" [31m") & set(text), (words, text)
        assert "\u200f" not in text, (words, text)
    whole = stuck.herald.ctl("queue", "show", ident, "--content").stdout.decode()
    assert HOSTILE in whole                  # a pipe gets it as it is
    assert stuck.herald.queue()[0]["sender"] == "a\u200bnn\u200f@example.org"


@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("verb", ["queue retry", "queue list", "trace"])
def test_stop_while_the_queue_is_asked(stuck, verb, stays):
    """What is asked is answered by the queue when the control socket has gone already."""
    for _ in range(10):
        submit(stuck.endpoint, message(), recipients=[f"bob{n}@example.net" for n in range(50)])
    wait_until(lambda: stuck.herald.status()["queue"]["deferred"] == 500, "all deferred")
    clients = []
    for _ in range(40):
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].connect(stuck.herald.control)
    # It sees them all, and the signal, in one turn.
    stuck.herald.signal(signal.SIGSTOP)
    for client in clients:
        client.sendall(json.dumps({"verb": verb, "all": True, "what": "bob1@example.net"}).encode() + b"\n")
        if not stays:
            client.close()
    stuck.herald.signal(signal.SIGTERM)
    stuck.herald.signal(signal.SIGCONT)
    assert stuck.herald.process.wait(TIMEOUT) == 0
    for client in clients:
        client.close()
