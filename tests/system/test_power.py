"""Power cuts (TARGETS R3): what was acknowledged is on the disk, not in a cache."""

import os
import random
import sqlite3
import time

import pytest

from lib import conf, daemon
from lib.load import Load
from lib.net import free_port, wait_until
from lib.power import LOG_FLUSH, NO_LOG_FLUSH, Disk
from lib.smtp import message, submit

CUTS = int(os.environ.get("HERALD_TEST_CUTS", "20"))


@pytest.fixture
def disk(start):
    one = Disk(start.directory)
    start.running.insert(0, one)              # ended after the daemon that uses it
    return one


@pytest.mark.slow
def test_power_cuts(start, disk):
    """Load, cut, mount, start, again and again: 0 acknowledged lost, and the database is whole each time."""
    seed = int(os.environ.get("HERALD_TEST_SEED", random.randrange(1 << 30)))
    print(f"HERALD_TEST_SEED={seed}")
    chance = random.Random(seed)
    sink, port = start.py_sink(), free_port()
    sink.replies["."] = lambda session, taken: b"451 4.3.0 later" if chance.random() < 0.2 else None
    one = start.herald(conf.mail(port, sink.host), default_relay="smarthost", state=disk.state)
    load = Load(("127.0.0.1", port), threads=4, pause=0.005).start()
    for number in range(CUTS):
        time.sleep(chance.uniform(0.05, 0.5))                  # the instant of the cut is what varies
        # Where the power is gone nobody hears a 250; here the client does.  And an fdatasync that the ioctl overtakes may come
        # back without an error (so it does to SQLite alone, in one cut of ten), so what is heard from here on is no promise.
        heard = len(load.acknowledged)
        disk.cut(NO_LOG_FLUSH if number % 2 else LOG_FLUSH)
        one.kill()
        disk.again()
        database = sqlite3.connect(os.path.join(disk.state, "queue.db"))
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database.close()
        for name in os.listdir(disk.state):                    # what root's check made is the daemon's to use
            daemon.shutil.chown(os.path.join(disk.state, name), "nobody", "nogroup")
        load.forget_since(heard)
        one.start()
    load.stop()
    sink.replies.clear()
    one.ctl("queue", "retry", "--all")
    one.wait_empty(180)
    taken = sink.idents()
    print(f"{len(load.acknowledged)} acknowledged, {load.duplicates(taken)} delivered twice, {CUTS} cuts")
    assert len(load.acknowledged) > CUTS, "hardly any load"
    assert not load.lost(taken)


@pytest.mark.parametrize("synchronous,loses", [("NORMAL", True), ("FULL", False)])
def test_the_cut_does_lose_what_is_not_synced(start, disk, synchronous, loses):
    """The control: rows written with synchronous=NORMAL are lost by the same cut, those written with FULL are not."""
    assert start
    path = os.path.join(disk.state, "control.db")
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE t(n)")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.sync()
    database.execute(f"PRAGMA synchronous={synchronous}")
    for number in range(100):
        database.execute("INSERT INTO t VALUES(?)", (number,))
    disk.cut(NO_LOG_FLUSH)
    try:
        database.close()
    except sqlite3.Error:
        pass
    disk.again()
    database = sqlite3.connect(path)
    rows = database.execute("SELECT count(*) FROM t").fetchone()[0]
    database.close()
    assert (rows < 100) == loses, rows


def test_disk_full(start, disk):
    """The file system fills up: refused with 4xx, nothing acknowledged is lost, and it goes on by itself (TARGETS R5)."""
    sink, port = start.py_sink({"RCPT": b"450 4.2.1 not yet"}), free_port()
    one = start.herald(conf.mail(port, sink.host, {"min_free_space": "1M"}), default_relay="smarthost", state=disk.state)
    load = Load(("127.0.0.1", port), threads=2, size=20000)
    filler = os.path.join(disk.path, "filler")
    load.start()
    wait_until(lambda: len(load.acknowledged) > 20, "mail comes in")
    with open(filler, "wb") as file:
        try:
            while True:
                file.write(b"\0" * 1048576)
        except OSError:
            pass
    wait_until(lambda: len(load.refused) > 5, "mail is refused")
    os.unlink(filler)
    before = len(load.acknowledged)
    wait_until(lambda: len(load.acknowledged) > before + 20, "mail comes in again")
    load.stop()
    assert set(load.refused) <= {451, 452}
    sink.replies.clear()
    one.ctl("queue", "retry", "--all")
    one.wait_empty(180)
    assert not load.lost(sink.idents())
    submit(("127.0.0.1", port), message())
