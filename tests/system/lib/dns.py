"""A world of its own: two network namespaces on one cable, herald's host in the one, the hosts of the DNS in the other."""

import contextlib
import ctypes
import os
import shutil
import socket
import struct
import subprocess

from lib.net import TIMEOUT, need, wait_until

OWN4, OWN6 = "192.0.2.1", "2001:db8::1"          # of herald's host
SERVER = "192.0.2.53"                            # of the name server
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_serial = 0

# In a mount namespace of its own the machine's files stay as they are.
FILES = 'mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/hosts && shift 2 && exec "$@"'

NSD = """
server:
    ip-address: {address}
    username: ""
    chroot: ""
    zonesdir: {directory}
    pidfile: ""
    database: ""
    zonelistfile: {directory}/zone.list
    xfrdfile: ""
    xfrdir: {directory}
    logfile: {directory}/nsd.log
    server-count: 1
    rrl-ratelimit: 0
remote-control:
    control-enable: no
"""

ZONE = """
$ORIGIN example.
$TTL {ttl}
@ SOA ns.example. hostmaster.example. 1 3600 600 86400 {ttl}
@ NS ns.example.
ns A {address}
"""


def command(*words):
    done = subprocess.run([need(words[0]), *words[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{words}: {done.stdout.decode()}"
    return done.stdout.decode()


@contextlib.contextmanager
def entered(path):
    """The calling thread is in a network namespace; a socket made meanwhile stays in it."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(path, os.O_RDONLY)
    try:
        assert _libc.setns(there, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert _libc.setns(here, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(here)
        os.close(there)


class World:
    """`prefix` starts heraldd on its host; outside() is where its peers are."""

    def __init__(self, directory):
        global _serial
        _serial += 1
        self.directory = directory
        self.inner, self.outer = (f"herald-{os.getpid()}-{_serial}-{side}" for side in "ab")
        self.resolv = os.path.join(directory, "resolv.conf")
        self.hosts = os.path.join(directory, "hosts")
        self.set_servers(SERVER)
        with open(self.hosts, "w") as file:
            file.write("127.0.0.1 localhost\n::1 localhost\n")
        self.added = []
        try:
            self._connect()
        except AssertionError:
            self.stop()
            raise

    def _connect(self):
        for name in (self.inner, self.outer):
            command("ip", "netns", "add", name)
            self.added.append(name)
            command("ip", "-n", name, "link", "set", "lo", "up")
        command("ip", "-n", self.inner, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", self.outer)
        for name in (self.inner, self.outer):
            command("ip", "-n", name, "link", "set", "cable", "up")
        self.add_address(self.inner, OWN4)
        self.add_address(self.inner, OWN6)
        self.add_address(self.outer, SERVER)

    @staticmethod
    def add_address(name, address):
        bits, extra = ("/64", ["nodad"]) if ":" in address else ("/24", [])
        command("ip", "-n", name, "address", "add", address + bits, "dev", "cable", *extra)

    def set_servers(self, *addresses):
        """In place: the file that is mounted stays the same one."""
        with open(self.resolv, "w") as file:
            file.writelines(f"nameserver {address}\n" for address in addresses)

    @property
    def prefix(self):
        return [need("nsenter"), f"--net=/run/netns/{self.inner}", need("unshare"), "--mount", "sh", "-c", FILES, "sh",
                self.resolv, self.hosts]

    def outside(self):
        return entered(f"/run/netns/{self.outer}")

    def outside_prefix(self):
        return [need("nsenter"), f"--net=/run/netns/{self.outer}"]

    def host(self, address):
        """One more host of the world."""
        self.add_address(self.outer, address)
        return address

    def stop(self):
        for name in self.added:
            command("ip", "netns", "delete", name)
        self.added = []


class NameServer:
    """nsd(8) with the zone example., and broken.example., which it has no data of: SERVFAIL.  All others: REFUSED."""

    def __init__(self, world, records, ttl=1):
        self.world = world
        self.directory = os.path.join(world.directory, "nsd")
        os.makedirs(self.directory, exist_ok=True)
        with open(os.path.join(self.directory, "nsd.conf"), "w") as file:
            file.write(NSD.format(address=SERVER, directory=self.directory))
            for zone in ("example", "broken.example"):
                file.write(f"zone:\n    name: {zone}\n    zonefile: {zone}.zone\n")
        with open(os.path.join(self.directory, "example.zone"), "w") as file:
            file.write(ZONE.format(address=SERVER, ttl=ttl) + records)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [*self.world.outside_prefix(), need("nsd"), "-d", "-c", os.path.join(self.directory, "nsd.conf")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with self.world.outside():
            wait_until(self._answers, "nsd answers")
        return self

    def _answers(self):
        assert self.process.poll() is None, "nsd ended: " + self.log()
        question = struct.pack(">6H", 1, 0, 1, 0, 0, 0) + b"\2ns\7example\0" + struct.pack(">2H", 1, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.connect((SERVER, 53))
            try:
                sock.send(question)
                answer = sock.recv(512)
            except (ConnectionRefusedError, TimeoutError):
                return False
        return answer[3] & 0x0f == 0 and answer[7] > 0

    def log(self):
        path = os.path.join(self.directory, "nsd.log")
        if not os.path.exists(path):
            return ""
        with open(path) as file:
            return file.read()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(TIMEOUT)
        self.process = None
        shutil.rmtree(self.directory, ignore_errors=True)
