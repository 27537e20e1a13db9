"""Mail of this machine leaves with names that the world can answer; mail of others stays as it came (SPEC 3 and 4, identity)."""

import base64
import email.utils
import json
import os
import re
import socket
import subprocess

import pytest

from lib.conf import block, mail
from lib.daemon import program
from lib.dns import OWN4, World
from lib.net import free_port
from lib.secure import PASSWORD, USER, users_file
from lib.smtp import Client, stuffed, submit

ALIASES = """\
# who reads what
root: admin@example.org
www-data: root
ops: ann@example.com,
  bob@example.net
"the boss": chief@example.org
pi: \\pi
"""
CRON = (b"From: root (Cron Daemon)\r\nTo: root\r\nSubject: Cron <root@web1> backup\r\nContent-Type: text/plain\r\n\r\n"
        b"To: root\r\n")
HEAD = b"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@client.example.org>\r\n"


class Machine:
    """A herald with an aliases file and a sink behind it."""

    def __init__(self, start, aliases=ALIASES, submission=None, top=None, **identity):
        self.sink = start.py_sink()
        self.port = free_port()
        self.herald = start.herald("", start=False, default_relay="smarthost", **(top or {}))
        self.aliases = os.path.join(self.herald.directory, "aliases")
        self.write(aliases)
        self.body = mail(self.port, self.sink.host, None, submission)
        self.configure(**identity)
        self.herald.start()
        self.endpoint = ("127.0.0.1", self.port)

    def write(self, aliases):
        with open(self.aliases, "w") as file:
            file.write(aliases)

    def configure(self, **identity):
        self.herald.configure(self.body + block("identity", **{"aliases": self.aliases, **identity}))

    def submit(self, content, sender="root", recipients=("root",), count=1):
        """Hands it in; what the sink has then."""
        queue_id = submit(self.endpoint, content, sender, recipients)
        return queue_id, self.sink.wait_messages(count)[-1]


def header(taken):
    """The fields at the sink but for Received, unfolded by nobody."""
    return taken.without_received().split(b"\r\n\r\n")[0] + b"\r\n"


# --- from end to end

def test_root_to_root(start):
    """What cron hands in is mail that a provider takes and a person can answer."""
    machine = Machine(start)
    queue_id, taken = machine.submit(CRON)
    assert (taken.sender, taken.recipients) == ("root@herald.example.org", ["admin@example.org"])
    fields = header(taken)
    assert fields.startswith(b"From: root@herald.example.org (Cron Daemon)\r\nTo: admin@example.org\r\n"
                             b"Subject: Cron <root@web1> backup\r\nContent-Type: text/plain\r\n")
    date = re.search(rb"^Date: (.*)\r\n", fields, re.M).group(1).decode()
    assert email.utils.parsedate_to_datetime(date)
    assert re.search(rb"^Message-ID: <\d{14}\.%s@herald\.example\.org>\r\n" % queue_id.encode(), fields, re.M)
    assert taken.content.endswith(b"\r\n\r\nTo: root\r\n")
    machine.herald.wait_log(rf"smtp\[\d+\]: {queue_id}: to=<admin@example\.org>, orig_to=<root@herald\.example\.org>, relay=")
    machine.herald.wait_log(rf"cleanup\[\d+\]: {queue_id}: message-id=<\d+\.{queue_id}@herald\.example\.org>")
    machine.herald.wait_empty()


def test_unix_socket(start):
    machine = Machine(start)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(os.path.join(machine.herald.runtime, "submit.sock"))
        file = sock.makefile("rwb")
        for line in (None, b"EHLO app", b"MAIL FROM:<www-data>", b"RCPT TO:<ops>", b"RCPT TO:<ann@example.com>", b"DATA",
                     CRON + b"."):
            if line is not None:
                file.write(line + b"\r\n")
                file.flush()
            reply = file.readline()
            while reply[3:4] == b"-":
                reply = file.readline()
            assert reply[:1] in b"23", (line, reply)
    taken = machine.sink.wait_messages(1)[0]
    assert taken.sender == "www-data@herald.example.org"
    assert sorted(taken.recipients) == ["ann@example.com", "bob@example.net"]
    machine.herald.wait_log(r"pickup\[\d+\]: [0-9A-F]+: uid=0 from=<www-data@herald\.example\.org>")


