"""A POP3 server whose every reply a test can choose."""

import base64
import socket
import ssl
import threading

from lib.net import TIMEOUT, free_port, readable


class Drop(Exception):
    """Raised by a reply function: close without a reply."""


class Session:
    """One connection: the commands it brought, and whether they came inside TLS."""

    def __init__(self, sock):
        self.sock = sock
        self.commands = []            # (inside TLS, line)
        self.pipelined = False        # a command arrived before the reply to the one before it was sent
        self.user = None
        self.doomed = set()           # numbers that QUIT is to delete
        self.ended = False            # QUIT was answered

    def verbs(self):
        return [line.split()[0].decode("ascii", "replace").upper() if line.split() else "" for _, line in self.commands]

    def in_clear(self):
        return b"\n".join(line for secure, line in self.commands if not secure)

    def send(self, octets):
        self.sock.sendall(octets)


def multiline(first, content):
    """A reply of many lines: content with CRLF ends, stuffed, and its end."""
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    return first + b"\r\n" + stuffed + (b"" if not content or content.endswith(b"\r\n") else b"\r\n") + b".\r\n"


class Pop3Server:
    """`messages`: octets with CRLF ends.  `replies` maps CONNECT, CAPA, AUTH, ..., QUIT to octets or to a
    function(session, line) giving them; octets without an end of line get one, None is what a server says.
    A function may send by itself (session.send), give b"" and raise Drop."""

    def __init__(self, messages=(), replies=None, capabilities=("TOP", "UIDL", "USER", "SASL PLAIN"), tls=None, context=None,
                 user="ann", password="secret words", uidls=None):
        self.messages = dict(enumerate(messages, 1))
        self.uidls = uidls or {number: f"uid-{number}".encode() for number in self.messages}
        self.replies, self.capabilities = dict(replies or {}), capabilities
        self.tls, self.context, self.user, self.password = tls, context, user.encode(), password.encode()
        self.lock = threading.Lock()
        self.sessions = []
        self.connections = set()
        self.closing = False
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.listener.settimeout(None)
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

    @property
    def session(self):
        """The only one there was."""
        assert len(self.sessions) == 1, f"{len(self.sessions)} sessions"
        return self.sessions[0]

    def _accept(self):
        while not self.closing:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.settimeout(TIMEOUT * 5)
        session = Session(sock)
        with self.lock:
            self.sessions.append(session)
            self.connections.add(sock)
        try:
            _Dialogue(self, session).run()
        except (OSError, Drop, EOFError, ssl.SSLError):
            pass
        finally:
            with self.lock:
                self.connections.discard(sock)
            session.sock.close()


class _Dialogue:
    def __init__(self, server, session):
        self.server, self.session = server, session
        self.buffer, self.secure, self.authorised = b"", False, False

    def run(self):
        if self.server.tls == "implicit":
            self._handshake()
        if not self._say("CONNECT", b"", b"+OK POP3 server of a test ready").startswith(b"+OK"):
            return
        while not self.session.ended:
            line = self._line()
            with self.server.lock:
                self.session.commands.append((self.secure, line))
            if self.buffer or readable(self.session.sock, 0):
                self.session.pipelined = True
            verb = line.split(b" ")[0].upper().decode("ascii", "replace")
            getattr(self, "_" + verb.lower(), self._other)(line, verb)

    def _say(self, step, line, default):
        reply = self.server.replies.get(step)
        if callable(reply):
            reply = reply(self.session, line)
        if reply is None:
            reply = default
        self.session.send(reply if reply.endswith(b"\n") or not reply else reply + b"\r\n")
        return reply

    def _line(self):
        while b"\r\n" not in self.buffer:
            part = self.session.sock.recv(65536)
            if not part:
                raise EOFError
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _handshake(self):
        assert not self.buffer, "octets before the TLS handshake"
        self.session.sock = self.server.context.wrap_socket(self.session.sock, server_side=True)
        self.secure = True

    def _living(self):
        return {number: text for number, text in self.server.messages.items() if number not in self.session.doomed}

    def _number(self, line):
        words = line.split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() and int(words[1]) in self._living() else None

    def _other(self, line, _):
        self._say("OTHER", line, b"-ERR no such command")

    def _capa(self, line, _):
        words = list(self.server.capabilities)
        if self.server.tls == "stls" and not self.secure:
            words.append("STLS")
        self._say("CAPA", line, multiline(b"+OK", "".join(word + "\r\n" for word in words).encode()))

    def _stls(self, line, _):
        if self._say("STLS", line, b"+OK begin").startswith(b"+OK"):
            self._handshake()

    def _auth(self, line, _):
        words = line.split(b" ")
        response = words[2] if len(words) > 2 else None
        if response is None:
            self._say("AUTH", line, b"+ ")
            response = self._line()
        _, user, password = base64.b64decode(response).split(b"\0")
        self._judge("AUTH", line, (user, password))

    def _user(self, line, _):
        self.session.user = line[5:]
        self._say("USER", line, b"+OK")

    def _pass(self, line, _):
        self._judge("PASS", line, (self.session.user, line[5:]))

    def _judge(self, step, line, login):
        good = login == (self.server.user, self.server.password)
        reply = self._say(step, line, b"+OK logged in" if good else b"-ERR [AUTH] authentication failed")
        self.authorised = reply.startswith(b"+OK")

    def _stat(self, line, _):
        living = self._living()
        self._say("STAT", line, b"+OK %d %d" % (len(living), sum(map(len, living.values()))))

    def _list(self, line, _):
        lines = b"".join(b"%d %d\r\n" % (number, len(text)) for number, text in self._living().items())
        self._say("LIST", line, multiline(b"+OK", lines))

    def _uidl(self, line, _):
        lines = b"".join(b"%d %s\r\n" % (number, self.server.uidls.get(number, b"uid")) for number in self._living())
        self._say("UIDL", line, multiline(b"+OK", lines))

    def _retr(self, line, _):
        number = self._number(line)
        self._say("RETR", line, multiline(b"+OK", self.server.messages[number]) if number else b"-ERR no such message")

    def _top(self, line, _):
        number = self._number(line)
        if number is None:
            return self._say("TOP", line, b"-ERR no such message")
        head, _, _ = self.server.messages[number].partition(b"\r\n\r\n")
        return self._say("TOP", line, multiline(b"+OK", head + b"\r\n\r\n"))

    def _dele(self, line, _):
        number = self._number(line)
        if self._say("DELE", line, b"+OK" if number else b"-ERR no such message").startswith(b"+OK"):
            self.session.doomed.add(number)

    def _noop(self, line, _):
        self._say("NOOP", line, b"+OK")

    def _quit(self, line, _):
        reply = self._say("QUIT", line, b"+OK bye")
        if reply.startswith(b"+OK"):
            with self.server.lock:
                for number in self.session.doomed:
                    self.server.messages.pop(number, None)
        self.session.ended = True
