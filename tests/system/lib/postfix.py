"""A Postfix of our own, in a folder of its own: the smarthost that administrators really have."""

import glob
import os
import shutil
import subprocess

from lib.net import connect, free_port, need, wait_until

MAIN = """
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
myhostname = smarthost.example.net
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = example.net, example.org, xn--fsqu00a.xn--fiqs8s
virtual_mailbox_base = {directory}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 100
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
"""

SERVICES = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A running instance; each listener has options of its own."""

    def __init__(self, directory):
        self.directory = os.path.join(directory, "postfix")
        self.listeners = ""
        for folder in ("", "queue", "data", "mail"):
            os.makedirs(os.path.join(self.directory, folder), exist_ok=True)
        shutil.chown(os.path.join(self.directory, "data"), "postfix")
        shutil.chown(os.path.join(self.directory, "mail"), "nobody")

    def listen(self, **options):
        """Adds a listener with smtpd options, and returns its port."""
        port = free_port()
        words = "".join(f" -o {key}={value}" for key, value in options.items())
        self.listeners += f"127.0.0.1:{port} inet n - n - - smtpd{words}\n"
        return port

    def listen_tls(self, mode, certificate, key, **options):
        wrapped = {"smtpd_tls_wrappermode": "yes"} if mode == "implicit" else {"smtpd_tls_security_level": "may"}
        return self.listen(smtpd_tls_cert_file=certificate, smtpd_tls_key_file=key, **wrapped, **options)

    def start(self):
        with open(os.path.join(self.directory, "main.cf"), "w") as file:
            file.write(MAIN.format(directory=self.directory))
        with open(os.path.join(self.directory, "master.cf"), "w") as file:
            file.write(SERVICES + self.listeners)
        done = self._postfix("start")
        assert done.returncode == 0, done.stdout.decode() + self.log()
        for line in self.listeners.splitlines():
            port = int(line.split()[0].split(":")[1])
            wait_until(lambda port=port: self._accepts(port), f"Postfix listens on {port}")
        return self

    def stop(self):
        self._postfix("stop")

    def _postfix(self, verb):
        return subprocess.run([need("postfix"), "-c", self.directory, verb], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)

    @staticmethod
    def _accepts(port):
        try:
            connect(("127.0.0.1", port)).close()
            return True
        except ConnectionRefusedError:
            return False

    def log(self):
        path = os.path.join(self.directory, "log")
        if not os.path.exists(path):
            return ""
        with open(path, errors="replace") as file:
            return file.read()

    def mailbox(self):
        """The delivered messages as octets (LF ends)."""
        found = []
        for path in glob.glob(os.path.join(self.directory, "mail", "all", "new", "*")):
            with open(path, "rb") as file:
                found.append(file.read())
        return found

    def delivered(self, ident):
        """The delivered message with a Message-ID, or None."""
        return next((text for text in self.mailbox() if ident.encode() in text), None)
