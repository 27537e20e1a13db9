"""SMTP clients of a submission listener with TLS and AUTH: herald is the server here."""

import os
import shutil
import ssl
import subprocess

from lib.net import connect, need
from lib.smtp import Client

USER, PASSWORD = "ann", "correct horse battery staple"


def users_file(directory, **users):
    """A file of NAME:HASH lines that only its owner may read."""
    path = os.path.join(directory, "users")
    with open(path, "w") as file:
        for name, password in (users or {USER: PASSWORD}).items():
            made = subprocess.run([need("openssl"), "passwd", "-6", "-stdin"], input=password + "\n", stdout=subprocess.PIPE, text=True, check=True)
            file.write(f"{name}:{made.stdout.strip()}\n")
    os.chmod(path, 0o600)
    shutil.chown(path, "nobody")
    return path


def offers(certificates, tls="starttls", **keys):
    """Keys of a submission block that offers TLS."""
    certificate, key = certificates.path("good")
    return {"tls": tls, "certificate": certificate, "private_key": key, "max_errors": 300, **keys}


class SecureClient(Client):
    """A raw session that can change to TLS."""

    def __init__(self, endpoint, ca, implicit=False, **keywords):
        self.context = ssl.create_default_context(cafile=ca)
        if implicit:
            self.sock = self.context.wrap_socket(connect(endpoint), server_hostname="localhost")
            self.buffer = b""
            self.banner = self.reply()
        else:
            super().__init__(endpoint, **keywords)

    def handshake(self):
        self.sock = self.context.wrap_socket(self.sock, server_hostname="localhost")

    def starttls(self):
        """EHLO, STARTTLS, the handshake, EHLO."""
        self.hello()
        assert self.code("STARTTLS") == 220
        assert self.buffer == b""
        self.handshake()
        return self.hello()
