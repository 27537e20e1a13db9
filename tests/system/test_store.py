"""The queue's file and what stands in it: refused when it is not ours, kept when it is; actions on mail in flight."""

import os
import sqlite3
import subprocess
import threading
import time

import pytest

from lib import conf, daemon
from lib.daemon import run
from lib.net import connect, fetch, free_port, need, wait_until
from lib.smtp import message, message_id, submit


def refused(one):
    """A start that must fail: its words."""
    done = run("heraldd", "-d", "-c", one.conffile)
    assert done.returncode not in (0, 70) and done.returncode > 0, f"exit {done.returncode}: {done.stderr}"
    return done.stderr.decode("utf-8", "replace")


def stopped(start):
    """A herald that has run and has a message in its queue; and that message's id."""
    relay = start.relay(host="127.0.0.1:9", queue={"retry_min": "1h"})
    ident = submit(relay.endpoint, message())
    relay.herald.stop()
    return relay, ident, os.path.join(relay.herald.state, "queue.db")


def test_file_that_is_no_database(start):
    """Refused, and left as it is."""
    one = start.relay().herald
    one.stop()
    path = os.path.join(one.state, "queue.db")
    for name in os.listdir(one.state):
        os.unlink(os.path.join(one.state, name))
    with open(path, "wb") as file:
        file.write(b"This is no database, but somebody's only copy of something. " * 100)
    daemon.shutil.chown(path, "nobody", "nogroup")
    os.chmod(path, 0o600)
    assert "queue.db" in refused(one)
    with open(path, "rb") as file:
        assert file.read().startswith(b"This is no database")


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
def test_something_else_in_place_of_the_database(start, kind):
    """F1: not followed, not replaced."""
    one = start.relay().herald
    one.stop()
    path = os.path.join(one.state, "queue.db")
    target = os.path.join(one.directory, "target")
    for name in os.listdir(one.state):
        os.unlink(os.path.join(one.state, name))
    if kind == "symlink":
        with open(target, "w") as file:
            file.write("")
        daemon.shutil.chown(target, "nobody")
        os.symlink(target, path)
    elif kind == "fifo":
        os.mkfifo(path)
        daemon.shutil.chown(path, "nobody")
    else:
        os.mkdir(path)
        daemon.shutil.chown(path, "nobody")
    assert "queue.db" in refused(one)
    if kind == "symlink":
        assert os.path.getsize(target) == 0


