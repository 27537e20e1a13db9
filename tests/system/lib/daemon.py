"""One heraldd: its conffile, its process, its log, its control socket."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from lib.net import TIMEOUT, wait_until

SANITIZER = re.compile(r"ERROR: AddressSanitizer|runtime error:|ERROR: LeakSanitizer|SUMMARY: .*Sanitizer")


def build_directory():
    path = os.environ.get("HERALD_BUILD")
    assert path, "HERALD_BUILD must name the folder with heraldd, heraldctl and herald"
    return os.path.abspath(path)


def program(name):
    path = os.path.join(build_directory(), name)
    assert os.access(path, os.X_OK), f"{path} is not there: build herald first"
    return path


def sanitized():
    """Whether the build carries a sanitizer, whose memory is not the program's."""
    with open(program("heraldd"), "rb") as file:
        return b"__asan_init" in file.read()


def run(name, *arguments, timeout=None, **keywords):
    """Runs one of herald's programs to its end."""
    return subprocess.run([program(name), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=keywords.pop("stdin", None) or (None if "input" in keywords else subprocess.DEVNULL),
                          timeout=timeout or TIMEOUT, **keywords)


def work_directory():
    """A folder that the unprivileged daemon may enter, which pytest's own are not."""
    path = tempfile.mkdtemp(prefix="herald-", dir=os.environ.get("TMPDIR", "/tmp"))
    os.chmod(path, 0o755)
    return path


class Notify:
    """The receiving end of sd_notify(3); a thread reads all the time, as systemd does."""

    def __init__(self, path):
        self.path = path
        self.received = []
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(None)
        self.sock.bind(path)
        os.chmod(path, 0o777)
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self):
        while True:
            try:
                octets = self.sock.recv(65536)
            except OSError:
                return
            if not octets:
                return
            self.received += octets.decode().split("\n")

    def lines(self):
        """All assignments received until now, in order."""
        return list(self.received)

    def count(self, assignment):
        return self.lines().count(assignment)

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Herald:
    """Starts `heraldd -d -c FILE` with a conffile made of a head with folders and the body given."""

    living = []                              # all that have not finished, for the report of a test that fails

    def __init__(self, body, directory=None, state=None, arguments=("-d",), prefix=(), environment=None, **top):
        self.directory = directory or work_directory()
        self.state = state or os.path.join(self.directory, "state")
        self.runtime = os.path.join(self.directory, "run")
        self.conffile = os.path.join(self.directory, "herald.conf")
        self.logfile = os.path.join(self.directory, "log")
        self.control = os.path.join(self.runtime, "control.sock")
        self.arguments, self.prefix, self.environment = list(arguments), list(prefix), dict(environment or {})
        self.process = None
        self.expected_exit = (0,)
        self.top = {"hostname": "herald.example.org", "user": "nobody", "state_directory": self.state,
                    "runtime_directory": self.runtime, **top}
        for folder, mode in ((self.state, 0o700), (self.runtime, 0o755)):
            os.makedirs(folder, exist_ok=True)
            shutil.chown(folder, "nobody", "nogroup")
            os.chmod(folder, mode)
        self.notify = Notify(os.path.join(self.directory, "notify"))
        self.configure(body)
        Herald.living.append(self)

    # -- conffile

    def configure(self, body):
        head = "".join(f'{key} = "{value}"\n' for key, value in self.top.items() if value is not None)
        with open(self.conffile, "w") as file:
            file.write(head + body)

    # -- process

    def start(self, pass_fds=()):
        ready = self.notify.count("READY=1")
        environment = {**os.environ, "NOTIFY_SOCKET": self.notify.path, **self.environment}
        with open(self.logfile, "ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, program("heraldd"), *self.arguments, "-c", self.conffile],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, pass_fds=pass_fds)

        def is_ready():
            assert self.process.poll() is None, f"heraldd ended with {self.process.returncode}:\n{self.log()}"
            return self.notify.count("READY=1") > ready
        wait_until(is_ready, "READY=1")
        return self

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=None):
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout or TIMEOUT)

    def kill(self):
        """kill -9, as a crash does."""
        self.process.kill()
        self.process.wait()
        self.expected_exit = (0, -signal.SIGKILL)

    def finish(self):
        """Ends the process if it runs, and checks how it ended."""
        Herald.living.remove(self)
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"heraldd did not stop on SIGTERM:\n{self.log()[-4000:]}") from None
        self.notify.close()
        if self.process is not None:
            assert self.process.returncode in self.expected_exit, \
                f"heraldd ended with {self.process.returncode}:\n{self.log()[-8000:]}"
        report = SANITIZER.search(self.log())
        assert not report, self.log()[max(0, report.start() - 200):report.start() + 8000]

    def remove(self):
        if not os.environ.get("HERALD_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    # -- reload

    def reload(self, body=None):
        """SIGHUP, and waits until the daemon has said that it is done, whichever way it went."""
        if body is not None:
            self.configure(body)
        mark = self.mark()
        ready = self.notify.count("READY=1")
        self.signal(signal.SIGHUP)
        wait_until(lambda: self.notify.count("READY=1") > ready, "READY=1 after a reload")
        return self.log()[mark:]

    # -- log

    def log(self):
        if not os.path.exists(self.logfile):
            return ""
        with open(self.logfile, errors="surrogateescape", newline="\n") as file:
            return file.read()

    def mark(self):
        return len(self.log())

    def wait_log(self, pattern, since=0, timeout=None):
        """The match of a regular expression in the log, once it stands there."""
        expression = re.compile(pattern, re.M)
        try:
            return wait_until(lambda: expression.search(self.log(), since), f"log line {pattern}", timeout)
        except AssertionError as fault:
            raise AssertionError(f"{fault}; the log ends:\n{self.log()[-6000:]}") from None

    # -- control

    def ctl(self, *arguments, **keywords):
        return run("heraldctl", "-s", self.control, *arguments, **keywords)

    def ask(self, *arguments):
        """A verb with --json, parsed."""
        done = self.ctl("--json", *arguments)
        assert done.returncode == 0, f"heraldctl {arguments}: {done.returncode} {done.stderr.decode()}"
        return json.loads(done.stdout)

    def queue(self, *filters):
        return self.ask("queue", "list", *filters)

    def status(self):
        return self.ask("status")

    def wait_empty(self, timeout=None):
        wait_until(lambda: self.status()["queue"]["messages"] == 0, "an empty queue", timeout, 0.05)


def counters(status, service, name):
    """The counters of one block, whether the status is keyed by name or a list of objects with names."""
    blocks = status[service]
    if isinstance(blocks, dict):
        return blocks[name]
    return next(block for block in blocks if block["name"] == name)
