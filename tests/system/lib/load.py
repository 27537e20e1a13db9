"""Clients that hand in mail without pause and remember what was acknowledged, through crashes of the server."""

import collections
import threading
import time

from lib.smtp import Client, message, message_id, stuffed


class Load:
    """Threads that submit until stopped.  `acknowledged` holds the Message-IDs that got their 250."""

    def __init__(self, endpoint, threads=4, recipients=("bob@example.net",), size=2000, per_session=10, pause=0):
        self.endpoint, self.recipients, self.per_session, self.pause = endpoint, list(recipients), per_session, pause
        self.body = (b"x" * 76 + b"\r\n") * (size // 78 + 1)
        self.acknowledged = []
        self.attempts = 0
        self.broken = 0                      # sessions that ended without our wish
        self.refused = []                    # replies that were not 250
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)
            assert not thread.is_alive(), "a submitting client hangs"

    def _run(self):
        while not self.stopping.is_set():
            try:
                self._session()
            except (OSError, EOFError):
                with self.lock:
                    self.broken += 1
                time.sleep(0.01)             # the server is down: do not spin while it comes back

    def _session(self):
        with Client(self.endpoint) as client:
            if client.banner[0] != 220:
                raise EOFError
            if client.code("EHLO load.example.org") != 250:
                raise EOFError
            for _ in range(self.per_session):
                if self.stopping.is_set():
                    break
                ident = message_id()
                self.attempts += 1
                commands = [b"MAIL FROM:<ann@example.org>", *(b"RCPT TO:<%s>" % one.encode() for one in self.recipients), b"DATA"]
                client.send(b"".join(command + b"\r\n" for command in commands))
                codes = [client.reply()[0] for _ in commands]
                if codes[-1] != 354:
                    self.refused.append(next(code for code in codes if code >= 400))
                    client.command("RSET")
                    continue
                client.send(stuffed(message(ident, self.body)))
                code, _ = client.reply()
                if code == 250:
                    with self.lock:
                        self.acknowledged.append(ident)
                else:
                    self.refused.append(code)
                if self.pause:
                    self.stopping.wait(self.pause)
            client.send(b"QUIT\r\n")
            client.rest()

    def forget_since(self, count):
        """What was acknowledged after the first `count` no longer counts: see test_power.py."""
        with self.lock:
            del self.acknowledged[count:]

    def lost(self, taken):
        """What was acknowledged and is not among the Message-IDs taken."""
        return set(self.acknowledged) - set(taken)

    def duplicates(self, taken):
        """How many messages too many were delivered."""
        return sum(number - 1 for number in collections.Counter(taken).values())