def test_nothing_is_left_local(start):
    """No name without a domain and no localhost leaves: a provider would make somebody's address of `pi`."""
    machine = Machine(start, domain="mail.example.org", local_names=["localhost", "web1"])
    content = (b"From: pi\r\nSender: root@localhost\r\nReply-To: <pi@web1>\r\nTo: pi, \"the boss\",\r\n\troot@WEB1 (x)\r\n"
               b"Cc: Group: pi@localhost, www-data;\r\n" + HEAD + b"\r\nbody\r\n")
    _, taken = machine.submit(content, "pi", ("pi", '"the boss"', "root@web1", "nobody@localhost"))
    assert taken.sender == "pi@mail.example.org"
    assert taken.recipients == ["pi@mail.example.org", "chief@example.org", "admin@example.org", "nobody@mail.example.org"]
    assert header(taken) == (
        b"From: pi@mail.example.org\r\nSender: root@mail.example.org\r\nReply-To: <pi@mail.example.org>\r\n"
        b"To: pi@mail.example.org, chief@example.org,\r\n\tadmin@example.org (x)\r\n"
        b"Cc: Group: pi@mail.example.org, admin@example.org;\r\n" + HEAD)


def test_one_sender(start):
    machine = Machine(start, sender="web1@example.org", **{"from": "noreply@example.org"})
    _, taken = machine.submit(b"From: Ann <ann@example.com>\r\nTo: carol@example.net\r\n" + HEAD + b"\r\nbody\r\n",
                              "ann@example.com", ("carol@example.net",))
    assert (taken.sender, taken.recipients) == ("web1@example.org", ["carol@example.net"])
    assert header(taken) == (b"From: Ann <noreply@example.org>\r\nX-Original-From: Ann <ann@example.com>\r\n"
                             b"To: carol@example.net\r\n" + HEAD)
    _, taken = machine.submit(CRON, "", ("root",), 2)
    assert taken.sender == ""
    assert header(taken).startswith(b'From: "Cron Daemon" <noreply@example.org>\r\nX-Original-From: root (Cron Daemon)\r\n')


def test_one_from_for_any_reader(start):
    """What stands beside the one address in From, or behind it, leaves as X-Original-From alone."""
    machine = Machine(start, **{"from": "machine@example.org"})
    for count, (fields, expected) in enumerate((
            (b"From: ceo@bank.example: pi;\r\n",
             b'From: "pi@herald.example.org" <machine@example.org>\r\nX-Original-From: ceo@bank.example: pi;\r\n'),
            (b"From: <machine@example.org> ceo@bank.example\r\n",
             b"From: machine@example.org\r\nX-Original-From: <machine@example.org> ceo@bank.example\r\n"),
            (b"From: pi, root\r\nSender: pi, root\r\nFrom: ceo@bank.example\r\n",
             b'From: "pi@herald.example.org" <machine@example.org>\r\nX-Original-From: pi, root\r\n'
             b'Sender: "pi@herald.example.org" <machine@example.org>\r\nX-Original-From: ceo@bank.example\r\n')), 1):
        _, taken = machine.submit(fields + HEAD + b"\r\nFrom: pi\r\n", count=count)
        assert header(taken) == expected + HEAD
        assert [addr for _, addr in email.utils.getaddresses(email.message_from_bytes(taken.content).get_all("From"))] == [
            "machine@example.org"]


def test_reports_find_their_reader(start):
    """Mail of root that fails comes back to who reads root's mail, the header of the report too."""
    machine = Machine(start)
    machine.sink.replies["RCPT"] = lambda session, line: b"550 5.1.1 no such user" if b"nobody@" in line else None
    submit(machine.endpoint, CRON, "root", ("nobody@example.net",))
    report = machine.sink.wait_messages(1)[0]
    assert (report.sender, report.recipients) == ("", ["admin@example.org"])
    assert re.search(rb"^To: <?admin@example\.org>?\r\n", report.content, re.M)
    machine.herald.wait_empty()


def test_reports_to_several(start):
    machine = Machine(start)
    machine.sink.replies["RCPT"] = lambda session, line: b"550 5.1.1 no such user" if b"nobody@" in line else None
    submit(machine.endpoint, CRON, "ops", ("nobody@example.net",))
    report = machine.sink.wait_messages(1)[0]
    assert sorted(report.recipients) == ["ann@example.com", "bob@example.net"]


# --- mail of others

FOREIGN = b"From: root\r\nTo: root@localhost, pi\r\nSubject: x\r\n\r\nbody\r\n"


