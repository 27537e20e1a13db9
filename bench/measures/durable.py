"""That no message is acknowledged before it is synced, on either side, and how many syncs that takes."""
import re
import socket
import threading

from lib import heraldd, load, machine, postfix, syncs
from lib.report import SHARE, Row

ABOUT = ("Each message is followed by strace from the file that it is written to, through the sync of that file, to its 250: one "
         "that is acknowledged before its sync ends the bench. They are of 1 KiB and, each ninth, of 100 KiB; half of the sessions send "
         "the next message's commands behind the dot. Then, in a run of its own, syncs alone are counted, which slows only these: more "
         "share one sync when it takes longer.")
NEEDS = ("strace", "postfix", "smtp-source")
WATCHED_SESSIONS, WATCHED_MESSAGES = 8, 400
ROWS = [Row("herald_watched", "messages of heraldd followed, each synced before its 250", main=True),
        Row("postfix_watched", "messages of Postfix followed, each synced before its 250", main=True),
        Row("herald", f"syncs of heraldd per message, {load.SESSIONS} sessions, relay paused", SHARE, main=True),
        Row("herald_one", "syncs of heraldd per message, one session", SHARE, main=True),
        Row("herald_whole", f"syncs of heraldd per message, {load.SESSIONS} sessions, delivered, too", SHARE, main=True),
        Row("postfix", f"syncs of Postfix per message, {load.SESSIONS} sessions, on hold", SHARE, main=True),
        Row("postfix_one", "syncs of Postfix per message, one session", SHARE, main=True)]
COMMANDS = (b"MAIL FROM:<sender@example.org>\r\n", b"RCPT TO:<recipient@example.net>\r\n", b"DATA\r\n")
SMALL, LARGE = 40, 8000                     # lines of about 15 octets
TOKEN = re.compile(r"token-(\d+)-")
QUEUED = re.compile(r"queued as (\w+)")


class Session:
    """One client of the server that is watched."""

    def __init__(self, port, ids):
        self.sock, self.ids = socket.create_connection(("127.0.0.1", port), 60), ids
        self.stream = self.sock.makefile("rb")
        self.reply()
        self.say(b"EHLO bench.example.org\r\n")

    def say(self, octets, replies=1):
        """The last one of so many replies."""
        self.sock.sendall(octets)
        for _ in range(replies - 1):
            self.reply()
        return self.reply()

    def reply(self):
        line = self.stream.readline()
        while line[3:4] == b"-":
            line = self.stream.readline()
        if line[:1] not in (b"2", b"3"):
            raise machine.Fault(f"durable: {line!r}")
        found = QUEUED.search(line.decode())
        if found:
            self.ids[found.group(1)] = self.number
        return line

    def mail(self, number):
        """The token stands in each line, so that one of them is whole wherever the file's pages end."""
        self.number = str(number)
        lines = LARGE if number % 9 == 8 else SMALL
        return b"Subject: bench\r\n\r\n" + b"token-%d-end\r\n" % number * lines + b".\r\n"

    def one_by_one(self, numbers):
        for number in numbers:
            for command in COMMANDS:
                self.say(command)
            self.say(self.mail(number))

    def pipelined(self, numbers):
        """The next message's commands go behind the dot."""
        self.say(b"".join(COMMANDS), 3)
        for number in numbers[:-1]:
            self.say(self.mail(number) + b"".join(COMMANDS), 4)
        self.say(self.mail(numbers[-1]))


def hand_in(port, numbers, ids, pipelined, faults):
    try:
        session = Session(port, ids)
        (session.pipelined if pipelined else session.one_by_one)(numbers)
        session.sock.close()
    except (machine.Fault, OSError) as fault:
        faults.append(fault)


def watch(bench, name, make):
    """Every message from its write through its sync to its 250."""
    folder = bench.folder(name)
    log = bench.top / f"{folder.name}.strace"
    ids, faults, count = {}, [], bench.count(WATCHED_MESSAGES, 80)
    with make(folder, syncs.watching(log, 65536)) as server:
        shares = [range(count)[part::WATCHED_SESSIONS] for part in range(WATCHED_SESSIONS)]
        threads = [threading.Thread(target=hand_in, args=(server.port, share, ids, part % 2 == 1, faults))
                   for part, share in enumerate(shares)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if faults:
        raise machine.Fault(f"durable: {name}: {faults[0]}")
    witness = syncs.Witness(TOKEN, lambda text: [ids.get(one, one) for one in QUEUED.findall(text)]).read(log)
    log.unlink()
    if len(ids) != count or len(witness.acknowledged) != count:
        raise machine.Fault(f"durable: of {count} messages {len(ids)} were acknowledged by {name}, {len(witness.acknowledged)} seen")
    if witness.early:
        raise machine.Fault(f"durable: {name} acknowledged {len(witness.early)} of {count} messages before they were synced")
    return len(witness.acknowledged)


def per_message(bench, name, make, messages, sessions):
    folder = bench.folder(name)
    log = bench.top / f"{folder.name}.strace"
    with make(folder, syncs.counting(log)) as server:
        before = syncs.counted(log)
        load.source(server.port, messages, sessions)
        if server.relayed:
            server.wait_empty()
        count = syncs.counted(log) - before
    return count / messages


class Paused(heraldd.Herald):
    relayed = False

    def start(self):
        return super().start().pause()


class Delivering(heraldd.Herald):
    relayed = True


class OnHold(postfix.Postfix):
    relayed = False


def measure(bench):
    def paused(folder, prefix):
        return Paused(bench.build, folder, prefix=prefix)

    def on_hold(folder, prefix):
        return OnHold(folder, prefix=prefix)

    with load.sink() as sink:
        def delivering(folder, prefix):
            return Delivering(bench.build, folder, {"sink": heraldd.host(sink)}, prefix=prefix)
        for _ in bench.rounds(most=2):      # it counts, and counts do not drift
            many, few = bench.count(10000), bench.count(1000)
            yield {"herald_watched": watch(bench, "heraldd", paused), "postfix_watched": watch(bench, "Postfix", on_hold),
                   "herald": per_message(bench, "heraldd", paused, many, load.SESSIONS),
                   "postfix": per_message(bench, "Postfix", on_hold, bench.count(2000), load.SESSIONS),
                   "herald_one": per_message(bench, "heraldd", paused, few, 1),
                   "postfix_one": per_message(bench, "Postfix", on_hold, bench.count(500), 1),
                   "herald_whole": per_message(bench, "heraldd", delivering, many, load.SESSIONS)}
