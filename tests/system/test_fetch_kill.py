"""herald fetch dies, or what it writes to fails, at any point: nothing is lost, nothing comes twice (RULES K7)."""

import collections
import contextlib
import email.message
import email.policy
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from lib.daemon import program
from lib.dovecot import Pop3
from lib.net import TIMEOUT, need, wait_until
from lib.power import LOG_FLUSH, NO_LOG_FLUSH, Disk

CUTS = int(os.environ.get("HERALD_TEST_CUTS", "20"))
KILLS = int(os.environ.get("HERALD_TEST_FETCH_KILLS", "100"))
ROUND = 10                                    # kills until a run that is let live, and a look at what is there
TEMP = re.compile(r"\.herald-.*\.part")
CRLF = email.policy.SMTP
# The system calls by which a fetch changes something, or tells the server something.
CALLS = ["openat", "write", "pwrite64", "fsync", "fdatasync", "renameat2", "sendto", "recvfrom", "close", "fcntl", "unlink", "flock"]


class Mail:
    """Messages whose every attachment is of its own, and what a folder has to hold of them."""

    def __init__(self, chance):
        self.chance, self.number, self.expected, self.messages = chance, 0, collections.Counter(), []

    def make(self, whole=False, parts=None):
        self.number += 1
        one = email.message.EmailMessage(CRLF)
        one["From"], one["To"], one["Subject"] = "bob@example.net", "ann@example.org", f"mail {self.number}"
        one.set_content(f"text {self.number}\n")
        self.messages.append(set())
        for part in range(self.chance.randrange(4) if parts is None else parts):
            octets = f"{self.number} {part} ".encode() + self.chance.randbytes(self.chance.choice([0, 100, 200000]))
            self.expected[hashlib.sha256(octets).hexdigest()] += 1
            self.messages[-1].add(hashlib.sha256(octets).hexdigest())
            one.add_attachment(octets, maintype="image", subtype="png", filename="picture.png")
        octets = one.as_bytes()
        if whole:
            self.expected[hashlib.sha256(octets).hexdigest()] += 1
        return octets


