"""herald fetch as a user runs it: in a folder of its own, with the password in the environment."""

import json
import os
import pty
import subprocess
import sys
import threading

from lib.daemon import SANITIZER, program, run

USER, PASSWORD = "ann", "correct horse, battery%staple"

# The memory of a process counts from its fork on: what runs the tests may have more than is allowed here.
SMALL_PARENT = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, file=sys.stderr)
"""


class Fetcher:
    """`folder` is where it runs and saves; its state is elsewhere."""

    def __init__(self, directory, ca=None, password=PASSWORD):
        self.folder, self.state = os.path.join(directory, "saved"), os.path.join(directory, "state")
        self.ca, self.password = ca, password
        for path in (self.folder, self.state):
            os.makedirs(path)

    def environment(self, **more):
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": self.state, "SECRET": self.password,
                **{name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}, **more}

    def arguments(self, url, *options):
        trust = ["--ca-file", self.ca] if self.ca and "--insecure" not in options else []
        password = [] if "--password" in options else ["--password", "env:SECRET"]
        return ["fetch", url, *password, *trust, *options]

    def __call__(self, url, *options, code=0, **more):
        done = run("herald", *self.arguments(url, *options), cwd=self.folder, env=self.environment(**more))
        assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert not SANITIZER.search(done.stderr.decode(errors="replace")), done.stderr.decode(errors="replace")
        assert self.password.encode() not in done.stdout + done.stderr
        return done

    def text(self, url, *options, **keywords):
        return self(url, *options, **keywords).stdout.decode()

    def json(self, url, *options, **keywords):
        return json.loads(self(url, "--json", *options, **keywords).stdout)

    def files(self):
        """The saved files, name to octets."""
        found = {}
        for name in os.listdir(self.folder):
            with open(os.path.join(self.folder, name), "rb") as file:
                found[name] = file.read()
        return found

    def measured(self, url, *options, output):
        """The exit code, and the MiB of memory that it took; what it tells goes into a file."""
        done = subprocess.run([sys.executable, "-c", SMALL_PARENT, program("herald"), *self.arguments(url, *options)], stdin=subprocess.DEVNULL,
                              stdout=output, stderr=subprocess.PIPE, cwd=self.folder, env=self.environment())
        code, memory = map(int, done.stderr.split())
        return code, memory / 1024

    def on_terminal(self, url, *options, typed="", **more):
        """What a terminal shows, and the exit code; what is to be typed is the password, which is asked for there then."""
        arguments = [program("herald"), *self.arguments(url, *options)]
        if typed:
            place = arguments.index("--password")
            del arguments[place:place + 2]
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.folder)
            os.execve(arguments[0], arguments, self.environment(**more))
        shown = b""
        timer = threading.Timer(60, lambda: os.kill(child, 9))
        timer.start()
        try:
            while True:
                shown += os.read(terminal, 65536)
                if typed and b"Password" in shown:
                    os.write(terminal, typed.encode())
                    typed = ""
        except OSError:                          # EIO: the other side is closed
            pass
        timer.cancel()
        os.close(terminal)
        return shown.decode(errors="surrogateescape"), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