def test_newer_schema_is_refused(start):
    """A database that a later herald has changed is not touched by this one."""
    relay, _, path = stopped(start)
    database = sqlite3.connect(path)
    names = [name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert {"message", "recipient", "content", "meta"} <= set(names)
    columns = [row[1] for row in database.execute("PRAGMA table_info(meta)")]
    if "schema" in columns:
        database.execute("UPDATE meta SET schema = 9999")
    else:
        database.execute(f"UPDATE meta SET {columns[1]} = 9999 WHERE {columns[0]} = 'schema'")
    database.execute("PRAGMA user_version = 9999")
    database.commit()
    database.close()
    for name in os.listdir(relay.herald.state):
        daemon.shutil.chown(os.path.join(relay.herald.state, name), "nobody", "nogroup")
    assert "9999" in refused(relay.herald)


def test_pragmas_of_the_database(start):
    """RULES S1: write-ahead log, and after a clean stop nothing but the one file holds mail."""
    relay, ident, path = stopped(start)
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
    for name in os.listdir(relay.herald.state):
        daemon.shutil.chown(os.path.join(relay.herald.state, name), "nobody", "nogroup")
    relay.herald.start()
    assert [one["id"] for one in relay.herald.queue()] == [ident]


def test_hostile_text_is_stored_as_it_is(start):
    """Q1: what looks like SQL in an address is an address."""
    relay = start.relay(queue={"retry_min": "1h", "retry_max": "4h"})
    relay.sink.replies["DATA"] = b"451 4.3.0 later"
    sender = "\"x'/**/UNION/**/SELECT/**/X'00'--\"@example.org"
    recipient = "\"';DROP TABLE message;--\"@example.net"
    ident = submit(relay.endpoint, message(), sender=sender, recipients=[recipient])
    listed = wait_until(lambda: [one for one in relay.herald.queue() if one["recipients"][0]["attempts"] == 1], "the attempt")
    assert (listed[0]["id"], listed[0]["sender"], listed[0]["recipients"][0]["address"]) == (ident, sender, recipient)
    assert [one["id"] for one in relay.herald.queue("--sender", sender)] == [ident]
    relay.sink.replies.clear()
    assert relay.herald.ctl("queue", "retry", ident).returncode == 0
    assert relay.sink.wait_messages(1)[0].sender == sender


def test_remove_while_it_is_being_delivered(start):
    """The peer sits on the last dot: removing is refused or takes effect, and nothing breaks."""
    release = threading.Event()
    relay = start.relay()
    relay.sink.replies["."] = lambda session, taken: b"451 4.3.0 later" if release.wait(60) else None
    ident = submit(relay.endpoint, message())
    wait_until(lambda: relay.sink.sessions and "DATA" in relay.sink.sessions[0].verbs(), "the delivery is under way")
    removed = relay.herald.ctl("queue", "remove", ident).returncode == 0
    release.set()
    if removed:
        relay.herald.wait_empty()
    relay.sink.replies.clear()
    second = message_id()
    submit(relay.endpoint, message(second))
    wait_until(lambda: second in relay.sink.idents(), "new mail flows")
    relay.herald.wait_empty()


def test_retry_while_it_is_being_delivered(start):
    """SIGUSR1 and `queue retry` do not send a second copy of what is on its way."""
    release = threading.Event()
    relay = start.relay(max_connections=5)
    relay.sink.replies["."] = lambda session, taken: release.wait(60) and None
    ident = submit(relay.endpoint, message())
    wait_until(lambda: relay.sink.sessions and "DATA" in relay.sink.sessions[0].verbs(), "the delivery is under way")
    relay.herald.ctl("queue", "retry", ident)
    relay.herald.ctl("queue", "retry", "--all")
    relay.herald.signal(10)
    assert relay.herald.status()["queue"]["messages"] == 1
    release.set()
    relay.herald.wait_empty()
    assert len(relay.sink.messages) == 1


def test_parked_mail_goes_out_on_retry(start):
    """What was parked is not lost: the administrator puts the fault right and says retry."""
    relay = start.relay()
    relay.sink.replies["RCPT"] = b"550 5.1.1 no such user"
    ident = submit(relay.endpoint, message(), sender="")
    wait_until(lambda: relay.herald.queue("--state", "parked"), "parked")
    relay.sink.replies.clear()
    assert relay.herald.ctl("queue", "retry", ident).returncode == 0
    relay.sink.wait_messages(1)
    relay.herald.wait_empty()


def test_history_outlives_the_run(start):
    """What was delivered is known after a crash; with history off it is not, and what was known goes."""
    relay = start.relay()
    ident = submit(relay.endpoint, message(), sender="ann@example.org")
    relay.herald.wait_empty()
    relay.herald.kill()
    relay.herald.start()
    for what in (ident, "Ann@example.org"):
        assert [(row["id"], row["fate"]) for row in relay.herald.ask("trace", what)] == [(ident, "sent")]
    relay.herald.stop()
    without = start.relay(queue={"history": "0s"}, top={"state": relay.herald.state})
    submit(without.endpoint, message(), sender="ann@example.org")
    without.herald.wait_empty()
    wait_until(lambda: without.herald.ask("trace", "ann@example.org") == [], "the history is gone")


def test_started_without_privileges(start):
    """As systemd starts it: already the user, nothing to drop."""
    port = free_port()
    one = start.herald(conf.greeting("welcome", f"127.0.0.1:{port}", text="hi"),
                       prefix=("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--"))
    assert fetch(("127.0.0.1", port)) == b"hi"
    assert one.stop() == 0


def test_idle_daemon_uses_no_processor(start):
    """All three services, a deferred message, a client on each: nothing spins."""
    port, udp = free_port(), free_port()
    smtp = free_port()
    one = start.herald(conf.greeting("welcome", f"127.0.0.1:{port}", text="hi", timeout="60s") + conf.quotes("books", f"127.0.0.1:{udp}", quotes=["a"])
                       + conf.mail(smtp, "127.0.0.1:9", {"retry_min": "1h"}), default_relay="smarthost")
    submit(("127.0.0.1", smtp), message())
    one.wait_log("status=deferred")
    held = [connect(("127.0.0.1", number)) for number in (port, smtp)]

    def ticks():
        with open(f"/proc/{one.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    before = ticks()
    time.sleep(2)                                          # what is measured is time
    assert ticks() - before <= 20
    for sock in held:
        sock.close()


def test_nothing_is_executed_after_the_start(start):
    """RULES X: no exec and no shell in the daemon, whatever an address says."""
    relay = start.relay()
    trace = os.path.join(relay.herald.directory, "trace")
    tracer = subprocess.Popen([need("strace"), "-f", "-e", "trace=execve,fork,vfork", "-o", trace, "-p", str(relay.herald.pid)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert b"attached" in tracer.stderr.readline()
        for address in ('"$(id)"@example.net', "`id`@example.net", "|id@example.net", "-oQ/tmp@example.net", "/etc/passwd@example.net"):
            submit(relay.endpoint, message(), recipients=[address])
        relay.sink.wait_messages(5)
        relay.herald.wait_empty()
    finally:
        tracer.send_signal(2)
        tracer.wait()
        tracer.stderr.close()
    with open(trace) as file:
        assert "execve" not in file.read()
    assert '"$(id)"@example.net' in [one.recipients[0] for one in relay.sink.messages]
