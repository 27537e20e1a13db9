"""A /dev/log of our own: the daemon sees it through a mount namespace, the machine's is left alone."""

import os
import re
import socket
import threading

# Within its own namespace the daemon gets a /dev with the few nodes it needs and, perhaps, a log socket.
SCRIPT = """set -e
for node in null zero full urandom random; do
    touch "$0/$node"
    mount --bind "/dev/$node" "$0/$node"
done
mount --rbind "$0" /dev
exec "$@"
"""


class Syslog:
    """Receives what the daemon sends to /dev/log.  With listen=False there is no /dev/log at all."""

    def __init__(self, directory, listen=True, reading=True):
        self.directory = os.path.join(directory, "dev")
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(self.directory, 0o755)
        self.prefix = ["unshare", "-m", "sh", "-c", SCRIPT, self.directory]
        self.records = []                   # as received, without the terminating NUL
        self.sock = None
        if listen:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            if not reading:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
            self.sock.bind(os.path.join(self.directory, "log"))
            os.chmod(os.path.join(self.directory, "log"), 0o666)
            if reading:
                self.sock.settimeout(None)
                threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self):
        while True:
            try:
                record = self.sock.recv(65536)
            except OSError:
                return
            if not record:
                return
            self.records.append(record.rstrip(b"\0"))

    def stop(self):
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.sock.close()

    def texts(self):
        """Each record without priority and time: what starts with the ident."""
        return [re.sub(rb"^<\d+>(\w{3} [ \d]\d \d\d:\d\d:\d\d )?", b"", record).decode("utf-8", "surrogateescape")
                for record in list(self.records)]

    def priorities(self):
        return [int(re.match(rb"<(\d+)>", record).group(1)) for record in list(self.records)]

    def write_file(self, path, host="herald"):
        """The records as a syslog daemon would write them into its file."""
        with open(path, "wb") as file:
            for record in list(self.records):
                stamp = re.match(rb"^<\d+>(\w{3} [ \d]\d \d\d:\d\d:\d\d) (.*)$", record, re.S)
                assert stamp, f"no time stamp in {record!r}"
                file.write(stamp.group(1) + b" " + host.encode() + b" " + stamp.group(2) + b"\n")
