"""What herald send writes, read by Python's email package: a table of mails, and every part, name and reference is found right."""

import os
import re
import subprocess
import sys

import pytest

from lib.daemon import program, run
from lib.mails import FROM, MAILS, TO, Mail, check, fill, html_mail, leaves, lines, parse, picture, write
from lib.net import TIMEOUT

# The most memory of a child, in KiB; from a small process, as a child's count begins with its parent's.
MEASURE = ("import os, sys; _, status, usage = os.wait4(os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:]), 0); print(usage.ru_maxrss); "
           "sys.exit(os.waitstatus_to_exitcode(status))")


@pytest.mark.parametrize("name", list(MAILS))
def test_mail(name, tmp_path):
    check(MAILS[name], write(MAILS[name], str(tmp_path)))


def test_text_of_an_html(tmp_path):
    """Who reads no HTML gets what can be read of it."""
    mail = html_mail("<html><head><title>x</title><style>p {}</style></head><body><h1>Hello 世界</h1><p>See <a href='https://example.org/a?b=1&amp;c=2'>this</a>."
                     "<ul><li>one<li>two</ul><img src=@0@ alt='A picture'>&copy;<table><tr><td>a<td>b</table>", files={"a.png": picture(1)}, refs=[("a.png", 0)])
    message = parse(write(mail, str(tmp_path)), False)
    assert leaves(message, None, "text/plain")[0].get_payload(decode=True) == lines(
        "Hello 世界\n\nSee this <https://example.org/a?b=1&c=2>.\n\n * one\n * two\n\n[A picture]©\na  b\n")


CHARSETS = {
    "short": (b"a", "utf-8"),
    "late": (b"a" * 5000 + "é\n".encode(), "utf-8"),
    "all of it": ("é".encode() * 70000, "utf-8"),
    "cut by a block": (b"a" * ((64 << 10) - 1) + "é".encode(), "utf-8"),
    "late latin-1": (b"a" * 5000 + b"\xe9\n", None),
    "cut at the end": (b"a" * 5000 + "é".encode()[:1], None),
    "none at all": (b"a" * 5000 + b"\x80" * 100000, None),
}


@pytest.mark.parametrize("name", list(CHARSETS))
def test_charset_of_an_attachment(tmp_path, name):
    """It is said where it is true of the whole file."""
    octets, charset = CHARSETS[name]
    message = parse(write(Mail("--attach", "a.txt", files={"a.txt": octets}), str(tmp_path)), False)
    assert message.get_content_type() == "text/plain" and message.get_content_charset() == charset
    assert message.get_payload(decode=True) == octets


def test_date_has_the_zone(tmp_path):
    for zone, offset in (("Asia/Shanghai", "+0800"), ("America/St_Johns", "-0330"), ("UTC", "+0000")):
        done = run("herald", "send", "--from", FROM, "--to", TO, "--output", "-", "--header", "X-A: b", cwd=tmp_path, env={**os.environ, "TZ": zone})
        value = re.search(rb"^Date: (.*)\r\n", done.stdout, re.M)[1].decode()
        assert value.endswith(offset) or (zone == "America/St_Johns" and value.endswith("-0230"))


def test_ids_differ(tmp_path):
    mail = MAILS["ten pictures"]
    found = [re.findall(rb"^(?:Message-ID|Content-ID): (\S+)", write(mail, str(tmp_path)), re.M) for _ in range(3)]
    assert len(set(sum(found, []))) == 33


