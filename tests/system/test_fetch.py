"""herald fetch (SPEC 6) with a real Dovecot: ways in, what is printed and saved, what is remembered and deleted."""

import base64
import email.message
import email.policy
import json
import os
import random as randomness
import re
import socket
import subprocess
import urllib.parse

import pytest

from lib import daemon, dovecot
from lib.daemon import program, run
from lib.fetching import PASSWORD, USER, Fetcher
from lib.pop3_server import Pop3Server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
WAYS = ["plain", "stls", "tls"]


@pytest.fixture(scope="module")
def server(certificates):
    directory = daemon.work_directory()
    one = dovecot.Pop3(directory, {USER: PASSWORD}, certificate=certificates.path("good")).start()
    yield one
    one.stop()
    daemon.shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def mailbox(server):
    """The server, with nothing in the mailbox."""
    server.empty(USER)
    return server


@pytest.fixture
def fetch(tmp_path, certificates):
    return Fetcher(str(tmp_path), certificates.ca)


def way_in(server, way):
    """The arguments for a server by its kind of TLS."""
    return {"plain": [f"pop3://{USER}@127.0.0.1:{server.port}", "--insecure"],
            "stls": [f"pop3://{USER}@localhost:{server.port}", "--starttls"],
            "tls": [f"pop3s://{USER}@localhost:{server.tls_port}"]}[way]


def mail(text="Hello Bob,\nhere it is.\n", subject="A picture", **fields):
    """An EmailMessage with From, To and Date."""
    one = email.message.EmailMessage(policy=email.policy.SMTP)
    one["From"] = fields.pop("sender", "Ann Example <ann@example.org>")
    one["To"] = "Bob <bob@example.net>, carol@example.net"
    one["Subject"] = subject
    one["Date"] = "Mon, 02 Nov 2026 10:00:00 +0000"
    one["Message-ID"] = f"<{subject.replace(' ', '.')}@example.org>" if subject.isascii() else "<1@example.org>"
    for name, value in fields.items():
        one[name.replace("_", "-")] = value
    if text is not None:
        one.set_content(text)
    return one


def with_picture(subject="A picture", name="logo.png"):
    one = mail(subject=subject)
    one.add_attachment(PNG, maintype="image", subtype="png", filename=name)
    return one.as_bytes()


def plain(number):
    return mail(f"text {number}\n", f"number {number}").as_bytes()


# --- ways in

@pytest.mark.parametrize("way", WAYS)
def test_ways_in(mailbox, fetch, way):
    content = with_picture()
    mailbox.fill(USER, content)
    done = fetch(*way_in(mailbox, way))
    text = done.stdout.decode()
    for line in ("Server: Dovecot (Debian) ready.", "Mailbox: 1 message, ", f"Message 1, {len(content)} octets",
                 "From: Ann Example <ann@example.org>", "To: Bob <bob@example.net>, carol@example.net", "Subject: A picture",
                 "Date: Mon, 02 Nov 2026 10:00:00 +0000", "Recipient's local part: bob", "Sender's local part: ann",
                 "Hello Bob,\nhere it is.\n", f"Saved: logo.png (image/png, {len(PNG)} octets)"):
        assert line in text, text
    assert done.stderr == b""
    assert fetch.files() == {"logo.png": PNG}
    assert len(mailbox.stored(USER)) == 1


@pytest.mark.parametrize("way", WAYS)
def test_wrong_password(mailbox, fetch, way):
    fetch.password = "another password"
    done = fetch(*way_in(mailbox, way), code=77)
    assert b"uthentication failed" in done.stderr and done.stdout == b""


@pytest.mark.parametrize("certificate", ["expired", "wrong-name", "unknown-ca"])
def test_bad_certificate(start, tmp_path, certificates, certificate):
    """Nothing of the login is said, whichever way TLS begins."""
    one = dovecot.Pop3(start.directory, {USER: PASSWORD}, certificate=certificates.path(certificate), auth_debug="yes")
    start.running.append(one.start())
    fetch = Fetcher(str(tmp_path), certificates.ca)
    for way in ("stls", "tls"):
        done = fetch(*way_in(one, way), code=69)
        assert re.search(rb"certificate|hostname mismatch", done.stderr) and done.stdout == b""
    assert f"user={USER}" not in one.log()


