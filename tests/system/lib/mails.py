"""Mails that herald send makes of options and files, and what is to be found in them: by Python's email package."""

import email
import email.errors
import email.policy
import os
import re

from lib.daemon import run

FROM = "a@example.org"
TO = "b@example.net"
PNG = b"\x89PNG\r\n\x1a\n"
GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"
SVG = b'<?xml version="1.0"?>\n<svg width="1"/>\n'
CHINESE = "一封带有图片和附件的邮件，标题很长很长，"
# White space of Unicode, but for LF and CR, at which many a program ends a line.
BREAKS = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g.txt"


def picture(number):
    return PNG + b"picture %d" % number


class Mail:
    """The options of a mail and the files that it needs; and what is to be found in it."""

    def __init__(self, *options, files=None, sender=(None, FROM), to=((None, TO),), cc=(), reply_to=(), subject=None, text=None, html=None,
                 refs=(), pictures=(), attachments=(), tree=None, fields=(), utf8=False, stdin=b""):
        self.options, self.files = options, files or {}
        self.sender, self.to, self.cc, self.reply_to = sender, to, cc, reply_to
        self.subject, self.text, self.html = subject, text, html
        self.refs = refs                    # of each "@n@" in the HTML: the reference, and which picture it becomes
        self.pictures, self.attachments = pictures, attachments         # (name, type, octets)
        self.tree, self.fields, self.utf8, self.stdin = tree, fields, utf8, stdin

    def html_source(self, folder):
        return re.sub("@([0-9]+)@", lambda found: self.refs[int(found[1])][0].replace("FOLDER", folder), self.html)

    def html_sent(self, cids):
        def reference(found):
            which = self.refs[int(found[1])][1]
            return self.refs[int(found[1])][0] if which is None else "cid:" + cids[which]
        return re.sub("@([0-9]+)@", reference, self.html)


def html_mail(html, *options, tree="alternative(plain,html)", **expected):
    return Mail("--html", "mail.html", *options, html=html, tree=tree, **expected)


def one_picture(html, references, files=None, tree="alternative(plain,related(html,image/png))", name="a.png", options=(), **expected):
    """A mail with one picture, to which all the references lead."""
    return html_mail(html, *options, files={name: picture(1), **(files or {})}, refs=[(one, 0) for one in references],
                     pictures=[(os.path.basename(name), "image/png", picture(1))], tree=tree, **expected)


def attachment(name, type="text/plain", octets=b"attached\n", argument=None):
    return Mail("--attach", argument or name, files={name: octets}, attachments=[(name, type, octets)], tree=type)


def text_mail(text, *options, **expected):
    return Mail("--text", "text", *options, files={"text": text if isinstance(text, bytes) else text.encode()}, text=text, tree="plain", **expected)


LONG_NAMES = [(f"收件人的名字非常非常长，第{number}位", f"recipient{number}@example.net") for number in range(60)]
TEN = [(f"picture {number}.png", "image/png", picture(number)) for number in range(10)]
LARGE = bytes(range(256)) * 4096 * 20
ALL_HTML = "<p>你好 <IMG SRC=@0@ ALT=一> <img src='@1@'>\t</p>\r\n<p>.\nFrom x</p>"

