"""A Debian with its own systemd, booted in a container with herald installed in it."""

import os
import re
import shutil
import signal
import subprocess
import tempfile

from lib.daemon import build_directory, program
from lib.net import TIMEOUT, need, wait_until

# systemd-nspawn wants a /run/systemd of its own; in a mount namespace the machine's stays as it is.
BOOT = "mkdir -p /run/systemd && mount -t tmpfs tmpfs /run/systemd && exec \"$@\""


def libraries():
    """The packages of the shared libraries that heraldd and its companions load."""
    packages = set()
    for name in ("heraldd", "heraldctl", "herald"):
        listed = subprocess.run(["ldd", program(name)], stdout=subprocess.PIPE, check=True).stdout.decode()
        for path in re.findall(r"=> (/\S+)", listed):
            for candidate in {path, os.path.realpath(path), path.removeprefix("/usr"), "/usr" + path}:
                done = subprocess.run(["dpkg", "-S", candidate], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                if done.returncode == 0:
                    packages.add(done.stdout.decode().split(":")[0])
    return sorted(packages)


def base_system(directory):
    """A minimal Debian with systemd; kept in $HERALD_CONTAINER_CACHE, where that is set, for the next run."""
    cache = os.environ.get("HERALD_CONTAINER_CACHE")
    root = os.path.join(cache or directory, "debian")
    stamp = root + ".packages"
    wanted = ["systemd", "systemd-sysv", "dbus", *libraries()]
    if os.path.exists(stamp):
        with open(stamp) as file:
            if file.read().split() == wanted:
                return root
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    with open("/etc/os-release") as file:
        suite = re.search(r"^VERSION_CODENAME=(\w+)", file.read(), re.M).group(1)
    done = subprocess.run([need("debootstrap"), "--variant=minbase", "--include=" + ",".join(wanted), suite, root],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()[-4000:]
    with open(stamp, "w") as file:
        file.write(" ".join(wanted))
    return root


class Container:
    """boot(), run() commands inside, stop()."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="herald-container-")
        os.chmod(self.directory, 0o755)
        self.process = self.leader = None
        self.mounted = False
        self.root = os.path.join(self.directory, "root")
        upper, work = os.path.join(self.directory, "upper"), os.path.join(self.directory, "work")
        lower = base_system(self.directory)
        for folder in (self.root, upper, work):
            os.mkdir(folder)
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", self.root], check=True)
        self.mounted = True

    def install(self):
        """`make install` into the container's root."""
        makefile = os.path.join(build_directory(), "Makefile")
        assert os.path.exists(makefile), f"{makefile} is missing: HERALD_BUILD must be a folder that configure has prepared"
        done = subprocess.run(["make", "-C", build_directory(), "install", f"DESTDIR={self.root}"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout.decode()[-4000:]

    def find(self, name):
        """The path, seen from inside, of an installed file."""
        for top in ("usr", "etc", "lib", "opt"):
            for folder, _, files in os.walk(os.path.join(self.root, top)):
                if name in files:
                    return os.path.join(folder, name)[len(self.root):]
        raise AssertionError(f"{name} was not installed")

    def boot(self):
        with open(os.path.join(self.directory, "console"), "wb") as console:
            self.process = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", BOOT, "sh", need("systemd-nspawn"), "-q", "-D", self.root, "--boot", "--register=no",
                 "--keep-unit", "--private-network", "--console=pipe"], stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        self.leader = wait_until(self._leader, "the container's init")
        wait_until(lambda: self.run("systemctl", "is-system-running").stdout.strip() in (b"running", b"degraded"), "the container runs", 180, 0.5)
        return self

    def _leader(self):
        """The pid of the container's systemd; before it, systemd-nspawn has other children for an instant."""
        assert self.process.poll() is None, self.console()
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            children = file.read().split()
        for child in children:
            try:
                with open(f"/proc/{child}/comm") as file:
                    if file.read().strip() == "systemd":
                        return child
            except FileNotFoundError:
                continue
        return None

    def console(self):
        with open(os.path.join(self.directory, "console"), errors="replace") as file:
            return file.read()[-4000:]

    def inside(self, *command, network_only=False):
        spaces = ["-n"] if network_only else ["-m", "-u", "-i", "-n", "-p"]
        return [need("nsenter"), "-t", self.leader, *spaces, "--", *command]

    def run(self, *command, check=False, network_only=False):
        done = subprocess.run(self.inside(*command, network_only=network_only), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TIMEOUT * 3)
        assert not check or done.returncode == 0, f"{command}: {done.stdout.decode()}\n{self.journal()}"
        return done

    def journal(self, unit="herald.service"):
        return self.run("journalctl", "--no-pager", "-o", "short", "-u", unit).stdout.decode("utf-8", "replace")

    def write(self, path, text):
        with open(self.root + path, "w") as file:
            file.write(text)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            try:
                os.kill(int(self.leader), signal.SIGRTMIN + 4)              # systemd: power off
                self.process.wait(60)
            except (ProcessLookupError, TypeError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        if self.mounted:
            subprocess.run(["umount", self.root], check=True)
        shutil.rmtree(self.directory, ignore_errors=True)