def test_certificate_of_the_system(mailbox, fetch):
    """Without --ca-file those of the system count, and they do not know ours."""
    fetch.ca = None
    assert b"certificate" in fetch(*way_in(mailbox, "tls"), code=69).stderr


def test_nobody_there(fetch):
    port = socket.create_server(("127.0.0.1", 0))
    number = port.getsockname()[1]
    port.close()
    done = fetch(f"pop3s://ann@127.0.0.1:{number}", code=69)
    assert done.stderr.startswith(b"herald: ") and done.stdout == b""


@pytest.mark.parametrize("source", ["file", "command", "env", "terminal"])
def test_where_the_password_comes_from(mailbox, fetch, tmp_path, source):
    mailbox.fill(USER, plain(1))
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    options = {"file": f"file:{path}", "command": f"command:/bin/cat {path}", "env": "env:SECRET"}
    if source == "terminal":
        shown, code = fetch.on_terminal(*way_in(mailbox, "tls"), typed=PASSWORD + "\n")
        assert code == 0 and "text 1" in shown and PASSWORD not in shown
        return
    assert "text 1" in fetch.text(*way_in(mailbox, "tls"), "--password", options[source])


@pytest.mark.parametrize("arguments", [
    ["pop3://ann@127.0.0.1"], ["pop3s://ann:hunter2@127.0.0.1"], ["pop3s://127.0.0.1"], ["imap://ann@127.0.0.1"], [], ["pop3s://a@b", "c"],
    ["pop3s://ann@127.0.0.1", "--starttls"], ["pop3s://ann@127.0.0.1", "--insecure"],
    ["pop3://ann@127.0.0.1", "--insecure", "--starttls"], ["pop3s://ann@127.0.0.1", "--password", "hunter2"],
    ["pop3s://ann@127.0.0.1", "--last", "--all"], ["pop3s://ann@127.0.0.1", "--number", "0"], ["pop3s://ann@127.0.0.1", "--number", "x"],
    ["pop3s://ann@127.0.0.1", "--number", "1", "--number", "2"], ["pop3s://ann@127.0.0.1", "--list", "--delete"],
    ["pop3s://ann@127.0.0.1", "--max-size", "much"], ["pop3s://ann@127.0.0.1", "--save-dir", ""], ["pop3s://ann@127.0.0.1", "--what"],
])
def test_wrong_options(arguments):
    done = run("herald", "fetch", *arguments, env={"PATH": "/usr/bin:/bin", "SECRET": "x"})
    assert done.returncode == 64, done.stderr
    assert done.stdout == b"" and done.stderr and b"hunter2" not in done.stderr
    if arguments == ["pop3://ann@127.0.0.1"]:
        assert all(word in done.stderr for word in (b"pop3s://", b"--starttls", b"--insecure"))


def test_help():
    done = run("herald", "fetch", "--help")
    assert done.returncode == 0 and done.stdout.startswith(b"usage: herald fetch") and done.stderr == b""
    assert max(map(len, done.stdout.decode().splitlines())) < 90


# --- which messages

@pytest.mark.parametrize("options,wanted", [([], [1, 2, 3]), (["--all"], [1, 2, 3]), (["--last"], [3]), (["--number", "2"], [2])])
def test_selection(mailbox, fetch, options, wanted):
    mailbox.fill(USER, *(plain(number) for number in (1, 2, 3)))
    answer = fetch.json(*way_in(mailbox, "tls"), *options)
    assert answer["count"] == 3 and [one["number"] for one in answer["messages"]] == wanted
    assert [one["text"] for one in answer["messages"]] == [f"text {number}\n" for number in wanted]


def test_no_such_message(mailbox, fetch):
    mailbox.fill(USER, plain(1))
    assert b"no message 2" in fetch(*way_in(mailbox, "tls"), "--number", "2", code=65).stderr


@pytest.mark.parametrize("options", [[], ["--last"], ["--new"], ["--delete"], ["--list"], ["--json"]])
def test_empty_mailbox(mailbox, fetch, options):
    done = fetch(*way_in(mailbox, "tls"), *options)
    assert done.stderr == b"" and fetch.files() == {}
    assert b'"count":0' in done.stdout if "--json" in options else b"Mailbox: 0 messages" in done.stdout


