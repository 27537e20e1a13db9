"""What a server syncs, as the kernel saw it: strace counts, and shows that no message is acknowledged before its sync."""
import os
import re

from lib import machine

CALLS = "fsync,fdatasync,sync_file_range,syncfs,msync"
# A line is a pid and a call, with the path behind its descriptor; a call that waits is split into two.
LINE = re.compile(r"^(\d+) +(.*)$")
UNFINISHED, RESUMED = re.compile(r"^(.*) <unfinished \.\.\.>$"), re.compile(r"^<\.\.\. \w+ resumed>(.*)$")
CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+)(?:<[^>]*>)?.*$")
FIRST = re.compile(r"^-?\w+<([^>]*)>")
WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
SOCKETS = ("socket:", "TCP:", "UNIX")


def counting(log):
    """A prefix that counts the syncs of a server and its children; only these calls are slowed."""
    return [machine.tool("strace"), "-f", "--seccomp-bpf", "-qq", "-o", str(log), "-e", "trace=" + CALLS, "-e", "signal=none"]


def counted(log):
    """Syncs that succeeded."""
    with open(log, encoding="ascii", errors="replace") as file:
        return sum(1 for line in file if re.search(r"= 0$", line.rstrip()) and not line.rstrip().endswith("unfinished ...>"))


def watching(log, octets):
    """A prefix that writes down all that goes to files and sockets."""
    calls = CALLS + ",write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendmmsg"
    return [machine.tool("strace"), "-f", "-y", "-qq", "-s", str(octets), "-o", str(log), "-e", "trace=" + calls, "-e", "signal=none"]


def calls_of(log):
    """Each call: who, its name and arguments, and whether it began, succeeded or failed; one that waits comes twice."""
    waiting = {}
    with open(log, encoding="ascii", errors="replace") as file:
        for line in file:
            found = LINE.match(line.rstrip("\n"))
            if not found:
                continue
            pid, text = found.groups()
            part = UNFINISHED.match(text)
            if part:
                waiting[pid] = part.group(1)
                name, _, arguments = part.group(1).partition("(")
                yield pid, name, arguments, "began"
                continue
            part = RESUMED.match(text)
            began = waiting.pop(pid, None) if part else None
            call = CALL.match(text if began is None else began + part.group(1))
            if call:
                if began is None:
                    yield pid, call.group(1), call.group(2), "began"
                yield pid, call.group(1), call.group(2), "succeeded" if int(call.group(3)) >= 0 else "failed"


class Witness:
    """Follows messages, each known by a token, from the file that they are written to, through its sync, to their 250."""

    def __init__(self, tokens, acknowledgements):
        self.tokens, self.acknowledgements = tokens, acknowledgements
        self.written = {}                   # name of a file -> tokens in it that no sync covers
        self.covered = {}                   # pid -> file and tokens of the sync that it waits for
        self.durable, self.acknowledged, self.early = set(), set(), set()
        self.syncs = 0

    def read(self, log):
        for pid, name, arguments, when in calls_of(log):
            found = FIRST.match(arguments)
            path = found.group(1) if found else ""
            if name in ("fsync", "fdatasync"):
                self.see_sync(pid, os.path.basename(path), when)
            elif name in WRITES and path.startswith("/") and when == "succeeded":
                # Between its write and its sync Postfix moves a file to another folder.
                self.see_write(os.path.basename(path), arguments)
            elif when == "began" and path.startswith(SOCKETS):
                # What is handed over may be on its way before the call returns.
                self.see_replies(arguments)
        return self

    def see_write(self, file, arguments):
        found = set(self.tokens.findall(arguments))
        if found and re.search(r"RWF_D?SYNC", arguments):
            self.durable |= found
        elif found:
            self.written.setdefault(file, set()).update(found)

    def see_sync(self, pid, file, when):
        """It covers what was written before it began, once it has ended well."""
        if when == "began":
            self.covered[pid] = file, set(self.written.get(file, ()))
            return
        file, tokens = self.covered.pop(pid, (file, set()))
        if when == "succeeded":
            self.syncs += 1
            self.durable |= tokens
            self.written.get(file, set()).difference_update(tokens)

    def see_replies(self, arguments):
        for token in self.acknowledgements(arguments):
            self.acknowledged.add(token)
            if token not in self.durable:
                self.early.add(token)