def check_untouched(machine, client, sender="ann@example.org"):
    with client:
        client.hello()
        assert client.code("MAIL FROM:<root>") in (501, 553)
        assert client.code(f"MAIL FROM:<{sender}>") == 250
        assert client.code("RCPT TO:<pi>") in (501, 553)
        assert client.code("RCPT TO:<root@localhost>") == 250
        assert client.code("DATA") == 354
        client.send(stuffed(FOREIGN))
        assert client.reply()[0] == 250
    taken = machine.sink.wait_messages(1)[0]
    assert (taken.sender, taken.recipients) == (sender, ["root@localhost"])
    assert taken.without_received() == FOREIGN
    assert "orig_to" not in machine.herald.log()


def test_authenticated_mail_is_untouched(start):
    machine = Machine(start, submission={"users": users_file(start.directory)}, sender="web1@example.org",
                      **{"from": "noreply@example.org"})
    client = Client(machine.endpoint)
    client.hello()
    plain = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    assert client.code(f"AUTH PLAIN {plain}") == 235
    check_untouched(machine, client)


def test_proxied_mail_is_untouched(start):
    machine = Machine(start, submission={"proxies": ["127.0.0.1"], "allow": ["127.0.0.0/8", "192.0.2.0/24"]},
                      sender="web1@example.org")
    client = Client(machine.endpoint, banner=False)
    client.send(b"PROXY TCP4 192.0.2.9 192.0.2.1 40000 25\r\n")
    assert client.reply()[0] == 220
    check_untouched(machine, client)


@pytest.fixture
def world(start):
    one = World(start.directory)
    yield one
    one.stop()


def test_mail_of_the_network_is_untouched(start, world):
    """A client of another machine, in a network of its own."""
    herald = start.herald("", start=False, prefix=world.prefix, default_relay="smarthost")
    aliases = os.path.join(herald.directory, "aliases")
    with open(aliases, "w") as file:
        file.write(ALIASES)
    with world.outside():
        sink = start.py_sink(address=world.host("192.0.2.80"), port=2525)
    herald.configure(mail(2526, "192.0.2.80:2525", None, {"listen": ["*:2526"], "allow": ["0.0.0.0/0"]})
                     + block("identity", aliases=aliases, sender="web1@example.org"))
    herald.start()
    machine = type("", (), {"sink": sink, "herald": herald})
    with world.outside():
        client = Client((OWN4, 2526))
    check_untouched(machine, client)


# --- the aliases file and the reload

def test_reload_is_all_or_nothing(start):
    machine = Machine(start)
    machine.write(ALIASES + "extra: |/bin/false\n")
    said = machine.herald.reload()
    assert re.search(rf"{re.escape(machine.aliases)}:8: \|/bin/false: no program is run, allowed are ", said)
    done = machine.herald.ctl("reload")
    assert done.returncode == 78
    assert f"{machine.aliases}:8: ".encode() in done.stderr
    _, taken = machine.submit(CRON)
    assert taken.recipients == ["admin@example.org"]
    machine.write("root: other@example.org\n")
    said = machine.herald.reload()
    assert "identity.aliases changed" in said
    _, taken = machine.submit(CRON, count=2)
    assert taken.recipients == ["other@example.org"]
    os.unlink(machine.aliases)
    assert re.search(r"herald\.conf:\d+: aliases: .*aliases is not there", machine.herald.reload())
    _, taken = machine.submit(CRON, count=3)
    assert taken.recipients == ["other@example.org"]


@pytest.mark.parametrize("line, fault", [
    (":include:/etc/list", "another file is not read in"), ("/var/mail/x", "no mail is kept in files"),
    ('"|/bin/x -a"', "no program is run"), ("loop", "a loop: loop, loop"), ("a b", "not an address"), ("", "nobody stands behind it"),
])
def test_refused_at_the_start(start, line, fault):
    herald = start.herald("", start=False)
    aliases = os.path.join(herald.directory, "aliases")
    with open(aliases, "w") as file:
        file.write(f"# first\nroot: x@example.org\nloop: {line}\n")
    herald.configure(block("identity", aliases=aliases))
    done = herald_check(herald)
    assert done.returncode == 78
    assert f"{aliases}:3: ".encode() in done.stderr and fault.encode() in done.stderr
    done = herald.ctl("aliases", "check", aliases)
    assert done.returncode == 78
    assert f"{aliases}:3: ".encode() in done.stderr and fault.encode() in done.stderr