def test_new(mailbox, fetch):
    """Each message once, over runs, also for one that was told of by no file."""
    mailbox.fill(USER, with_picture(), plain(2))
    arguments = [*way_in(mailbox, "tls"), "--new"]
    assert [one["number"] for one in fetch.json(*arguments)["messages"]] == [1, 2]
    assert fetch.json(*arguments)["messages"] == []
    mailbox.fill(USER, plain(3))
    assert [one["number"] for one in fetch.json(*arguments)["messages"]] == [3]
    assert fetch.files() == {"logo.png": PNG}
    assert [one["number"] for one in fetch.json(*way_in(mailbox, "tls"), "--all")["messages"]] == [1, 2, 3]


def test_new_is_by_account(mailbox, fetch, tmp_path):
    """The same folder, another memory: all is new."""
    mailbox.fill(USER, with_picture())
    fetch(*way_in(mailbox, "tls"), "--new")
    fetch.state = str(tmp_path / "other")
    os.makedirs(fetch.state)
    fetch(*way_in(mailbox, "tls"), "--new")
    assert fetch.files() == {"logo.png": PNG, "logo (2).png": PNG}


def test_delete(mailbox, fetch):
    mailbox.fill(USER, with_picture(name="a.png"), with_picture(name="b.png"), plain(3))
    text = fetch.text(*way_in(mailbox, "tls"), "--delete")
    assert "Deleted: 3 messages" in text and "text 3" in text
    assert fetch.files() == {"a.png": PNG, "b.png": PNG}
    assert mailbox.stored(USER) == []


def test_delete_one(mailbox, fetch):
    mailbox.fill(USER, *(plain(number) for number in (1, 2, 3)))
    assert fetch.json(*way_in(mailbox, "tls"), "--delete", "--number", "2")["messages"][0]["deleted"] is True
    assert [one["subject"] for one in fetch.json(*way_in(mailbox, "tls"))["messages"]] == ["number 1", "number 3"]


def test_delete_needs_an_output_that_arrives(mailbox, fetch):
    """The text went nowhere, so the message stays."""
    mailbox.fill(USER, plain(1))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program("herald"), *fetch.arguments(*way_in(mailbox, "tls"), "--delete")], stdout=full,
                              stderr=subprocess.PIPE, cwd=fetch.folder, env=fetch.environment(), timeout=60)
    assert done.returncode == 74, done.stderr
    assert len(mailbox.stored(USER)) == 1


def test_delete_keeps_what_cannot_be_read(mailbox, fetch):
    """A message of which parts are missing is kept whole before it goes, and then is told of."""
    content = with_picture().rsplit(b"--", 2)[0][:-40]
    mailbox.fill(USER, content)
    done = fetch(*way_in(mailbox, "tls"), "--delete", code=65)
    assert b"herald: message 1: " in done.stderr
    assert fetch.files()["message-1.eml"] == content + b"\r\n" and "logo.png" in fetch.files()     # Dovecot completes the line
    assert done.stdout.count(b"Hello Bob") == 1
    assert mailbox.stored(USER) == []


def test_delete_keeps_what_cannot_be_read_among_others(mailbox, fetch):
    """The same for programs, with mail before and after it."""
    content = with_picture().rsplit(b"--", 2)[0][:-40]
    mailbox.fill(USER, plain(1), content, plain(3))
    told = {one["number"]: one for one in fetch.json(*way_in(mailbox, "tls"), "--delete", code=65)["messages"]}
    assert sorted(told) == [1, 2, 3] and all(one["deleted"] for one in told.values())
    assert told[2]["faults"] and told[2]["message_file"] == "message-2.eml" and told[2]["text"] == "Hello Bob,\nhere it is.\n"
    assert [part["file"] for part in told[2]["parts"]] == ["logo.png"]
    assert set(fetch.files()) == {"logo.png", "message-2.eml"} and mailbox.stored(USER) == []


def test_new_once_with_faults(mailbox, fetch):
    """What can be saved is, and is not fetched again."""
    mailbox.fill(USER, with_picture().rsplit(b"--", 2)[0][:-40])
    fetch(*way_in(mailbox, "tls"), "--new", code=65)
    fetch(*way_in(mailbox, "tls"), "--new")
    assert set(fetch.files()) == {"logo.png"} and len(mailbox.stored(USER)) == 1


