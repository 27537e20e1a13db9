"""A machine within the machine: its /usr/sbin/sendmail is ours, its name is what a test says, and all of it ends with the run."""

import os
import shutil
import subprocess

from lib.daemon import program, work_directory
from lib.net import TIMEOUT, need

HOSTNAME = "web1.example.org"

# Tells the arguments, the user and the exit code of each call, in a file that has its name when it is whole.
WRAPPER = """#!/bin/sh
HERALD_SUBMIT_SOCKET={socket}
export HERALD_SUBMIT_SOCKET
{sendmail} "$@" 2>>{folder}/errors
status=$?
call=$(mktemp {folder}/calls/open.XXXXXX)
{{ id -u; echo $status; for word; do printf '%s\\n' "$word"; done; }} >"$call"
mv "$call" "{folder}/calls/call.${{call##*.}}"
exit $status
"""

# Nothing of this is seen outside: mounts, name and processes are the room's own.
SETUP = """set -e
mount -t proc proc /proc
mount --bind {folder}/sendmail.sh /usr/sbin/sendmail
mount --bind {folder}/hosts /etc/hosts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/mail
mount --bind {folder}/home /root
hostname {hostname}
{extra}
exec "$@"
"""


class Call:
    """One call of sendmail: who, with which arguments, and the exit code that the caller saw."""

    def __init__(self, path):
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            self.uid, self.status, *self.arguments = file.read().split("\n")[:-1]
        self.uid, self.status = int(self.uid), int(self.status)
        self.when = os.stat(path).st_mtime_ns


class Room:
    """run() a program to its end, or start() a daemon; then calls() says how sendmail was called."""

    def __init__(self, socket, hostname=HOSTNAME):
        self.folder = work_directory()
        self.home = os.path.join(self.folder, "home")
        self.process = None
        os.mkdir(os.path.join(self.folder, "calls"))
        os.mkdir(self.home)
        for name in ("calls", "home"):
            os.chmod(os.path.join(self.folder, name), 0o777)
        # Any user of the machine calls it, and by the name it is installed under.
        shutil.copy(program("herald-sendmail"), os.path.join(self.folder, "sendmail"))
        self.hostname = hostname
        self.write("sendmail.sh", WRAPPER.format(socket=socket, sendmail=self.path("sendmail"), folder=self.folder), 0o755)
        self.write("hosts", f"127.0.0.1 localhost\n127.0.1.1 {hostname} {hostname.split('.')[0]}\n")
        self.write("errors", "", 0o666)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def _prepare(self, command, extra):
        environment = {name: value for name, value in os.environ.items() if name not in ("MAIL", "EMAIL", "MAILRC", "REPLYTO")}
        environment |= {"HOME": self.home, "LC_ALL": "C.UTF-8", "TERM": "dumb", "LOGNAME": "root", "USER": "root",
                        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.write("setup", SETUP.format(folder=self.folder, hostname=self.hostname, extra=extra))
        need(command[0])
        return ([need("unshare"), "--mount", "--uts", "--pid", "--fork", "--kill-child", "sh", self.path("setup"), *command],
                {"env": environment, "cwd": self.home})

    def run(self, *command, text="", extra=""):
        command, keywords = self._prepare(command, extra)
        return subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=TIMEOUT, **keywords)

    def start(self, *command, extra=""):
        command, keywords = self._prepare(command, extra)
        with open(self.path("output"), "wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **keywords)
        return self

    def calls(self):
        folder = self.path("calls")
        return sorted((Call(os.path.join(folder, name)) for name in os.listdir(folder) if name.startswith("call.")),
                      key=lambda call: call.when)

    def errors(self):
        with open(self.path("errors"), errors="replace") as file:
            return file.read()

    def dead_letter(self):
        path = os.path.join(self.home, "dead.letter")
        if not os.path.exists(path):
            return ""
        with open(path, errors="replace") as file:
            return file.read()

    def stop(self):
        if self.process is not None:
            self.process.kill()              # and with it all that it has started
            self.process.wait()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)
