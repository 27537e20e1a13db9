"""herald send as a person or a script runs it, and the terminal that a person has."""

import base64
import itertools
import os
import pty
import subprocess
import sys
import threading

from lib import daemon
from lib.net import TIMEOUT, wait_until

OK, USAGE, DATAERR, NOINPUT, NOUSER, UNAVAILABLE, IOERR, TEMPFAIL, NOPERM = 0, 64, 65, 66, 67, 69, 74, 75, 77
ADDRESSES = ("--from", "ann@example.org", "--to", "bob@example.net")

_serial = itertools.count(1)


def subject():
    """A new one, by which a message is found again."""
    return f"mail-{os.getpid()}-{next(_serial)}-"


def send(*arguments, addresses=ADDRESSES, env=None, **keywords):
    """herald send to its end.  No socket of a herald of this machine is found by chance."""
    environment = {**os.environ, "HERALD_SUBMIT_SOCKET": "/nonexistent/submit.sock", **(env or {})}
    done = daemon.run("herald", "send", *addresses, *arguments, env=environment, **keywords)
    assert b"Sanitizer" not in done.stderr and b"runtime error" not in done.stderr, done.stderr
    return done


def told(done):
    """Standard error, of which each line names the program: what a server said cannot pass for a line of ours."""
    lines = done.stderr.decode().splitlines()
    assert all(line.startswith("herald: ") for line in lines), done.stderr
    return "\n".join(lines)


def forms(user, password):
    """The password as it may stand in a dialogue."""
    octets = password.encode()
    plain = [octets, b"\0" + user.encode() + b"\0" + octets]
    return [password, *(base64.b64encode(one).decode().rstrip("=") for one in plain)]


def leaked(done, user, password):
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    return [form for form in forms(user, password) if form in text]


class Terminal:
    """A program whose terminal we are: `shown` grows with what it writes there."""

    def __init__(self, *words, env=None):
        self.shown = b""
        environment = {**os.environ, "HERALD_SUBMIT_SOCKET": "/nonexistent/submit.sock", **(env or {})}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execve(words[0], words, environment)
            finally:
                os._exit(127)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while True:
            try:
                self.shown += os.read(self.fd, 65536)
            except OSError:                  # the other end is closed
                return

    def wait_shown(self, text):
        wait_until(lambda: text in self.shown, f"{text} on the terminal")

    def type(self, octets):
        os.write(self.fd, octets)

    def wait(self):
        """The exit code."""
        found = []

        def ended():
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            found.append(status)
            return pid != 0
        wait_until(ended, "the program ends")
        self.reader.join(TIMEOUT)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(found[-1])


# A child is charged with the memory that its parent had when it was made: a small parent makes it.
MEASURE = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024)
"""


def memory_of(*words, env=None):
    """(exit code, most octets of memory) of a program that runs to its end."""
    done = subprocess.run([sys.executable, "-S", "-c", MEASURE, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          env={**os.environ, **(env or {})}, check=True)
    code, memory = done.stdout.split()[-2:]
    return int(code), int(memory)