REFUSED = {
    "no such text": (["--text", "none"], 66, "none"),
    "no such html": (["--html", "none"], 66, "none"),
    "no such attachment": (["--attach", "none"], 66, "none"),
    "a folder": (["--attach", "folder"], 66, "is a directory"),
    "a fifo": (["--attach", "fifo"], 66, "is a FIFO"),
    "a fifo as text": (["--text", "fifo"], 66, "is a FIFO"),
    "a device": (["--attach", "/dev/zero"], 66, "is a device"),
    "latin-1": (["--text", "latin1"], 65, "latin1:2: "),
    "utf-16": (["--html", "utf16"], 65, "UTF-16"),
    "html with a missing picture": (["--html", "missing.html"], 66, "missing.html:2: "),
    "html that asks for a secret": (["--html", "secret.html"], 65, "secret.html:3: "),
    "html with a fifo": (["--html", "fifo.html"], 66, "fifo.html:1: "),
    "inline without html": (["--inline", "a.png"], 64, "--html"),
    "inline with a bad id": (["--html", "good.html", "--inline", "a.png=<x>"], 65, "a.png"),
    "the same id twice": (["--html", "good.html", "--inline", "a.png=x", "--inline", "b.png=x"], 64, "b.png"),
    "both of standard input": (["--text", "-", "--html", "-"], 64, "--text"),
    "type of parts": (["--attach", "a.png;multipart/mixed"], 64, "a.png"),
    "bad to": (["--to", "bob"], 65, '--to "bob"'),
    "bad second of cc": (["--cc", "c@example.org, Doe, John <j@example.org>"], 65, '--cc "Doe"'),
    "bad bcc": (["--bcc", "x@"], 65, '--bcc "x@"'),
    "two senders": (["--from", "a@example.org, b@example.org"], 65, "--from"),
    "line break in the subject": (["--subject", "x\r\nBcc: y@example.org"], 65, "--subject"),
    "line break in a name": (["--to", "x\nBcc: y@example.org <z@example.org>"], 65, "--to"),
    "line break in a file name": (["--attach", "a\nb"], 65, "--attach"),
    "blanks in a field": (["--header", "X-A: a" + " " * 2000 + "b"], 65, "--header"),
    "line break in a field": (["--header", "X-A: b\nBcc: y@example.org"], 65, "--header"),
    "field of an option": (["--header", "Subject: x"], 64, "--subject"),
    "blind field": (["--header", "Bcc: y@example.org"], 64, "--bcc"),
    "blind field of one who sends it again": (["--header", "resent-bcc: y@example.org"], 64, "--bcc"),
    "content field": (["--header", "Content-Type: text/html"], 64, "--header"),
    "two dates": (["--header", "Date: Mon, 23 Nov 2026 05:06:07 +0000", "--header", "Date: Mon, 23 Nov 2026 05:06:07 +0000"], 64, "Date"),
    "subject in latin-1": (["--subject", b"Caf\xe9"], 65, "--subject"),
}


@pytest.fixture(scope="module")
def refused_folder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("refused"))
    fill(folder, {"latin1": b"a\nCaf\xe9\n", "utf16": "x".encode("utf-16"), "a.png": picture(1), "b.png": picture(2), "folder/x": b"", "secret.png": b"password",
                  "a\nb": b"x", "good.html": b"<p>x", "missing.html": b"<p>\n<img src=none.png>", "secret.html": b"\n\n<img src=/etc/passwd>", "fifo.html": b"<img src=fifo>"})
    os.mkfifo(os.path.join(folder, "fifo"))
    return folder


@pytest.mark.parametrize("name", list(REFUSED))
def test_refused(name, refused_folder):
    """It is named with its place, in one line, and nothing is left behind."""
    options, code, word = REFUSED[name]
    before = sorted(os.listdir(refused_folder))
    sender = [] if "--from" in options else ["--from", FROM]
    done = run("herald", "send", *sender, "--to", TO, *options, "--output", "out.eml", cwd=refused_folder, input=b"")
    assert done.returncode == code, done.stderr
    assert done.stdout == b"" and done.stderr.startswith(b"herald: ") and done.stderr.count(b"\n") == 1
    assert word in done.stderr.decode()
    assert sorted(os.listdir(refused_folder)) == before


@pytest.mark.slow                        # and so not run with sanitizers, whose memory is not the program's own
def test_large_attachments_need_little_memory(tmp_path):
    """200 MiB in less than 64 MiB of memory."""
    path, out = tmp_path / "large", tmp_path / "out.eml"
    with open(path, "wb") as file:
        file.truncate(200 << 20)
    words = [program("herald"), "send", "--from", FROM, "--to", TO, "--attach", str(path), "--output", str(out)]
    done = subprocess.run([sys.executable, "-c", MEASURE, *words], stdout=subprocess.PIPE, timeout=TIMEOUT)
    assert done.returncode == 0 and os.path.getsize(out) > 270 << 20
    assert int(done.stdout) << 10 < 64 << 20
