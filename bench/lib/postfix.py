"""A Postfix of the bench's own, with the distribution's defaults but for names, paths and what is measured."""
import os
import shutil

from lib import machine

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = bench.example.org
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
smtpd_peername_lookup = no
relayhost = {relayhost}
smtpd_recipient_restrictions = {hold}permit_mynetworks, reject
"""
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
proxymap unix - - n - - proxymap
showq unix n - n - - showq
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """Hands mail to the port given; without one all mail is on hold, so that its queue manager has nothing to do."""

    def __init__(self, folder, sink=None, prefix=()):
        if os.geteuid() != 0:
            raise machine.Fault("Postfix starts as root only")
        self.folder, self.port, self.prefix = folder, machine.free_port(), list(prefix)
        self.child = None
        for name in ("", "queue", "data"):
            (folder / name).mkdir()
        folder.chmod(0o755)
        shutil.chown(folder / "data", "postfix")
        (folder / "main.cf").write_text(MAIN.format(folder=folder, relayhost=f"[127.0.0.1]:{sink}" if sink else "",
                                                    hold="" if sink else "check_client_access static:HOLD, "))
        (folder / "master.cf").write_text(MASTER.format(port=self.port))

    def start(self):
        self.child = machine.Child(*self.prefix, machine.tool("postfix"), "-c", self.folder, "start-fg", log=self.folder / "out",
                                   start_new_session=True)
        machine.until("Postfix listens", lambda: machine.answers(self.port), 60)
        return self

    @property
    def pid(self):
        return int((self.folder / "queue/pid/master.pid").read_text())

    def stop(self):
        machine.output(machine.tool("postfix"), "-c", self.folder, "stop")
        self.child.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def files(self):
        """One for each message."""
        for name in ("maildrop", "incoming", "active", "deferred", "hold"):
            for _, _, files in os.walk(self.folder / "queue" / name):
                yield from files

    def held(self):
        """Messages in the queue."""
        return sum(1 for _ in self.files())

    def wait_empty(self):
        """Looks seldom: it reads folders that Postfix works in."""
        machine.until("Postfix's queue is empty", lambda: next(self.files(), None) is None, pause=0.05)

    def empty(self):
        for path in (self.folder / "queue/hold").iterdir():
            path.unlink()
