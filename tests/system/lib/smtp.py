"""An SMTP client that says exactly what it is told, octet by octet."""

import email.utils
import itertools

from lib.net import connect, read_all

_serial = itertools.count(1)


class Client:
    """A raw session.  Replies come as (code, [text, ...])."""

    def __init__(self, endpoint, banner=True, source=None):
        self.sock = connect(endpoint, source=source)
        self.buffer = b""
        self.banner = self.reply() if banner else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, octets):
        self.sock.sendall(octets)

    def line(self):
        while b"\n" not in self.buffer:
            part = self.sock.recv(65536)
            if not part:
                raise EOFError(f"closed after {self.buffer!r}")
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\n", 1)
        assert line.endswith(b"\r"), f"reply line without CRLF: {line!r}"
        return line[:-1]

    def reply(self):
        texts = []
        while True:
            line = self.line()
            assert line[:3].isdigit() and line[3:4] in (b"-", b" ", b""), f"no reply line: {line!r}"
            texts.append(line[4:].decode("utf-8", "surrogateescape"))
            if line[3:4] != b"-":
                return int(line[:3]), texts

    def command(self, line):
        self.send((line.encode("utf-8", "surrogateescape") if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def code(self, line):
        return self.command(line)[0]

    def hello(self):
        code, texts = self.command("EHLO client.example.org")
        assert code == 250, texts
        return texts

    def transaction(self, sender="ann@example.org", recipients=("bob@example.net",), parameters=""):
        """EHLO, MAIL, RCPT, DATA up to 354."""
        self.hello()
        assert self.code(f"MAIL FROM:<{sender}>{parameters}") == 250
        for recipient in recipients:
            assert self.code(f"RCPT TO:<{recipient}>") == 250
        assert self.code("DATA") == 354

    def rest(self):
        """All replies until the server closes, as codes."""
        octets = self.buffer + read_all(self.sock)
        self.buffer = b""
        return [int(line[:3]) for line in octets.split(b"\r\n") if line and line[3:4] != b"-"]

    def quit(self):
        assert self.code("QUIT") == 221
        assert read_all(self.sock) == b""
        self.sock.close()


def message_id():
    return f"<{next(_serial)}.{email.utils.make_msgid(domain='client.example.org')[1:-1]}>"


def message(ident=None, body=b"Hello\r\n", sender="ann@example.org", recipient="bob@example.net", extra=b""):
    """A message as it stands between 354 and the last dot, before dot-stuffing."""
    ident = ident or message_id()
    return (f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: test\r\nMessage-ID: {ident}\r\n"
            "Date: Mon, 02 Nov 2026 10:00:00 +0000\r\n").encode() + extra + b"\r\n" + body


def stuffed(content):
    """Content as it goes over the wire, with its end."""
    content = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    return content + (b"" if content.endswith(b"\r\n") or not content else b"\r\n") + b".\r\n"


def submit(endpoint, content, sender="ann@example.org", recipients=("bob@example.net",), parameters=""):
    """Hands in one message and returns the id of `250 ... queued as ID`."""
    with Client(endpoint) as client:
        client.transaction(sender, recipients, parameters)
        client.send(stuffed(content))
        code, texts = client.reply()
        assert code == 250, texts
        client.send(b"QUIT\r\n")
        return texts[0].split()[-1]
