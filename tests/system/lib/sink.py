"""Peers that receive: Postfix's smtp-sink, and a Python server whose every reply a test can choose."""

import base64
import glob
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading

from lib.net import TIMEOUT, connect, free_port, need, readable, wait_until


class SmtpSink:
    """Postfix's smtp-sink(1); each mail transaction is dumped into a file of its own."""

    def __init__(self, directory, *options, port=None, dump=True):
        self.port = port or free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.directory = os.path.join(directory, f"sink-{self.port}")
        self.options = list(options)
        self.dump = dump
        os.makedirs(self.directory, exist_ok=True)
        shutil.chown(self.directory, "nobody")
        self.process = None

    def start(self, options=None):
        if options is not None:
            self.options = list(options)
        keep = ["-d", os.path.join(self.directory, "mail.")] if self.dump else []
        self.process = subprocess.Popen([need("smtp-sink"), "-u", "nobody", *keep, *self.options, self.host, "256"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

        def accepts():
            assert self.process.poll() is None, "smtp-sink ended at once"
            try:
                connect(("127.0.0.1", self.port)).close()
                return True
            except ConnectionRefusedError:
                return False
        wait_until(accepts, "smtp-sink listens")
        return self

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(TIMEOUT)
        self.process = None

    def dumps(self):
        """The finished dumps, as octets with LF ends.  The file of a session that never got to DATA has no content."""
        texts = []
        for path in sorted(glob.glob(os.path.join(self.directory, "mail.*"))):
            with open(path, "rb") as file:
                text = file.read()
            if b"X-Rcpt-Args:" in text and b"\n\n" in text:
                texts.append(text)
        return texts

    def message_ids(self):
        return [match.group(1).decode() for text in self.dumps()
                for match in [re.search(rb"^Message-ID: (<[^>\n]*>)", text, re.M | re.I)] if match]


def smtp_source(port, *options):
    """Runs smtp-source(1) against a port to its end."""
    return subprocess.run([need("smtp-source"), *options, f"127.0.0.1:{port}"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT * 3)


class Message:
    """What the Python sink took: the envelope and the content as it was on the wire."""

    def __init__(self, sender, recipients, wire, session):
        self.sender, self.recipients, self.wire, self.session = sender, recipients, wire, session
        self.content = re.sub(rb"(^|\r\n)\.", rb"\1", wire[:-3])

    @property
    def ident(self):
        match = re.search(rb"^Message-ID:\s*(<[^>\r\n]*>)", self.content, re.M | re.I)
        return match.group(1).decode() if match else None

    def without_received(self):
        """The content below the Received field that herald put on top."""
        return re.sub(rb"\AReceived:[^\r\n]*\r\n([ \t][^\r\n]*\r\n)*", b"", self.content)


class Session:
    """One connection to the Python sink: the commands it brought, and whether they came inside TLS."""

    def __init__(self):
        self.commands = []            # (inside TLS, line)
        self.messages = []
        self.pipelined = False        # a command arrived before the reply to the one before it was sent
        self.user = None
        self.sender, self.recipients = None, []

    def verbs(self):
        return [line.split()[0].decode("ascii", "replace").upper() if line.split() else "" for _, line in self.commands]


class Drop(Exception):
    """Raised by a reply function: close without a reply."""


class PySink:
    """An SMTP server.  `replies` maps CONNECT, EHLO, ..., DATA, "." to octets or to a function(session, line) giving them;
    octets without CRLF get one.  A function may raise Drop."""

    def __init__(self, replies=None, extensions=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"), tls=None, context=None,
                 users=None, mechanisms="PLAIN LOGIN", port=None, address="127.0.0.1"):
        self.replies = dict(replies or {})
        self.extensions = list(extensions)
        self.tls, self.context, self.users, self.mechanisms = tls, context, users, mechanisms
        self.lock = threading.Lock()
        self.sessions, self.messages = [], []
        self.open_now = self.open_most = 0
        self.closing = False
        self.port = port or free_port()
        self.host = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self.listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, self.port))
        self.listener.listen(256)
        self.listener.settimeout(None)           # herald may take longer to come back than a test waits elsewhere
        self.connections = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self.closing = True
        with self.lock:
            sockets = [self.listener, *self.connections]
        for sock in sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()

    def wait_messages(self, count, timeout=None):
        wait_until(lambda: len(self.messages) >= count, f"{count} messages at the sink", timeout)
        return self.messages

    def idents(self):
        with self.lock:
            return [message.ident for message in self.messages]

    # -- one connection

    def _accept(self):
        while not self.closing:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        session = Session()
        sock.settimeout(TIMEOUT * 5)
        with self.lock:
            self.sessions.append(session)
            self.connections.add(sock)
            self.open_now += 1
            self.open_most = max(self.open_most, self.open_now)
        try:
            _Dialogue(self, session, sock).run()
        except (OSError, Drop, EOFError, ssl.SSLError):
            pass
        finally:
            with self.lock:
                self.connections.discard(sock)
                self.open_now -= 1
            sock.close()


class _Dialogue:
    def __init__(self, sink, session, sock):
        self.sink, self.session, self.sock = sink, session, sock
        self.buffer, self.secure = b"", False

    def run(self):
        if self.sink.tls == "implicit":
            self._handshake()
        if not self._say("CONNECT", b"", b"220 sink.example.net ESMTP").startswith(b"2"):
            return
        while True:
            line = self._line()
            with self.sink.lock:
                self.session.commands.append((self.secure, line))
            if self.buffer or readable(self.sock, 0):
                self.session.pipelined = True
            verb = line.split(b" ")[0].upper().decode("ascii", "replace")
            if not getattr(self, "_" + verb.lower(), self._other)(line, verb):
                return

    def _say(self, step, line, default):
        reply = self.sink.replies.get(step, default)
        if callable(reply):
            reply = reply(self.session, line)
        if reply is None:
            reply = default
        self.sock.sendall(reply if reply.endswith(b"\n") else reply + b"\r\n")
        return reply

    def _line(self):
        while b"\r\n" not in self.buffer:
            part = self.sock.recv(65536)
            if not part:
                raise EOFError
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _handshake(self):
        assert not self.buffer, "octets before the TLS handshake"
        self.sock = self.sink.context.wrap_socket(self.sock, server_side=True)
        self.secure = True

    def _ehlo(self, line, _):
        words = list(self.sink.extensions)
        if self.sink.tls == "starttls" and not self.secure:
            words.append("STARTTLS")
        if self.sink.users is not None:
            words.append("AUTH " + self.sink.mechanisms)
        lines = ["sink.example.net", *words]
        default = "".join(f"250{' ' if n == len(lines) - 1 else '-'}{text}\r\n" for n, text in enumerate(lines))
        self._say("EHLO", line, default.encode())
        return True

    def _helo(self, line, _):
        self._say("HELO", line, b"250 sink.example.net")
        return True

    def _starttls(self, line, _):
        if self._say("STARTTLS", line, b"220 2.0.0 go ahead").startswith(b"220"):
            self._handshake()
        return True

    def _auth(self, line, _):
        words = line.split(b" ")
        if words[1].upper() == b"PLAIN":
            given = words[2] if len(words) > 2 else self._challenge(b"")
            _, user, password = base64.b64decode(given).split(b"\0")
        else:
            user = base64.b64decode(words[2] if len(words) > 2 else self._challenge(b"Username:"))
            password = base64.b64decode(self._challenge(b"Password:"))
        if self.sink.users.get(user.decode()) == password.decode():
            self.session.user = user.decode()
            self._say("AUTH", line, b"235 2.7.0 welcome")
        else:
            self._say("AUTH", line, b"535 5.7.8 authentication failed")
        return True

    def _challenge(self, prompt):
        self.sock.sendall(b"334 " + base64.b64encode(prompt) + b"\r\n")
        return self._line()

    def _mail(self, line, _):
        if self._say("MAIL", line, b"250 2.1.0 ok").startswith(b"2"):
            self.session.sender = re.search(rb"<([^>]*)>", line).group(1).decode()
            self.session.recipients = []
        return True

    def _rcpt(self, line, _):
        if self._say("RCPT", line, b"250 2.1.5 ok").startswith(b"2"):
            self.session.recipients.append(re.search(rb"<([^>]*)>", line).group(1).decode())
        return True

    def _data(self, line, _):
        if not self.session.recipients:
            self.sock.sendall(b"503 5.5.1 no recipients\r\n")
            return True
        if not self._say("DATA", line, b"354 go on").startswith(b"354"):
            return True
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            part = self.sock.recv(262144)
            if not part:
                raise EOFError
            self.buffer += part
        end = 3 if self.buffer.startswith(b".\r\n") else self.buffer.index(b"\r\n.\r\n") + 5
        wire, self.buffer = self.buffer[:end], self.buffer[end:]
        message = Message(self.session.sender, self.session.recipients, wire, self.session)
        reply = self.sink.replies.get(".", b"250 2.0.0 taken")
        if callable(reply):
            reply = reply(self.session, message) or b"250 2.0.0 taken"
        if reply.startswith(b"2"):          # responsibility passes before the reply is out
            with self.sink.lock:
                self.session.messages.append(message)
                self.sink.messages.append(message)
        self.session.sender, self.session.recipients = None, []
        self.sock.sendall(reply if reply.endswith(b"\n") else reply + b"\r\n")
        return True

    def _rset(self, line, _):
        self.session.sender, self.session.recipients = None, []
        self._say("RSET", line, b"250 2.0.0 ok")
        return True

    def _noop(self, line, _):
        self._say("NOOP", line, b"250 2.0.0 ok")
        return True

    def _quit(self, line, _):
        self._say("QUIT", line, b"221 2.0.0 bye")
        return False

    def _other(self, line, verb):
        self._say(verb, line, b"502 5.5.1 what?")
        return True