def test_list(mailbox, fetch):
    mailbox.fill(USER, with_picture(), mail("x\n", "你好 世界", sender="李刚 <li@example.org>").as_bytes())
    text = fetch.text(*way_in(mailbox, "tls"), "--list")
    first, second = text.splitlines()[-2:]
    assert re.match(r" +1 +\d+  Mon, 02 Nov 2026 10:00:00 \+0000  Ann Example <ann@example.org>    A picture$", first), text
    assert re.match(r" +2 +\d+  Mon, 02 Nov 2026 10:00:00 \+0000  李刚 <li@example.org>            你好 世界$", second), text
    assert fetch.files() == {} and "Hello" not in text
    answer = fetch.json(*way_in(mailbox, "tls"), "--list", "--number", "2")
    assert [(one["number"], one["subject"], one["sender_local_part"]) for one in answer["messages"]] == [(2, "你好 世界", "li")]


# --- what is saved

def test_json(mailbox, fetch):
    """Every key of it."""
    content = with_picture()
    mailbox.fill(USER, content)
    answer = fetch.json(*way_in(mailbox, "tls"), "--save-message")
    uidl = answer["messages"][0].pop("uidl")
    assert uidl.startswith("10000")
    assert answer == {
        "account": f"{USER}@localhost:{mailbox.tls_port}", "welcome": "Dovecot (Debian) ready.", "count": 1, "size": len(content),
        "messages": [{
            "number": 1, "size": len(content), "from": "Ann Example <ann@example.org>",
            "to": "Bob <bob@example.net>, carol@example.net", "cc": None, "subject": "A picture",
            "date": "Mon, 02 Nov 2026 10:00:00 +0000", "sender_local_part": "ann", "recipient_local_part": "bob",
            "message_id": "<A.picture@example.org>", "text": "Hello Bob,\nhere it is.\n", "text_truncated": False,
            "parts": [{"type": "image/png", "name": "logo.png", "file": "logo.png", "size": len(PNG), "content_id": None}],
            "message_file": "message-1.eml", "deleted": False, "faults": []}]}


def test_json_text_is_bounded(mailbox, fetch):
    line = "å" * 30 + "\n"
    mailbox.fill(USER, mail(line * 20000).as_bytes())
    one = fetch.json(*way_in(mailbox, "tls"))["messages"][0]
    size = len(one["text"].encode())
    assert one["text_truncated"] is True and 1024 * 1024 - 4 <= size <= 1024 * 1024
    assert (line * 20000).startswith(one["text"])


def test_save_message(mailbox, fetch):
    """Octet by octet, whatever is in it."""
    content = b"From: a@example.org\r\nSubject: x\r\n\r\n.dot\r\n..two\r\n\x00\xff 8 bit\r\nno end of line"
    other = with_picture()
    mailbox.fill(USER, content, other)
    fetch(*way_in(mailbox, "tls"), "--save-message")
    files = fetch.files()
    assert files["message-1.eml"] in (content, content + b"\r\n")
    assert files["message-2.eml"] == other
    fetch(*way_in(mailbox, "tls"), "--save-message", "--last")
    assert fetch.files()["message-2 (2).eml"] == other


def test_save_dir(mailbox, fetch):
    mailbox.fill(USER, with_picture())
    fetch(*way_in(mailbox, "tls"), "--save-dir", "made/now", code=73)
    fetch(*way_in(mailbox, "tls"), "--save-dir", "made")
    assert os.listdir(os.path.join(fetch.folder, "made")) == ["logo.png"]