def herald_check(herald):
    return subprocess.run([program("heraldd"), "-t", "-c", herald.conffile], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_aliases_check(start):
    herald = start.herald("", start=False)
    aliases = os.path.join(herald.directory, "aliases")
    with open(aliases, "w") as file:
        file.write(ALIASES)
    done = herald.ctl("aliases", "check", aliases)
    assert (done.returncode, done.stdout) == (0, f"{aliases}: 5 aliases, no fault\n".encode())
    done = herald.ctl("aliases", "check", "-v", aliases)
    assert b"ops: ann@example.com, bob@example.net\n" in done.stdout
    assert b"www-data: admin@example.org\n" in done.stdout
    assert json.loads(herald.ctl("--json", "aliases", "check", aliases).stdout) == {"file": aliases, "aliases": 5}
    assert herald.ctl("aliases", "check", aliases, aliases).returncode == 64


# --- heraldctl rewrite

def test_rewrite_is_shown(start):
    machine = Machine(start)
    text = b"From: root (Cron Daemon)\nTo: J\xc3\xbcrgen <ann@example.com>,\n  ops\n" + HEAD.replace(b"\r", b"") + b"\nTo: root\n"
    done = machine.herald.ctl("rewrite", "-f", "root", "root", "ops", "carol@example.net", input=text)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == (
        "from <root> -> <root@herald.example.org>\n"
        "to   <root> -> <admin@example.org>\n"
        "to   <ops> -> <ann@example.com>, <bob@example.net>\n"
        "to   <carol@example.net> -> <carol@example.net>\n"
        "\n"
        "- From: root (Cron Daemon)\n"
        "+ From: root@herald.example.org (Cron Daemon)\n"
        "- To: Jürgen <ann@example.com>,\n"
        "-   ops\n"
        "+ To: Jürgen <ann@example.com>,\n"
        "+   ann@example.com,\n"
        "+ \tbob@example.net\n"
        "  Date: Mon, 02 Nov 2026 10:00:00 +0000\n"
        "  Message-ID: <1@client.example.org>\n")
    done = machine.herald.ctl("--json", "rewrite", "root", input=b"To: r\xfcot\n\n")
    answer = json.loads(done.stdout)
    assert answer["sender"] == {"before": "", "after": ""}
    assert answer["recipients"] == [{"before": "root", "after": ["admin@example.org"]}]
    assert answer["header"]["before"].startswith("To: r\\xfcot")
    assert answer["header"]["after"].startswith("To: r\\xfcot@herald.example.org")
    assert "From: MAILER-DAEMON@herald.example.org" in answer["header"]["after"]
    assert machine.herald.ctl("rewrite", "a@b@c", input=b"\n").returncode == 65
    assert machine.herald.ctl("rewrite", input=b"X: " + b"x" * 30000 + b"\n\n").returncode == 65
    # A whole 24 KiB of any octets fits into a request.
    assert machine.herald.ctl("rewrite", input=b"X: " + b"\xff" * 24000 + b"\n\n").returncode == 0
    assert machine.sink.messages == []


# --- the cost

def test_local_mail_costs_little(start):
    """A field of 64 KiB and a thousand fields hold nobody up; memory does not grow with the header."""
    machine = Machine(start)
    many = b"".join(b"X-%d: y\r\n" % i for i in range(20000))
    long_field = b"To: " + b"ann@example.org,\r\n " * 3400 + b"root\r\n"
    _, taken = machine.submit(many + long_field + HEAD + b"From: root\r\n\r\nbody\r\n")
    assert taken.without_received() == (many + long_field.replace(b"root", b"admin@example.org") + HEAD
                                        + b"From: root@herald.example.org\r\n\r\nbody\r\n")


def test_what_cannot_be_rewritten_is_refused(start):
    """From longer than 64 KiB, when it has to change: a clear answer, and the session goes on."""
    machine = Machine(start, **{"from": "noreply@example.org"})
    content = b"From: " + b"root@localhost,\r\n " * 4000 + b"root\r\n" + HEAD + b"\r\nbody\r\n"
    with Client(machine.endpoint) as client:
        client.transaction("root", ("root",))
        client.send(stuffed(content))
        assert client.reply() == (552, ["5.3.4 the From field is longer than 65536 octets"])
        client.transaction("root", ("root",))
        client.send(stuffed(CRON))
        assert client.reply()[0] == 250
    assert len(machine.sink.wait_messages(1)) == 1
