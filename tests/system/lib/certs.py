"""Certificates made with the openssl command: good, expired, for another name, of an unknown CA."""

import os
import shutil
import subprocess

from lib.net import need

CONFIG = """
[ca]
default_ca = own
[own]
dir = {directory}/{ca}
database = $dir/index
new_certs_dir = $dir
serial = $dir/serial
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = supplied
[leaf]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = {names}
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[req]
distinguished_name = any
"""


class Certificates:
    """Each certificate is NAME.pem with its key in NAME.key; ca is the trusted CA's file."""

    def __init__(self, directory):
        self.directory = directory
        self._authority("known")
        self._authority("unknown")
        self.ca = os.path.join(directory, "known", "ca.pem")
        self._leaf("good", "known", "DNS:localhost, IP:127.0.0.1", "20200101000000Z", "20991231000000Z")
        self._leaf("renewed", "known", "DNS:localhost, IP:127.0.0.1", "20210101000000Z", "20991231000000Z")
        self._leaf("expired", "known", "DNS:localhost, IP:127.0.0.1", "20200101000000Z", "20210101000000Z")
        self._leaf("wrong-name", "known", "DNS:other.example.org", "20200101000000Z", "20991231000000Z")
        self._leaf("client", "known", "DNS:herald.example.org", "20200101000000Z", "20991231000000Z")
        self._leaf("unknown-ca", "unknown", "DNS:localhost, IP:127.0.0.1", "20200101000000Z", "20991231000000Z")

    def path(self, name):
        return os.path.join(self.directory, name + ".pem"), os.path.join(self.directory, name + ".key")

    def _openssl(self, *arguments):
        subprocess.run([need("openssl"), *arguments], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def _config(self, ca, names="DNS:ca.example.org"):
        path = os.path.join(self.directory, ca, "openssl.cnf")
        with open(path, "w") as file:
            file.write(CONFIG.format(directory=self.directory, ca=ca, names=names))
        return path

    def _authority(self, ca):
        folder = os.path.join(self.directory, ca)
        os.makedirs(folder)
        open(os.path.join(folder, "index"), "w").close()
        with open(os.path.join(folder, "serial"), "w") as file:
            file.write("01\n")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "36500",
                      "-subj", f"/CN={ca} test CA", "-config", self._config(ca), "-extensions", "root",
                      "-keyout", os.path.join(folder, "ca.key"), "-out", os.path.join(folder, "ca.pem"))

    def _leaf(self, name, ca, names, start, end):
        pem, key = self.path(name)
        request = os.path.join(self.directory, name + ".csr")
        config = self._config(ca, names)
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                      "-config", config, "-keyout", key, "-out", request)
        self._openssl("ca", "-batch", "-notext", "-config", config, "-extensions", "leaf", "-startdate", start,
                      "-enddate", end, "-in", request, "-out", pem)
        os.chmod(key, 0o600)
        shutil.chown(key, "nobody")         # a reload reads it after the privileges are dropped