def test_save_dir_that_takes_nothing(mailbox, fetch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    mailbox.fill(USER, with_picture())
    done = fetch(*way_in(mailbox, "tls"), "--delete", "--save-dir", str(tmp_path / "file"), code=73)
    assert done.stderr.startswith(b"herald: ") and len(mailbox.stored(USER)) == 1


def test_max_size(mailbox, fetch):
    large = mail("x" * 70 + "\n", "large")
    large.add_attachment(b"y" * 100000, maintype="application", subtype="octet-stream", filename="large.bin")
    mailbox.fill(USER, plain(1), large.as_bytes(), plain(3))
    done = fetch(*way_in(mailbox, "tls"), "--max-size", "50K", "--delete", code=65)
    assert b"text 1" in done.stdout and b"text 3" in done.stdout and b"message 2: left on the server" in done.stderr
    assert fetch.files() == {} and len(mailbox.stored(USER)) == 1
    fetch(*way_in(mailbox, "tls"), "--max-size", "0")
    assert fetch.files() == {"large.bin": b"y" * 100000}


def rich():
    """HTML with an inline picture, a text, and an attachment."""
    one = mail("The text.\n", "Rich")
    one.add_alternative("<p>The <b>text</b> <img src='cid:logo@example.org'></p>", subtype="html")
    one.get_payload()[1].add_related(PNG, "image", "png", cid="<logo@example.org>", filename="logo.png", disposition="inline")
    one.add_attachment("a;b\n", subtype="csv", filename="table.csv")
    one.add_attachment(b"%PDF", maintype="application", subtype="pdf")
    return one


def test_every_leaf(mailbox, fetch):
    """One of the alternatives is printed, all else is in files."""
    mailbox.fill(USER, rich().as_bytes())
    answer = fetch.json(*way_in(mailbox, "tls"))["messages"][0]
    assert answer["text"] == "The text.\n"
    assert [(one["type"], one["name"], one["content_id"]) for one in answer["parts"]] == [
        ("text/html", None, None), ("image/png", "logo.png", "logo@example.org"), ("text/csv", "table.csv", None),
        ("application/pdf", None, None)]
    files = fetch.files()
    assert {one["file"] for one in answer["parts"]} == set(files)
    assert files["logo.png"] == PNG and files["table.csv"].replace(b"\r\n", b"\n") == b"a;b\n"
    assert [one["file"] for one in answer["parts"]][3] == "part-005.pdf"


def test_message_within_the_message(mailbox, fetch):
    """Saved whole, and not looked into."""
    one = mail("See below.\n", "Fwd")
    inner = email.message_from_bytes(with_picture("inner"), policy=email.policy.SMTP)
    one.add_attachment(inner)
    mailbox.fill(USER, one.as_bytes())
    answer = fetch.json(*way_in(mailbox, "tls"))["messages"][0]
    assert [(part["type"], part["file"]) for part in answer["parts"]] == [("message/rfc822", "part-002.eml")]
    saved = email.message_from_bytes(fetch.files()["part-002.eml"], policy=email.policy.SMTP)
    assert saved["Subject"] == "inner" and [part.get_content() for part in saved.iter_attachments()] == [PNG]


def test_attachments_only(mailbox, fetch):
    mailbox.fill(USER, rich().as_bytes())
    text = fetch.text(*way_in(mailbox, "tls"), "--attachments-only")
    assert set(fetch.files()) == {"table.csv", "part-005.pdf"}
    assert "The text." not in text and "Subject: Rich" in text and "Saved: table.csv" in text


def test_html_is_printed_as_text(mailbox, fetch):
    one = mail(None, "HTML")
    one.set_content("<html><head><title>no</title><style>p{}</style></head><body><h1>Head</h1><p>one &amp; two<br>three"
                    "<p><a href='https://example.org/x'>link</a></body></html>", subtype="html")
    mailbox.fill(USER, one.as_bytes())
    text = fetch.text(*way_in(mailbox, "tls"))
    assert "Head" in text and "one & two\nthree" in text and "https://example.org/x" in text
    assert "<" not in text.split("Head", 1)[1].replace("<https", "") and "p{}" not in text
    assert fetch.files() == {}


def test_chinese(mailbox, fetch):
    """UTF-8 and GB2312: names, subject, text, the name of a file."""
    first = mail("您好，世界！\n", "一封邮件", sender="发件人 <fa@example.org>")
    first.add_attachment(PNG, maintype="image", subtype="png", filename="商标图片.png")
    second = ("From: =?GB2312?B?" + base64.b64encode("张三".encode("gb2312")).decode() + "?= <zhang@example.org>\r\n"
              "To: bob@example.net\r\nSubject: =?gb2312?Q?" + "".join(f"={octet:02X}" for octet in "通知".encode("gb2312")) + "?=\r\n"
              "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=GB2312\r\nContent-Transfer-Encoding: 8bit\r\n\r\n").encode() + \
        "内容在这里\r\n".encode("gb2312")
    mailbox.fill(USER, first.as_bytes(), second)
    one, other = fetch.json(*way_in(mailbox, "tls"))["messages"]
    assert (one["from"], one["subject"], one["text"]) == ("发件人 <fa@example.org>", "一封邮件", "您好，世界！\n")
    assert (other["from"], other["subject"], other["text"]) == ("张三 <zhang@example.org>", "通知", "内容在这里\n")
    assert fetch.files() == {"商标图片.png": PNG}
    text = fetch.text(*way_in(mailbox, "tls"), "--number", "2", LC_ALL="C")
    assert "From: 张三" in text and "内容在这里\n" in text


HOSTILE = ["../../etc/passwd", "/etc/passwd", "..", ".", ".bashrc", "-rf", "a\\b\\evil.exe", "new\nline.txt", "esc\x1b[31m.txt", "nul\0.txt",
           "x" * 5000 + ".png", "\u202egnp.exe", "", "  ", "con.", "~root", "$(touch x)", "message-1.eml", ".herald-12345678.part", "名" * 300 + ".png"]


def test_hostile_names(mailbox, fetch, tmp_path):
    parts = "".join("--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment;\r\n"
                    f" filename*=utf-8''{urllib.parse.quote(name, safe='')}\r\n\r\nz\r\n" for name in HOSTILE)
    mailbox.fill(USER, ("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + "--b--\r\n").encode())
    fetch(*way_in(mailbox, "tls"), "--save-message")
    assert sorted(os.listdir(tmp_path)) == ["saved", "state"]
    names = os.listdir(fetch.folder)
    assert len(names) == len(HOSTILE) + 1
    for name in names:
        assert os.path.isfile(os.path.join(fetch.folder, name)) and len(name.encode()) <= 255
        assert name[0] not in ".- " and not re.search(r"[\x00-\x1f\x7f/\\\u202a-\u202e]", name), name


def mutated(random, content):
    """A mail of which some octets are others, are missing, or come twice."""
    octets = bytearray(content)
    for _ in range(random.randrange(1, 30)):
        at = random.randrange(len(octets))
        what = random.randrange(5)
        if what == 0:
            octets[at] = random.randrange(256)
        elif what == 1:
            del octets[at:at + random.randrange(1, 60)]
        elif what == 2:
            octets[at:at] = octets[at:at + random.randrange(1, 200)]
        else:
            octets[at:at] = random.choice([b"--", b"\r\n", b"\n", b"\r", b"=?utf-8?q?", b"?=", b"*0*=", b'"', b";", b"\0", b"\xff", b"<a href=", b"&#x"])
    return bytes(octets) or b"x"


def test_random_mails(start, fetch):
    """Whatever mail may be: it comes whole, what is said of it can be read, and nothing else of it is done."""
    seed = os.environ.get("HERALD_TEST_SEED") or str(randomness.SystemRandom().randrange(2 ** 32))
    print(f"HERALD_TEST_SEED={seed}")
    random = randomness.Random(seed)
    seeds = [one.replace(PNG, PNG[:100]) for one in (rich().as_bytes(), with_picture()[:2000], plain(1))]
    server = Pop3Server([mutated(random, random.choice(seeds)) for _ in range(150)], user=USER, password=PASSWORD,
                        capabilities=("TOP", "UIDL", "USER", "PIPELINING"))
    start.running.append(server)
    done = fetch(f"pop3://{USER}@{server.host}", "--insecure", "--json", "--save-message", code=None)
    assert done.returncode in (0, 65), done.stderr
    told = json.loads(done.stdout)["messages"]
    files = fetch.files()
    assert [one["number"] for one in told] == list(range(1, 151))
    for one in told:
        assert files.pop(one["message_file"]).rstrip(b"\r\n") == server.messages[one["number"]].rstrip(b"\r\n")
        for part in one["parts"]:
            assert len(files.pop(part["file"])) == part["size"]
    assert files == {}
    fetch(f"pop3://{USER}@{server.host}", "--insecure", "--list", code=None)


def test_never_overwrites(mailbox, fetch):
    mailbox.fill(USER, with_picture())
    with open(os.path.join(fetch.folder, "logo.png"), "wb") as file:
        file.write(b"mine")
    os.symlink("/nonexistent/target", os.path.join(fetch.folder, "logo (2).png"))
    assert "Saved: logo (3).png" in fetch.text(*way_in(mailbox, "tls"))
    with open(os.path.join(fetch.folder, "logo.png"), "rb") as file:
        assert file.read() == b"mine"


@pytest.mark.parametrize("options", [[], ["--new"]])
def test_an_output_that_ends(mailbox, fetch, options):
    """As in `herald fetch | head`: nothing more is fetched, and what could not be told is not remembered."""
    mailbox.fill(USER, *(with_picture(name=f"{number}.png") for number in range(30)))
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([program("herald"), *fetch.arguments(*way_in(mailbox, "tls"), *options)], stdout=write, stderr=subprocess.PIPE,
                          cwd=fetch.folder, env=fetch.environment(), timeout=60)
    os.close(write)
    assert done.returncode == 74 and done.stderr.count(b"\n") == 1, done.stderr
    assert fetch.files() == {}


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--save-message"], ["--json", "--delete"]])
def test_memory_of_a_large_message(mailbox, fetch, tmp_path, options):
    """200 MiB come through 64 MiB of memory: an attachment, and a text."""
    line, block = base64.encodebytes(os.urandom(57)).replace(b"\n", b"\r\n"), 10000
    blocks = 100 * 1024 * 1024 // (len(line) * block) + 1
    path = tmp_path / "large.eml"
    with open(path, "wb") as file:
        file.write(b"Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n")
        for _ in range(blocks):
            file.write(line * block)
        file.write(b"--b\r\nContent-Type: application/octet-stream; name=large.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n")
        for _ in range(blocks):
            file.write(line * block)
        file.write(b"--b--\r\n")
    mailbox.fill(USER, str(path))
    with open(tmp_path / "output", "wb") as output:
        code, memory = fetch.measured(*way_in(mailbox, "tls"), "--max-size", "0", *options, output=output)
    assert code == 0
    assert os.path.getsize(os.path.join(fetch.folder, "large.bin")) == 57 * block * blocks
    if "--save-message" in options:
        assert subprocess.run(["cmp", str(path), os.path.join(fetch.folder, "message-1.eml")]).returncode == 0
        assert os.path.getsize(tmp_path / "output") > 100 * 1000 * 1000
    print(f"{memory:.1f} MiB")
    assert memory <= 64 or daemon.sanitized()


# --- the terminal

def test_terminal_is_not_driven(mailbox, fetch):
    """Controls of a stranger are shown and not obeyed; to a pipe the text goes as it is, the header without them."""
    mailbox.fill(USER, b"From: \x1b]0;title\x07 <a@example.org>\r\nSubject: =?utf-8?q?a=1B[31mb=0D=0AFrom:_fake?=\r\n\r\n"
                       b"red \x1b[31m \xc2\x9b31m bell \x07 back\\slash \xe2\x80\xae\ttab\r\n")
    shown, code = fetch.on_terminal(*way_in(mailbox, "tls"))
    assert code == 0 and "\x1b" not in shown and "\x07" not in shown and "\x9b" not in shown and "\u202e" not in shown
    assert "\\x1b[31m" in shown and "back\\slash" in shown and not re.search(r"^From: fake", shown, re.M)
    piped = fetch(*way_in(mailbox, "tls")).stdout
    head, _, text = piped.partition(b"\n\nred")
    assert b"\x1b" not in head and b"\x07" not in head and not re.search(rb"^From: fake", head, re.M)
    assert text.startswith(b" \x1b[31m \xc2\x9b31m bell \x07 back\\slash \xe2\x80\xae\ttab\n")


def test_terminal_without_utf8(mailbox, fetch):
    mailbox.fill(USER, mail("Grüße 世界\n", "größer").as_bytes())
    shown, code = fetch.on_terminal(*way_in(mailbox, "tls"), LC_ALL="C")
    assert code == 0 and shown.isascii()
    assert re.search(r"^Subject: gr(\?|o|oe)(\?|ss)er\r$", shown, re.M) and re.search(r"^Gr\S+e \?\?\r$", shown, re.M), shown


def test_debug(mailbox, fetch):
    """The dialogue without the password, and without the mail."""
    mailbox.fill(USER, plain(1))
    lines = fetch(*way_in(mailbox, "stls"), "--debug").stderr.decode().splitlines()
    for line in ("C: STLS", "C: AUTH PLAIN ***", "C: STAT", "C: RETR 1", "C: QUIT"):
        assert line in lines, lines
    assert any(line.startswith("* TLSv1") for line in lines) and "S: +OK Logged in." in lines
    assert any("octets of content" in line for line in lines) and not any("text 1" in line for line in lines)


def test_pipelining(mailbox, fetch):
    """Dovecot offers it: what is asked for next waits for no answer."""
    mailbox.fill(USER, *(plain(number) for number in (1, 2, 3)))
    lines = fetch(*way_in(mailbox, "tls"), "--debug").stderr.decode().splitlines()
    assert lines.index("C: RETR 2") < next(n for n, line in enumerate(lines) if "octets of content" in line)