MAILS = {
    "text": text_mail("Hello\nBob\n", "--subject", "Hi", subject="Hi"),
    "text with an end that is missing": text_mail("Hello"),
    "chinese": text_mail("您好，\n这是一封邮件。\n", "--subject", "一封邮件", subject="一封邮件"),
    "chinese name and subject": Mail(
        "--from", "发件人 <a@example.org>", "--to", "新用户 <b@example.net>", "--reply-to", "回复 <r@example.org>", "--subject", "一封HTML邮件",
        sender=("发件人", FROM), to=[("新用户", TO)], reply_to=[("回复", "r@example.org")], subject="一封HTML邮件", tree="plain"),
    "emoji": Mail("--from", "Ann 🎉 <a@example.org>", "--subject", "🎂 Happy 👨‍👩‍👧 day 🇨🇳!", "--text", "text", files={"text": "🎂\n".encode()},
                  sender=("Ann 🎉", FROM), subject="🎂 Happy 👨‍👩‍👧 day 🇨🇳!", text="🎂\n", tree="plain"),
    "long subject": Mail("--subject", CHINESE * 12, subject=CHINESE * 12, tree="plain"),
    "long subject of words": Mail("--subject", "many words " * 40 + "end", subject="many words " * 40 + "end", tree="plain"),
    "long subject of one word": Mail("--subject", "w" * 1500, subject="w" * 1500, tree="plain"),
    "sixty long names": Mail("--to", ", ".join(f"{name} <{address}>" for name, address in LONG_NAMES), to=LONG_NAMES, tree="plain"),
    "names with signs": Mail("--from", '"O\'Neil, \\"Ann\\" (x)" <a@example.org>', "--to", "J. R. <b@example.net>", "--cc",
                             "=?utf-8?q?x?= <c@example.net>", sender=("O'Neil, \"Ann\" (x)", FROM), to=[("J. R.", TO)],
                             cc=[("=?utf-8?q?x?=", "c@example.net")], tree="plain"),
    "long ascii name": Mail("--to", "Name " * 30 + "End, <b@example.net>".replace(",", ""), to=[("Name " * 30 + "End", TO)], tree="plain"),
    "blanks in a subject": Mail("--subject", "a" + " " * 2000 + "b", subject="a" + " " * 2000 + "b", tree="plain"),
    "blanks in a field": Mail("--header", "X-A: a" + " " * 890 + "b", fields=[("X-A", "a" + " " * 890 + "b")], tree="plain"),
    "right to left": text_mail("مرحبا بالعالم\nשלום עולם\n"),
    "right to left names": Mail("--to", "محمد علي <b@example.net>", "--subject", "مرحبا שלום", to=[("محمد علي", TO)], subject="مرحبا שלום", tree="plain"),
    "subject that looks encoded": Mail("--subject", "=?utf-8?q?no?= word", subject="=?utf-8?q?no?= word", tree="plain"),
    "nothing": Mail(text="", tree="plain"),
    "html": html_mail("<p>Hello <b>Bob</b></p>\n"),
    "html and text": html_mail("<p>Hello</p>\n", "--text", "text", files={"text": b"Hello\n"}, text="Hello\n"),
    "html without an end": html_mail("<p>a = b"),
    "html in all its octets": html_mail("<p title='=3D'>\ttab \r\n bare\rCR \u00a0 = \u2028 x\x0b</p>   \n\n" + "x" * 3000 + "\nFrom x\n.\n<!-- <img src=a.png> -->"),
    "empty html": html_mail(""),
    "html of standard input": Mail("--html", "-", files={"a.png": picture(1)}, html="<img src=@0@>", refs=[("a.png", 0)], stdin=b"<img src=a.png>",
                                   pictures=[("a.png", "image/png", picture(1))], tree="alternative(plain,related(html,image/png))"),
    "text of standard input": Mail("--text", "-", stdin="您好\n".encode(), text="您好\n", tree="plain"),
    "picture": one_picture('<img src="@0@">', ["a.png"]),
    "same picture twice": one_picture("<img src='@0@'><p><img src=\"@1@\">", ["a.png", "./a.png"]),
    "picture by two names": one_picture("<img src=@0@><img src=@1@>", ["a.png", "FOLDER/a.png"]),
    "picture in a folder": one_picture("<img src=@0@>", ["img/2026/a.png"], name="img/2026/a.png"),
    "picture with blanks": one_picture("<img src=@0@><img src='@1@'>", ["a%20b.png", "a b.png"], name="a b.png"),
    "picture with a chinese name": one_picture("<img src='@0@'><img src=@1@>", ["图片.png", "%E5%9B%BE%E7%89%87.png"], name="图片.png"),
    "picture with an entity": one_picture("<img src='@0@'>", ["a&amp;b.png"], name="a&b.png"),
    "picture by file URL": one_picture("<img src='@0@'><img src='@1@'>", ["file://FOLDER/a.png", "FILE://localhost/FOLDER/a.png"]),
    "upper case and no quotes": one_picture("<BODY BACKGROUND=@0@><TABLE background = '@1@'><TD BackGround=\"@2@\"><INPUT TYPE=Image SRC=@3@><IMG\nALT='>' SRC=@4@\n>",
                                            ["a.png"] * 5),
    "query and fragment": one_picture("<img src='@0@'><img src='@1@'>", ["a.png?v=2", "a.png#top"]),
    "references that stay": html_mail("<img src='https://example.org/a.png'><img src=//example.org/a.png><img src=cid:x><img src='data:image/gif;base64,AA=='>"
                                      "<a href=a.png><img><img src=''><script>'<img src=a.png>'</script><textarea><img src=a.png></textarea>"),
    "ten pictures": html_mail("".join(f"<p><img src='@{number}@'></p>\n" for number in range(10)), files={name: octets for name, _, octets in TEN},
                              refs=[(name.replace(" ", "%20"), number) for number, (name, _, _) in enumerate(TEN)], pictures=TEN,
                              tree="alternative(plain,related(html" + ",image/png" * 10 + "))"),
    "pictures of all types": html_mail(
        "<img src=@0@><img src=@1@><img src=@2@>", files={"a.gif": GIF, "b.jpg": JPEG, "c": SVG}, refs=[("a.gif", 0), ("b.jpg", 1), ("c", 2)],
        pictures=[("a.gif", "image/gif", GIF), ("b.jpg", "image/jpeg", JPEG), ("c", "image/svg+xml", SVG)],
        tree="alternative(plain,related(html,image/gif,image/jpeg,image/svg+xml))"),
    "explicit id": one_picture("<img src=@0@><img src='cid:logo.1'>", ["a.png"], options=["--inline", "a.png=logo.1"]),
    "inline without an id": one_picture("<img src=@0@>", ["a.png"], options=["--inline", "a.png"]),
    "inline of any type": html_mail("<img src=@0@>", "--inline", "a.txt=it", files={"a.txt": b"text\n"}, refs=[("a.txt", 0)],
                                    pictures=[("a.txt", "text/plain", b"text\n")], tree="alternative(plain,related(html,text/plain))"),
    "attachment": attachment("notes.txt"),
    "empty attachment": attachment("empty.bin", "application/octet-stream", b""),
    "20 MiB": attachment("large.bin", "application/octet-stream", LARGE),
    "quotes in a name": attachment("a \"b\" 'c' \\d.txt"),
    "semicolons in a name": attachment("a;b; c=d;text.txt"),
    "semicolons and a type": attachment("a;b.txt", "text/csv", argument="a;b.txt;text/csv; header=present"),
    "a type with a name": Mail("--attach", "a.txt;text/csv; name=\"b.csv\"", files={"a.txt": b"a,b"}, attachments=[("a.txt", "text/csv", b"a,b")], tree="text/csv"),
    "breaks in a name": attachment(BREAKS),
    "percent in a name": attachment("100%25'utf-8''.txt"),
    "long name": attachment("n" * 200 + ".txt"),
    "long chinese name": attachment("名" * 80 + ".txt"),
    "name of blanks and dots": attachment(".a  b .  c"),
    "name that is not UTF-8": Mail("--attach", b"caf\xe9.txt", files={b"caf\xe9.txt": b"x"}, attachments=[("caf\ufffd.txt", "text/plain", b"x")], tree="text/plain"),
    "emoji in a name": attachment("🎂 and 👨‍👩‍👧.txt"),
    "a mail as an attachment": attachment("mail.eml", octets=b"From: x@example.org\r\n\r\nHello\r\n"),
    "only attachments": Mail("--attach", "a.txt", "--attach", "b.pdf", "--attach", "a.txt", files={"a.txt": b"a\r\nb\n", "b.pdf": b"%PDF-1.7\n\x00\xff"},
                             attachments=[("a.txt", "text/plain", b"a\r\nb\n"), ("b.pdf", "application/pdf", b"%PDF-1.7\n\x00\xff"),
                                          ("a.txt", "text/plain", b"a\r\nb\n")],
                             tree="mixed(text/plain,application/pdf,text/plain)"),
    "text and attachment": Mail("--text", "text", "--attach", "a.txt", files={"text": b"Hello\n", "a.txt": b"x"}, text="Hello\n",
                                attachments=[("a.txt", "text/plain", b"x")], tree="mixed(plain,text/plain)"),
    "dots and From": text_mail(".\n..\n.x\nFrom me\n>From you\n From here\n.\n"),
    "blanks at the ends": text_mail("a  \nb\t\n\n \nc"),
    "text with CRLF": text_mail("a\r\nb\r\n\r\nc\r\n"),
    "text with a BOM": Mail("--text", "text", files={"text": b"\xef\xbb\xbfHello\n"}, text="Hello\n", tree="plain"),
    "lines over 998 octets": text_mail("x" * 5000 + "\n" + "长" * 3000 + "\n" + "a " * 2000 + "\n"),
    "line of 999 octets": text_mail("x" * 999 + "\n" + "y" * 997 + "\n"),
    "controls": text_mail("a\x1b[31mb\x07\x7f\x0c\n"),
    "fields": Mail("--header", "X-Order: 你好 42", "--header", "X-Order: 43", "--header", "References: " + " ".join(f"<{n}.x@example.org>" for n in range(30)),
                   "--header", "Message-ID: <mine@example.org>", "--header", "Date: Mon, 23 Nov 2026 05:06:07 +0800",
                   fields=[("X-Order", "你好 42"), ("X-Order", "43"), ("References", " ".join(f"<{n}.x@example.org>" for n in range(30))),
                           ("Message-ID", "<mine@example.org>"), ("Date", "Mon, 23 Nov 2026 05:06:07 +0800")], tree="plain"),
    "internationalised domain": Mail("--from", "a@例子.中国", "--to", "用户 <b@例子.中国>", sender=(None, "a@xn--fsqu00a.xn--fiqs8s"),
                                     to=[("用户", "b@xn--fsqu00a.xn--fiqs8s")], tree="plain"),
    "internationalised address": Mail("--from", "发件人 <发件人@例子.中国>", "--to", "用户@example.net", "--subject", "你好", sender=("发件人", "发件人@例子.中国"),
                                      to=[(None, "用户@example.net")], subject="你好", tree="plain", utf8=True),
    "quoted local part": Mail("--to", '"a b"@example.net (a comment)', to=[(None, '"a b"@example.net')], tree="plain"),
    "groups and lists": Mail("--to", "friends: b@example.net, Ann <ann@example.net>;, c@example.net", "--cc", "d@example.net", "--cc", "e@example.net",
                             to=[(None, TO), ("Ann", "ann@example.net"), (None, "c@example.net")], cc=[(None, "d@example.net"), (None, "e@example.net")],
                             tree="plain"),
    "blind": Mail("--bcc", "hidden@example.net", "--text", "text", files={"text": b"x\n"}, to=[], text="x\n", tree="plain"),
    "everything": Mail("--from", "发件人 <a@example.org>", "--to", "新用户 <b@example.net>", "--cc", "Carl <c@example.net>", "--subject", CHINESE * 3,
                       "--text", "text", "--html", "mail.html", "--inline", "logo.png=logo", "--attach", "报告 2026.pdf", "--attach", "a.csv;text/csv",
                       "--header", "X-A: b", sender=("发件人", FROM), to=[("新用户", TO)], cc=[("Carl", "c@example.net")], subject=CHINESE * 3,
                       text="您好\n", html=ALL_HTML, refs=[("logo.png", 0), ("img/b.gif", 1)],
                       files={"text": "您好\n".encode(), "logo.png": picture(1), "img/b.gif": GIF, "报告 2026.pdf": b"%PDF-1.4\n", "a.csv": b"a,b\r\n"},
                       pictures=[("logo.png", "image/png", picture(1)), ("b.gif", "image/gif", GIF)],
                       attachments=[("报告 2026.pdf", "application/pdf", b"%PDF-1.4\n"), ("a.csv", "text/csv", b"a,b\r\n")], fields=[("X-A", "b")],
                       tree="mixed(alternative(plain,related(html,image/png,image/gif)),application/pdf,text/csv)"),
}