class Fetcher:
    """herald fetch with a state and a folder of its own."""

    def __init__(self, directory, server, user="ann"):
        self.server, self.user = server, user
        self.files, self.state = os.path.join(directory, "files"), os.path.join(directory, "state")
        self.password = os.path.join(directory, f"password-{user}")
        os.makedirs(self.files, exist_ok=True)
        with open(self.password, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(server.users[user] + "\n")

    def start(self, *options, prefix=(), files=None, state=None, port=None):
        environment = dict(os.environ, XDG_STATE_HOME=state or self.state)
        if prefix:                             # under strace a build with sanitizers cannot look for leaks
            environment["ASAN_OPTIONS"] = "detect_leaks=0:" + environment.get("ASAN_OPTIONS", "")
        return subprocess.Popen([*prefix, program("herald"), "fetch", f"pop3://{self.user}@127.0.0.1:{port or self.server.port}",
                                 "--insecure", "--password", f"file:{self.password}", "--save-dir", files or self.files, *options],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    def run(self, *options, code=0, **keys):
        """To its end, with this exit code, or one of these (None: any); what it says on standard error."""
        process = self.start(*options, **keys)
        _, faults = process.communicate(timeout=TIMEOUT)
        codes = code if isinstance(code, tuple) else (code,)
        assert code is None or process.returncode in codes, (process.returncode, faults)
        return faults

    def names(self):
        return sorted(os.listdir(self.files))

    def contents(self):
        found = collections.Counter()
        for name in self.names():
            with open(os.path.join(self.files, name), "rb") as file:
                found[hashlib.sha256(file.read()).hexdigest()] += 1
        return found

    def rows(self, table="message"):
        with contextlib.closing(sqlite3.connect(os.path.join(self.state, "herald", "fetch.db"))) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    def is_unfinished(self):
        """Whether the state, if it came to be one, says that files are still to get their names."""
        try:
            return self.rows("part") > 0
        except sqlite3.OperationalError:
            return False

    def assert_whole(self, mail):
        """All attachments, each once, and nothing else."""
        found = self.contents()
        assert found == mail.expected, (f"lost {sum((mail.expected - found).values())}, "
                                        f"too many {sum((found - mail.expected).values())}: {self.names()}")
        assert not [name for name in self.names() if TEMP.fullmatch(name)]

    def assert_all_or_none(self, mail):
        """Of each message all files are there, or none is; which are not there are still on the server."""
        found = set(self.contents())
        saved = [parts for parts in mail.messages if parts <= found]
        assert found == set().union(*saved), self.names()
        assert len(saved) + len(self.server.stored(self.user)) >= len(mail.messages)


def inject(*faults):
    return (need("strace"), "-f", "-qq", "-o", "/dev/null", *(word for fault in faults for word in ("-e", f"inject={fault}")))


@pytest.fixture(scope="module")
def server(start_module):
    one = Pop3(start_module.directory, {"ann": "secret", "bob": "secret", "eve": "secret"}).start()
    start_module.running.append(one)
    return one


@pytest.fixture
def place(start, server):
    for user in server.users:
        server.empty(user)
    return Fetcher(start.directory, server)


@pytest.fixture
def chance():
    seed = int(os.environ.get("HERALD_TEST_SEED", random.randrange(1 << 30)))
    print(f"HERALD_TEST_SEED={seed}")
    return random.Random(seed)


# -- kill -9

def count_calls(place, options, trace):
    """How often a run that is let live makes each of the calls; those before main() are not the point, but do no harm."""
    place.run(*options, prefix=(need("strace"), "-f", "-qq", "-o", trace, "-e", "trace=" + ",".join(CALLS)))
    with open(trace) as file:
        return collections.Counter(match.group(1) for match in re.finditer(r"^\d+ +(\w+)\(", file.read(), re.M))


def run_and_kill(place, options, chance, counts, seconds):
    """Half of the runs die at a system call, half at a time; true unless it came to its end before."""
    at_call = chance.random() < 0.5
    call = chance.choice([name for name in CALLS if counts[name]])
    process = place.start(*options, prefix=inject(f"{call}:signal=SIGKILL:when={chance.randint(1, counts[call])}") if at_call else ())
    try:
        process.communicate(timeout=TIMEOUT if at_call else chance.uniform(0.0, seconds))  # the instant of the kill is what varies
    except subprocess.TimeoutExpired:
        process.kill()
    _, faults = process.communicate(timeout=TIMEOUT)
    assert process.returncode in (0, -signal.SIGKILL), faults
    return process.returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--delete",), ("--new", "--save-message"), ("--new", "--delete")], ids=["delete", "new", "both"])
def test_kills(start, server, place, chance, options):
    """Mail comes in, fetch is killed, again and again: each attachment is there once, and with --delete the mailbox is empty."""
    mail, whole, deletes = Mail(chance), "--save-message" in options, "--delete" in options
    server.fill("ann", *(mail.make(whole) for _ in range(3)))
    counts = count_calls(place, options, os.path.join(start.directory, "trace"))
    begin = time.monotonic()
    server.fill("ann", *(mail.make(whole) for _ in range(3)))
    place.run(*options)
    seconds = time.monotonic() - begin
    killed = 0
    for number in range(1, KILLS // 3 + 2):
        server.fill("ann", *(mail.make(whole) for _ in range(chance.randrange(1, 3))))
        killed += run_and_kill(place, options, chance, counts, seconds)
        if number % ROUND == 0 or number > KILLS // 3:
            place.run(*options)
            place.assert_whole(mail)
            assert place.rows("part") == 0
            # A session that was killed behind its QUIT ends by itself, and its run knows nothing of it.
            left = wait_until(lambda: not server.stored("ann"), "the mailbox is empty") and 0 if deletes else mail.number
            place.run(*options)
            assert place.rows() == left
            place.assert_whole(mail)
    print(f"{killed} killed, {mail.number} messages, {sum(mail.expected.values())} files")
    assert killed > KILLS // 6, "hardly any kill"


@pytest.mark.slow
@pytest.mark.parametrize("call,last", [("renameat2", 4), ("fsync", 9), ("unlink", 2), ("sendto", 8)])
def test_killed_at_each(server, place, chance, call, last):
    """At the first of these calls, then at the second, and so on; a run that is let live completes it."""
    mail = Mail(chance)
    for when in range(1, last + 1):
        server.fill("ann", *(mail.make(parts=2) for _ in range(2)))
        place.run("--delete", code=None, prefix=inject(f"{call}:signal=SIGKILL:when={when}"))
        place.run("--delete")
        place.assert_whole(mail)
        wait_until(lambda: not server.stored("ann"), "the mailbox is empty")


@pytest.fixture
def disk(start):
    one = Disk(start.directory, megabytes=64)
    start.running.append(one)
    return one


@pytest.mark.slow
def test_power_cuts(start, server, place, chance, disk):
    """Killed, and what was not synced is lost as well: each attachment is there once, and what is not is still on the server."""
    mail = Mail(chance)
    place.files, place.state = os.path.join(disk.path, "files"), os.path.join(disk.path, "state")
    server.fill("ann", *(mail.make() for _ in range(3)))
    begin = time.monotonic()
    place.run("--delete")
    seconds = time.monotonic() - begin
    for number in range(CUTS):
        server.fill("ann", *(mail.make() for _ in range(3)))
        process = place.start("--delete")
        try:
            process.communicate(timeout=chance.uniform(0.0, seconds * 1.5))  # the instant of the cut is what varies
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate(timeout=TIMEOUT)
        disk.cut(NO_LOG_FLUSH if number % 2 else LOG_FLUSH)
        disk.again()
        place.run("--delete")
        place.assert_whole(mail)
        wait_until(lambda: not server.stored("ann"), "the mailbox is empty")


def test_recovery_needs_no_server(server, place, chance):
    """What a killed run had taken over gets its name at the next start, whether the server answers or not."""
    mail = Mail(chance)
    server.fill("ann", mail.make(parts=2))
    place.run("--delete", code=None, prefix=inject("renameat2:signal=SIGKILL:when=2"))
    assert len([name for name in place.names() if TEMP.fullmatch(name)]) == 1
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place.run("--delete", code=69, port=nobody.getsockname()[1])
        # Another port is another account: nothing of its own was left there.
        assert place.rows("part") == 2
    server.stop()
    try:
        place.run("--delete", code=69)
        place.assert_whole(mail)
    finally:
        server.start()
    place.run("--delete")
    place.assert_whole(mail)
    assert not server.stored("ann")


def test_quit_unanswered(server, place, chance):
    """The last word got no answer: deleted or not, nothing is saved again, and in the end all is deleted."""
    mail = Mail(chance)
    server.fill("ann", mail.make(parts=1), mail.make(parts=1))
    place.run("--delete", code=None, prefix=inject("sendto:signal=SIGKILL:when=5"))
    for call in range(2, 8):
        place.run("--delete", code=None, prefix=inject(f"recvfrom:signal=SIGKILL:when={call}"))
    place.run("--delete")
    place.assert_whole(mail)
    wait_until(lambda: not server.stored("ann"), "the mailbox is empty")
    place.run("--delete")
    assert place.rows() == 0


# -- two at a time

def test_one_run_for_an_account(server, place, chance):
    """While a run of an account lives another is refused in words; one of another account is not."""
    mail = Mail(chance)
    server.fill("ann", mail.make(parts=1))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        first = place.start("--new", port=port)
        try:
            peer, _ = silent.accept()         # it waits for the greeting
            assert "another herald fetch is at work" in place.run("--new", code=75, port=port)
            place.run("--new")
            peer.close()
        finally:
            first.kill()
            first.communicate(timeout=TIMEOUT)
    place.assert_whole(mail)


def test_many_into_one_folder(start, server, chance):
    """Three accounts into one folder at the same time, all with files of the same name."""
    mail = Mail(chance)
    fetchers = [Fetcher(start.directory, server, user) for user in server.users]
    for one in fetchers:
        server.empty(one.user)
        server.fill(one.user, *(mail.make(parts=3) for _ in range(5)))
    for kind in ("--new", "--delete"):
        running = [one.start(kind) for one in fetchers]
        for process in running:
            _, faults = process.communicate(timeout=TIMEOUT)
            assert process.returncode == 0, faults
        if kind == "--new":
            fetchers[0].assert_whole(mail)
            for name in fetchers[0].names():
                os.unlink(os.path.join(fetchers[0].files, name))
    fetchers[0].assert_whole(mail)
    assert fetchers[0].rows() == 0


# -- what fails

WORDS = re.compile(r"^herald: .*(Input/output error|disk I/O error|No space left|disk is full|Disk quota)", re.M)


@pytest.mark.parametrize("fault", ["renameat2:error=EIO", "renameat2:error=EDQUOT", "fsync:error=EIO", "fdatasync:error=EIO",
                                   "pwrite64:error=ENOSPC"])
def test_faults(server, place, chance, fault):
    """From the first such call on, from the second, and so on: words, an exit code, what is not saved whole is not there and stays
    on the server; the next run does it all."""
    for when in range(1, 100, 1 if fault.startswith("renameat2") else 4):
        mail = Mail(chance)
        for name in place.names():
            os.unlink(os.path.join(place.files, name))
        server.fill("ann", mail.make(parts=2), mail.make(parts=1))
        faults = place.run("--delete", code=(0, 73, 74), prefix=inject(f"{fault}:when={when}+"))
        # What was given over before the state could not be written any more is completed by the next run.
        if not place.is_unfinished():
            place.assert_all_or_none(mail)
        place.run("--delete")
        place.assert_whole(mail)
        assert not server.stored("ann")
        assert place.rows() == 0
        if not faults:
            assert when > 3
            return
        assert WORDS.search(faults), faults
    raise AssertionError("it never comes to an end")


@pytest.fixture
def small(start):
    """A file system of 1 MiB."""
    path = os.path.join(start.directory, "small")
    os.mkdir(path)
    subprocess.run([need("mount"), "-t", "tmpfs", "-o", "size=1m,mode=0700", "small", path], check=True)
    yield path
    subprocess.run([need("umount"), path], check=True)


@pytest.mark.parametrize("kind", ["--all", "--new", "--delete"])
def test_disk_full(server, place, chance, small, kind):
    """A part too many for the disk: 74, what is begun goes, the message stays; those before it are whole."""
    mail = Mail(chance)
    large = email.message.EmailMessage(CRLF)
    large.add_attachment(chance.randbytes(100000), maintype="image", subtype="png", filename="first.png")
    large.add_attachment(chance.randbytes(2000000), maintype="image", subtype="png", filename="second.png")
    server.fill("ann", mail.make(parts=1), large.as_bytes())
    faults = place.run(kind, code=74, files=small)
    assert "No space left on device" in faults
    assert os.listdir(small) == ["picture.png"]
    place.run(kind, "--save-message", code=0)
    expected = {hashlib.sha256(part.get_content()).hexdigest() for part in large.iter_attachments()}
    assert expected <= set(place.contents())
    assert len(server.stored("ann")) == (0 if kind == "--delete" else 2)


def test_state_full(server, place, chance, small):
    """There is little room to remember in, or none: what cannot be remembered is not saved, and not deleted."""
    mail, faults, filler = Mail(chance), [], os.path.join(small, "filler")
    place.state = small
    for room in (0, 4, 16, 40, 64, 100, 130, 160, 200, 400):             # KiB
        server.fill("ann", mail.make(parts=2), mail.make(parts=1))
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                file.truncate(max(0, file.tell() - room * 1024))
        faults.append(place.run("--delete", code=(0, 73, 74)))
        assert not faults[-1] or WORDS.search(faults[-1]), faults[-1]
        os.unlink(filler)
        if not place.is_unfinished():
            place.assert_all_or_none(mail)
        place.run("--delete")
        place.assert_whole(mail)
        assert not server.stored("ann")
    assert faults[0] and not faults[-1]


def test_what_stands_there(start, server, place, chance):
    """A link, a FIFO, a folder of the name wished: each has it, none is followed, opened or replaced."""
    mail = Mail(chance)
    target = os.path.join(start.directory, "target")
    os.symlink(target, os.path.join(place.files, "picture.png"))
    os.mkfifo(os.path.join(place.files, "picture (2).png"))
    os.mkdir(os.path.join(place.files, "picture (3).png"))
    server.fill("ann", mail.make(parts=1))
    place.run("--delete")
    assert place.names() == ["picture (2).png", "picture (3).png", "picture (4).png", "picture.png"]
    assert not os.path.exists(target)
    with open(os.path.join(place.files, "picture (4).png"), "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() in mail.expected


def test_name_that_the_disk_does_not_take(server, place, chance):
    """Too long for it, or with a character that it does not know: the file gets a plain name, and mail goes on."""
    mail = Mail(chance)
    server.fill("ann", mail.make(parts=1))
    for fault in ("ENAMETOOLONG", "EILSEQ"):
        place.run("--all", prefix=inject(f"renameat2:error={fault}:when=1"))
    assert place.names() == ["part (2).png", "part.png"]


def test_no_folder(start, server, place, chance):
    """No place to save in is found out before the server is asked."""
    mail = Mail(chance)
    server.fill("ann", mail.make(parts=1))
    for path, words in ((os.path.join(start.directory, "a", "b"), "No such file"), (place.password, "Not a directory"),
                        ("/proc/nothing", "No such file")):
        assert words in place.run("--delete", code=73, files=path)
    shutil.rmtree(place.state)
    os.symlink(start.directory, place.state)
    os.mkdir(os.path.join(start.directory, "herald"))
    os.symlink("/nonexistent", os.path.join(start.directory, "herald", "fetch.db"))
    assert "is a symbolic link" in place.run("--delete", code=73)
    assert len(server.stored("ann")) == 1


def test_foreign_state(server, place, chance):
    """A state of a later release is not touched, nor is what is none."""
    mail = Mail(chance)
    server.fill("ann", mail.make(parts=1))
    place.run("--new")
    database = sqlite3.connect(os.path.join(place.state, "herald", "fetch.db"))
    database.execute("UPDATE meta SET value = '2' WHERE name = 'version'")
    database.commit()
    database.close()
    assert "is of another release" in place.run("--delete", code=74)
    assert len(server.stored("ann")) == 1
    with open(os.path.join(place.state, "herald", "fetch.db"), "wb") as file:
        file.write(b"no database\n" * 1000)
    assert "is damaged" in place.run("--delete", code=74)
    assert len(server.stored("ann")) == 1
