"""What herald fetch tells: it has arrived before a message is deleted, all of it, and it drives no terminal."""

import json
import os
import random
import shutil
import subprocess

import pytest

from lib.daemon import program, sanitized
from lib.fetching import PASSWORD, USER, Fetcher
from lib.pop3_server import Pop3Server

ONE_BY_ONE = ("TOP", "UIDL", "USER")              # no pipelining: each command is sent when the one before is answered
HEADER = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: x\r\n"
CUT = HEADER + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png\r\n\r\npicture"


@pytest.fixture
def serve(start):
    def one(messages, **keywords):
        server = Pop3Server(messages, user=USER, password=PASSWORD, **keywords)
        start.running.append(server)
        return server
    return one


@pytest.fixture
def fetch(tmp_path):
    return Fetcher(str(tmp_path))


def plain(server):
    return f"pop3://{USER}@{server.host}", "--insecure"


@pytest.mark.parametrize("options", [["--delete"], ["--delete", "--json"], ["--new"], ["--new", "--json"]])
def test_a_reader_that_goes(serve, fetch, options):
    """It reads up to the second message and goes: what it has not got is neither deleted nor remembered."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    told = []

    def second(_, line):
        if line == b"RETR 2":
            told.append(os.read(read, 1 << 20))
            os.close(read)

    server = serve([HEADER + b"\r\nprecious %d\r\n" % number for number in (1, 2, 3)], replies={"RETR": second}, capabilities=ONE_BY_ONE)
    done = subprocess.run([program("herald"), *fetch.arguments(*plain(server), *options)], stdout=write, stderr=subprocess.PIPE,
                          cwd=fetch.folder, env=fetch.environment(), timeout=60)
    os.close(write)
    assert done.returncode == 74, done.stderr
    server.replies = {}
    later = fetch.text(*plain(server), *options)
    for number in (1, 2, 3):
        assert (b"precious %d" % number in told[0]) + (f"precious {number}" in later) == 1, (number, told, later)


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--delete"], ["--delete", "--json"], ["--new", "--json"]])
def test_killed_texts(serve, fetch, tmp_path, options):
    """Killed three times and then let live, ten times over: each text was told, or is in a file."""
    seed = int(os.environ.get("HERALD_TEST_SEED", random.randrange(1 << 30)))
    print(f"HERALD_TEST_SEED={seed}")
    chance = random.Random(seed)
    for number in range(10):
        texts = [b"precious %d of %d." % (place, number) for place in range(12)]
        server = serve([HEADER + b"\r\n" + text + b"\r\n" for text in texts], uidls={place: b"%d-%d" % (number, place) for place in range(1, 13)},
                       capabilities=("UIDL", "USER", "PIPELINING"))
        for run in range(4):
            with open(tmp_path / f"output {number} {run}", "wb") as output:
                process = subprocess.Popen([program("herald"), *fetch.arguments(*plain(server), *options)], stdout=output, stderr=subprocess.PIPE,
                                           cwd=fetch.folder, env=fetch.environment())
                try:
                    process.communicate(timeout=60 if run == 3 else chance.uniform(0, 0.1))    # the instant of the kill is what varies
                except subprocess.TimeoutExpired:
                    process.kill()
                process.communicate(timeout=60)
        assert process.returncode == 0 and ("--new" in options or server.messages == {})
        told = b"".join(path.read_bytes() for path in tmp_path.glob(f"output {number} *")) + b"".join(fetch.files().values())
        assert [text for text in texts if text not in told] == []


def test_text_that_json_cuts(serve, fetch):
    """JSON takes 1 MiB of a text: before the message goes from the server, it is kept whole."""
    content = HEADER + b"\r\n" + b"a line of a long text\r\n" * 60000
    server = serve([content, HEADER + b"\r\nshort\r\n"])
    told = sorted(fetch.json(*plain(server), "--delete")["messages"], key=lambda one: one["number"])
    assert [(one["text_truncated"], one["message_file"], one["deleted"], one["faults"]) for one in told] == [
        (True, "message-1.eml", True, []), (False, None, True, [])]
    assert fetch.files() == {"message-1.eml": content} and server.messages == {}


def test_fault_at_the_second_time(serve, fetch):
    """A message that is fetched again, to be kept whole, and then cannot be: it is said why."""
    def refill(session, _):
        if session.verbs().count("RETR") == 2:
            shutil.rmtree(fetch.folder)
            os.makedirs(fetch.folder)

    server = serve([CUT], replies={"RETR": refill})
    done = fetch(*plain(server), "--delete", code=73)
    assert b"cannot make a file" in done.stderr and done.stderr.count(b"an end boundary is missing") == 1
    assert server.messages == {1: CUT}


def test_json_on_a_terminal(serve, fetch):
    server = serve([HEADER.replace(b" x", b" \xe4\xb8\xad=?utf-8?q?=C2=9B31m=1B=E2=80=AE?=") + b"\r\n\xc2\x9b31m\r\n"])
    shown, code = fetch.on_terminal(*plain(server), "--json")
    assert code == 0 and shown.isascii() and "\x1b" not in shown
    told = json.loads(shown)["messages"][0]
    assert (told["subject"], told["text"]) == ("\u4e2d\x9b31m\x1b\u202e", "\x9b31m\n")
    assert "\u4e2d" in fetch.text(*plain(server), "--json")


@pytest.mark.slow
@pytest.mark.parametrize("field", [b"Content-Disposition: attachment; filename=\"%s.png\"", b"Content-Type: image/png\r\nContent-ID: <%s>"])
def test_memory_of_long_names(serve, fetch, tmp_path, field):
    """80 parts whose names are 1 MB each: 64 MiB are enough."""
    parts = b"".join(b"--b\r\n" + field % (b"%d" % number + b"n" * 1000000) + b"\r\n\r\nx\r\n" for number in range(80))
    server = serve([HEADER + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n"])
    with open(tmp_path / "output", "wb") as output:
        code, memory = fetch.measured(*plain(server), "--max-size", "0", "--json", output=output)
    assert code == 0 and len(fetch.files()) == 80 and os.path.getsize(tmp_path / "output") < 100000
    assert memory <= 64 or sanitized()
