"""Short Python programs, as users write them, and herald send and herald fetch for the same jobs: the same result.

The daemon takes the mail, a real Postfix delivers it, and it lies in the mailbox of a real Dovecot.
"""

import email
import email.policy
import os
import re
import subprocess
import sys

import pytest

from lib import dovecot
from lib.daemon import run
from lib.fetching import PASSWORD, USER, Fetcher
from lib.net import wait_until
from lib.postfix import Postfix

# HTML with a picture in it, its text, and an attachment.
SEND = """
import mimetypes, smtplib, sys
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

host, port, sender, recipient, subject, text, html, picture, attachment = sys.argv[1:]
message = EmailMessage()
message["From"] = sender
message["To"] = recipient
message["Subject"] = subject
message["Date"] = formatdate()
message["Message-ID"] = make_msgid(domain="example.org")
with open(text, encoding="utf-8") as file:
    message.set_content(file.read())
with open(html, encoding="utf-8") as file:
    page = file.read()
cid = make_msgid(domain="example.org")
message.add_alternative(page.replace('src="logo.png"', 'src="cid:%s"' % cid[1:-1]), subtype="html")
with open(picture, "rb") as file:
    message.get_payload()[1].add_related(file.read(), "image", "png", cid=cid, filename="logo.png", disposition="inline")
maintype, subtype = (mimetypes.guess_type(attachment)[0] or "application/octet-stream").split("/")
with open(attachment, "rb") as file:
    message.add_attachment(file.read(), maintype, subtype, filename=attachment.rsplit("/", 1)[-1])
with smtplib.SMTP(host, int(port)) as server:
    server.send_message(message)
"""

# The last mail: its header, its text, and its files, as the documentation of the email package unpacks a message.
FETCH = """
import email, email.policy, mimetypes, os, poplib, ssl, sys
from email.utils import getaddresses

host, port, user, password, ca, folder = sys.argv[1:]
server = poplib.POP3(host, int(port))
print("Server: " + server.getwelcome().decode()[4:])
server.stls(ssl.create_default_context(cafile=ca))
server.user(user)
server.pass_(password)
count, size = server.stat()
print("Mailbox: %d message%s, %d octets" % (count, "" if count == 1 else "s", size))
_, lines, _ = server.retr(count)
server.quit()
message = email.message_from_bytes(b"\\r\\n".join(lines) + b"\\r\\n", policy=email.policy.default)
for name in ("From", "To", "Subject", "Date"):
    print("%s: %s" % (name, message[name]))
print("Recipient's local part: " + message["To"].addresses[0].username)
print("Sender's local part: " + message["From"].addresses[0].username)
counter = 0
for part in message.walk():
    if part.is_multipart():
        continue
    counter += 1
    name = part.get_filename()
    if name is None and part.get_content_type() == "text/plain":
        print(part.get_content())
        continue
    if name is None:
        name = "part-%03d%s" % (counter, mimetypes.guess_extension(part.get_content_type()) or ".bin")
    content = part.get_payload(decode=True)
    with open(os.path.join(folder, os.path.basename(name)), "wb") as file:
        file.write(content)
    print("Saved: %s (%s, %d octets)" % (name, part.get_content_type(), len(content)))
"""

PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 30
JOBS = {
    "plain": ("Ann <ann@example.org>", "Bob <bob@example.net>", "Report", "The report.\n", "report.pdf", b"%PDF-1.4\n" + bytes(range(256)) * 10),
    "chinese": ("发件人 <fa@example.org>", "新用户 <xin@example.net>", "一封HTML邮件，带有图片和附件", "您好，这是纯文本。\n第二行\n", "疯狂讲义 目录.txt",
                "第一章\r\n".encode()),
    "odd": ('"Doe, John (x)" <john.doe+tag@example.org>', "a_b@example.net", "=?not?= encoded, " + "long " * 40 + "end", ".dot\n..\n" + "w" * 900 + "\n",
            "a;b'\"c%20.bin", b"\0\r\n.\r\n\xff" * 100),
}


@pytest.fixture(scope="module")
def world(start_module, certificates):
    """A relay of herald's, the Postfix behind it, and the Dovecot whose mailbox gets what arrives there."""
    postfix = Postfix(start_module.directory)
    start_module.running.append(postfix)
    port = postfix.listen()
    postfix.start()
    relay = start_module.relay(host=f"127.0.0.1:{port}")
    pop3 = dovecot.Pop3(start_module.directory, {USER: PASSWORD}, certificate=certificates.path("good"))
    start_module.running.append(pop3.start())
    return postfix, relay, pop3


