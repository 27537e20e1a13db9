"""A power cut in software: an ext4 in a file, shut down by ioctl so that what was not synced is gone."""

import fcntl
import os
import shutil
import struct
import subprocess

from lib.net import need, wait_until

EXT4_IOC_SHUTDOWN = 0x8004587d
LOG_FLUSH, NO_LOG_FLUSH = 1, 2                # what the journal still held is written, or lost as well


def command(*arguments):
    done = subprocess.run([need(arguments[0]), *arguments[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{arguments}: {done.stdout.decode()}"
    return done.stdout.decode()


class Disk:
    """A mounted file system whose power can be cut."""

    def __init__(self, directory, megabytes=256):
        self.image = os.path.join(directory, "disk.img")
        self.path = os.path.join(directory, "disk")
        self.state = os.path.join(self.path, "state")
        self.mounted = False
        os.makedirs(self.path, exist_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(megabytes * 1024 * 1024)
        command("mkfs.ext4", "-q", "-F", self.image)
        self.mount()
        os.mkdir(self.state)
        shutil.chown(self.state, "nobody", "nogroup")
        os.sync()

    def mount(self):
        command("mount", "-o", "loop", self.image, self.path)
        self.mounted = True

    def cut(self, flag):
        """From now on every write fails; what is in the file is what a disk would have had."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", flag))
        finally:
            os.close(descriptor)

    def again(self):
        """After the cut: unmount, check, and mount as a booting machine does."""
        self.umount()
        self.mount()

    def umount(self):
        command("umount", self.path)
        self.mounted = False
        # A mount namespace made meanwhile holds the file system a moment longer, and mounting now would give the dead one again.
        wait_until(lambda: command("losetup", "-j", self.image) == "", "the loop device is released")

    def stop(self):
        if self.mounted:
            self.umount()