def fill(folder, files):
    for name, octets in files.items():
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(octets)


def prepare(mail, folder):
    """The options of the mail, whose files are in the folder then."""
    fill(folder, mail.files)
    if mail.html is not None:
        fill(folder, {"mail.html": mail.html_source(folder).encode()})
    options = list(mail.options)
    options += [] if "--from" in options else ["--from", FROM]
    return options + ([] if "--to" in options or "--bcc" in options else ["--to", TO])


def write(mail, folder):
    """The mail as herald writes it."""
    done = run("herald", "send", *prepare(mail, folder), "--output", "-", cwd=folder, input=mail.stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def check_lines(octets, utf8):
    """CRLF alone, no line over 998 octets, header lines of 78 at most but for a word that is longer, 7 bits."""
    assert octets.endswith(b"\r\n") and b"\n" not in octets.replace(b"\r\n", b"") and b"\r" not in octets.replace(b"\r\n", b"")
    header, body = octets.split(b"\r\n\r\n", 1)
    for line in octets.split(b"\r\n"):
        assert len(line) <= 998
    for line in re.findall(rb"^[A-Za-z-]+: [^\r]*(?:\r\n[ \t][^\r]*)*", octets, re.M)[:200]:
        for part in line.split(b"\r\n"):
            assert len(part) <= 78 or len(part.split()) == 1, part
    body.decode("ascii")
    if not utf8:
        header.decode("ascii")


def tree_of(part):
    if part.is_multipart():
        return f"{part.get_content_subtype()}({','.join(tree_of(one) for one in part.iter_parts())})"
    return part.get_content_subtype() if part.get_content_disposition() is None else part.get_content_type()


def leaves(message, disposition, maintype=None):
    return [part for part in message.walk() if not part.is_multipart() and part.get_content_disposition() == disposition
            and (maintype is None or part.get_content_type() == maintype)]


def addresses(message, field):
    return [(one.display_name or None, one.addr_spec) for one in message[field].addresses] if message[field] else []


def lines(text):
    """As it is to arrive: CRLF, and a CR that stands alone."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()


def described(parts):
    return [(part.get_filename(), part.get_content_type(), part.get_payload(decode=True)) for part in parts]


def parse(octets, utf8):
    if utf8:
        return email.message_from_string(octets.decode(), policy=email.policy.SMTPUTF8)
    return email.message_from_bytes(octets, policy=email.policy.default)


def check_defects(message):
    for part in message.walk():
        assert part.defects == []
        for name, value in part.items():
            assert [one for one in value.defects if not isinstance(one, email.errors.NonASCIILocalPartDefect)] == [], (name, value)


def check_header(mail, message):
    assert addresses(message, "from") == [mail.sender]
    assert addresses(message, "to") == list(mail.to)
    assert addresses(message, "cc") == list(mail.cc)
    assert addresses(message, "reply-to") == list(mail.reply_to)
    assert message["subject"] == mail.subject
    assert message["mime-version"] == "1.0"
    assert message["bcc"] is None and message["x-mailer"] is None and message["user-agent"] is None
    for name in {name for name, _ in mail.fields}:
        assert message.get_all(name) == [value for one, value in mail.fields if one == name]
    domain = mail.sender[1].split("@")[1].encode("idna").decode()
    assert "Message-ID" in dict(mail.fields) or re.fullmatch(rf"<[0-9a-f]{{16}}\.[0-9]+@{re.escape(domain)}>", message["message-id"])
    assert message["date"].datetime is not None and len(message.get_all("date")) == len(message.get_all("message-id")) == 1


def check(mail, octets):
    """Every part, name and reference is found right."""
    check_lines(octets, mail.utf8)
    message = parse(octets, mail.utf8)
    check_defects(message)
    check_header(mail, message)
    assert tree_of(message) == mail.tree
    pictures = leaves(message, "inline")
    cids = [part["content-id"][1:-1] for part in pictures]
    assert described(pictures) == list(mail.pictures)
    assert len(set(cids)) == len(cids)
    assert described(leaves(message, "attachment")) == list(mail.attachments)
    texts, htmls = leaves(message, None, "text/plain"), leaves(message, None, "text/html")
    assert [one.get_payload(decode=True) for one in htmls] == ([] if mail.html is None else [lines(mail.html_sent(cids))])
    if mail.text is not None:
        wanted = lines(mail.text)
        assert [one.get_payload(decode=True) for one in texts] == [wanted + (b"\r\n" if wanted and not wanted.endswith(b"\r\n") else b"")]
    for one in texts + htmls:
        assert one.get_content_charset() == "utf-8"
    for part in message.walk():
        if part.get_content_subtype() == "related":
            assert part.get_param("type") == "text/html"