class Job:
    """The files of one mail, and its way."""

    def __init__(self, world, directory, name):
        self.postfix, self.relay, self.pop3 = world
        self.sender, self.recipient, self.subject, self.text, self.attachment, self.octets = JOBS[name]
        self.html = f'<html><body><h1>{self.subject[:8]}</h1><p>x &amp; y <img alt="a" src="logo.png"> <img src="logo.png"></p></body></html>\n'
        self.directory = directory
        self.paths = {"text": "text.txt", "html": "page.html", "picture": "logo.png", "attachment": self.attachment}
        self.paths = {kind: os.path.join(directory, path) for kind, path in self.paths.items()}
        for kind, content in (("text", self.text.encode()), ("html", self.html.encode()), ("picture", PICTURE), ("attachment", self.octets)):
            with open(self.paths[kind], "wb") as file:
                file.write(content)

    def python(self):
        return [sys.executable, "-c", SEND, "127.0.0.1", str(self.relay.port), self.sender, self.recipient, self.subject,
                *(self.paths[kind] for kind in ("text", "html", "picture", "attachment"))]

    def send(self, by):
        if by == "python":
            done = subprocess.run(self.python(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        else:
            done = run("herald", "send", "--from", self.sender, "--to", self.recipient, "--subject", self.subject, "--text", self.paths["text"],
                       "--html", self.paths["html"], "--attach", self.paths["attachment"],
                       env={"PATH": "/usr/bin:/bin", "HERALD_SUBMIT_SOCKET": os.path.join(self.relay.herald.runtime, "submit.sock")})
        assert done.returncode == 0, done.stderr.decode()

    def deliver(self, by):
        """Sends it; its octets, as they then lie in the mailbox, alone."""
        before = self.postfix.mailbox()
        self.send(by)
        new = wait_until(lambda: [text for text in self.postfix.mailbox() if text not in before], "the mail at its destination")
        assert len(new) == 1
        content = new[0].replace(b"\n", b"\r\n")
        self.pop3.empty(USER)
        self.pop3.fill(USER, content)
        return email.message_from_bytes(content, policy=email.policy.default)


def leaf(part):
    """Type, name, disposition and content of a part, as far as they are to be the same."""
    octets = part.get_payload(decode=True)
    if part.get_content_maintype() == "text" and part.get_content_disposition() != "attachment":
        octets = re.sub(r"cid:[^\"]+", "cid:", part.get_content()).replace("\r\n", "\n").encode()
    return part.get_content_type(), part.get_filename(), part.get_content_disposition(), octets


def tree(part):
    """What it is made of."""
    if part.is_multipart():
        return part.get_content_type(), [tree(one) for one in part.iter_parts()]
    return leaf(part)


def references(message):
    """What the pictures of the HTML are: octets, by their order in it."""
    found = {part["Content-ID"].strip("<> "): part.get_payload(decode=True) for part in message.walk() if part["Content-ID"]}
    page = next(part.get_content() for part in message.walk() if part.get_content_type() == "text/html")
    return [found[reference] for reference in re.findall(r'src="cid:([^"]+)"', page)]


@pytest.mark.parametrize("name", JOBS)
def test_send(world, tmp_path, name):
    """The same tree of parts, names, octets and references, addresses and subject."""
    job = Job(world, str(tmp_path), name)
    theirs, ours = job.deliver("python"), job.deliver("herald")
    assert tree(ours) == tree(theirs)
    assert references(ours) == references(theirs) == [PICTURE, PICTURE]
    for field in ("From", "To"):
        assert [(one.display_name, one.addr_spec) for one in ours[field].addresses] == \
            [(one.display_name, one.addr_spec) for one in theirs[field].addresses]
    assert ours["Subject"] == theirs["Subject"] == job.subject
    assert 0 <= ours["Date"].datetime.timestamp() - theirs["Date"].datetime.timestamp() < 300
    assert ours["Message-ID"] and ours["Message-ID"] != theirs["Message-ID"]
    assert not ours.defects and not any(part.defects for part in ours.walk())


def lines(text):
    """What was printed, without empty lines and blanks at the ends."""
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("sender", ["python", "herald"])
@pytest.mark.parametrize("name", JOBS)
def test_fetch(world, tmp_path, certificates, name, sender):
    """The same lines printed, the same files with the same octets."""
    job = Job(world, str(tmp_path), name)
    job.deliver(sender)
    fetch = Fetcher(str(tmp_path / "herald"), certificates.ca)
    theirs = tmp_path / "python"
    theirs.mkdir()
    done = subprocess.run([sys.executable, "-c", FETCH, "localhost", str(job.pop3.port), USER, PASSWORD, certificates.ca, str(theirs)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0, done.stderr.decode()
    ours = lines(fetch.text(f"pop3://{USER}@localhost:{job.pop3.port}", "--starttls", "--last"))
    expected = lines(done.stdout.decode())
    assert len(fetch.files()) == 3 and {path.name: path.read_bytes() for path in theirs.iterdir()} == fetch.files()
    # Ours says besides which message it is.
    assert re.fullmatch(r"Message 1, \d+ octets", ours.pop(2))
    assert without_quotes(ours) == without_quotes(expected)


def without_quotes(printed):
    """Where an address has no need of them a display name may stand with quotes or without."""
    return sorted(re.sub(r'["\\]', "", line) if line.startswith(("From: ", "To: ")) else line for line in printed)
