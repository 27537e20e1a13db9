"""The certificates of RULES V1-V24, and what each policy is to make of them."""

import datetime
import ipaddress
import os
import ssl
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lib.net import need

# Every name below "localhost" is 127.0.0.1 (RFC 6761 6.3).
NAME = "mail.example.localhost"
NAMES_MANY = 20000
CHAIN_LONG = 99
SHA256 = hashes.SHA256()
NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)


def subject(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def dns(*names):
    return x509.SubjectAlternativeName([x509.DNSName(name) for name in names])


def address(text):
    return x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(text))])


def key_usage(**wanted):
    every = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in every})


SIGNS = key_usage(key_cert_sign=True, crl_sign=True)


class Issuer:
    """An authority with its key; `by` None: its own."""

    def __init__(self, name, by=None, path_length=None, extensions=()):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = make(name, self.key, by or self, [(x509.BasicConstraints(True, path_length), True), (SIGNS, True),
                                                             *extensions], issuer_name=None if by else name)


def make(name, key, by, extensions, start=NOW - DAY, end=NOW + DAY, issuer_name=None):
    issuer = subject(issuer_name) if issuer_name else by.certificate.subject
    builder = x509.CertificateBuilder().subject_name(subject(name)).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(by.key, SHA256)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def pem_key(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Row:
    """One certificate: what stands in the log when nobody verifies it, and when somebody does."""

    def __init__(self, ident, what, host=NAME, unverified="encrypted", verified="verified", **options):
        self.ident, self.what, self.host = ident, what, host
        self.unverified, self.verified = unverified, verified
        self.server = options.pop("server", None)       # None, "old", "anonymous"
        self.pin = options.pop("pin", None)             # None, "match", "other"
        self.options = options


MISMATCH = "hostname mismatch"
LARGE = "certificates are too large"
CIPHER = "no cipher in common"
VERSION = "refuses our versions of TLS"

ROWS = [
    Row("v1", "right host"),
    Row("v2", "wrong host", verified=MISMATCH, names=dns("other.example.localhost")),
    Row("v3", "expired", verified="certificate has expired", end=NOW - datetime.timedelta(minutes=1)),
    Row("v4", "not yet valid", verified="certificate is not yet valid", start=NOW + datetime.timedelta(hours=1)),
    Row("v5", "self-signed", verified="self-signed certificate", issuer="self"),
    Row("v6", "unknown CA", verified="unable to get local issuer certificate", issuer="stranger"),
    Row("v7a", "wildcard", names=dns("*.example.localhost")),
    Row("v7b", "wildcard, two labels", host="a." + NAME, verified=MISMATCH, names=dns("*.example.localhost")),
    Row("v7c", "wildcard of a top-level domain", host="example.localhost", verified=MISMATCH, names=dns("*.localhost")),
    Row("v8", "partial wildcard", verified=MISMATCH, names=dns("m*.example.localhost")),
    Row("v9", "name in the subject alone", verified=MISMATCH, names=None, common_name=NAME),
    Row("v10a", "NUL in the subject", verified=MISMATCH, names=None, common_name=NAME + "\0.evil.example.net"),
    Row("v10b", "NUL in a name", verified=MISMATCH, names=dns(NAME + "\0.evil.example.net")),
    Row("v11a", "an address, asked for a name", verified=MISMATCH, names=address("127.0.0.1")),
    Row("v11b", "an address as a name", host="127.0.0.1", verified="IP address mismatch", names=dns("127.0.0.1")),
    Row("v11c", "the right address", host="127.0.0.1", names=address("127.0.0.1")),
    Row("v12", "for clients alone", verified="unsuitable certificate purpose",
        extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)]),
    Row("v13", "authority as leaf", verified="unsuitable certificate purpose",
        extensions=[(x509.BasicConstraints(True, None), True), (SIGNS, True)]),
    Row("v14", "path length", verified="path length constraint exceeded", issuer="too-deep"),
    Row("v15", "name constraints", verified="permitted subtree violation", issuer="bound"),
    Row("v16", "SHA-1", verified="digest algorithm too weak", sha1=True),
    Row("v17", "RSA of 1024 bits", verified="certificate key too weak", key="rsa"),
    # In place of "revoked, if stapled": no status is asked for.
    Row("v18", "unknown critical extension", verified="unhandled critical extension",
        extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\5\0"), True)]),
    Row("v19", "missing intermediate", verified="unable to get local issuer certificate", issuer="hidden"),
    Row("v20", "20,000 names", unverified=LARGE, verified=LARGE,
        names=dns(*[f"host{n}.example.net" for n in range(NAMES_MANY)], NAME)),
    Row("v21", "chain of 100", verified="certificate chain too long", issuer="deep"),
    Row("v22a", "fingerprint matches", host="elsewhere.localhost", issuer="self", pin="match"),
    Row("v22b", "fingerprint differs", verified="fingerprint does not match", pin="other"),
    Row("v23", "no certificate", unverified=CIPHER, verified=CIPHER, server="anonymous"),
    Row("v24", "TLS 1.0 alone", unverified=VERSION, verified=VERSION, server="old"),
]


class Matrix:
    """The files of all rows in a folder; `ca` is the trusted authority's."""

    def __init__(self, directory):
        self.directory = directory
        self.root = Issuer("root")
        self.ca = self._write("root.pem", pem(self.root.certificate))
        self.chains = {"root": [self.root], "stranger": [Issuer("stranger")], "hidden": [Issuer("hidden", self.root)]}
        last = Issuer("last issuer", self.root, 0)
        self.chains["too-deep"] = [Issuer("one more", last), last]
        permitted = x509.NameConstraints([x509.DNSName("example.net")], None)
        self.chains["bound"] = [Issuer("bound issuer", self.root, extensions=[(permitted, True)])]
        deep = [Issuer("issuer 0", self.root)]
        for number in range(1, CHAIN_LONG):
            deep.insert(0, Issuer(f"issuer {number}", deep[0]))
        self.chains["deep"] = deep
        self.ec_key = ec.generate_private_key(ec.SECP256R1())
        self.rsa_key = rsa.generate_private_key(65537, 1024)
        self.leaves = {row.ident: self._leaf(row) for row in ROWS}

    def _write(self, name, octets):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(octets)
        return path

    def _leaf(self, row):
        options = dict(row.options)
        key = self.rsa_key if options.pop("key", "ec") == "rsa" else self.ec_key
        issuer, names = options.pop("issuer", "root"), options.pop("names", dns(NAME))
        extensions = options.pop("extensions", []) + ([(names, False)] if names else [])
        name, sha1 = options.pop("common_name", "x"), options.pop("sha1", False)
        if issuer == "self":
            own = type("Own", (), {"key": key})
            leaf = make(name, key, own, extensions, issuer_name=name, **options)
        else:
            leaf = make(name, key, self.chains[issuer][0], extensions, **options)
        shown = self.chains[issuer] if issuer in ("too-deep", "bound", "deep") else []
        path = self._write(row.ident + ".pem", pem(leaf) + b"".join(pem(one.certificate) for one in shown))
        self._write(row.ident + ".key", pem_key(key))
        if sha1:
            self._sign_sha1(path, os.path.join(self.directory, row.ident + ".key"))
        return leaf

    def _sign_sha1(self, path, key):
        """The library no longer does, the command does."""
        config = self._write("sha1.cnf", b"[req]\ndistinguished_name = name\n[name]\n")
        authority = self._write("root.key", pem_key(self.root.key))
        subprocess.run([need("openssl"), "req", "-x509", "-new", "-sha1", "-config", config, "-key", key, "-subj", "/CN=x",
                        "-addext", f"subjectAltName=DNS:{NAME}", "-days", "1", "-CA", self.ca, "-CAkey", authority,
                        "-out", path], check=True)

    def fingerprint(self, row):
        certificate = self.leaves[row.ident] if row.pin == "match" else self.root.certificate
        return "sha256:" + certificate.fingerprint(SHA256).hex()

    def context(self, row):
        """What a server needs to show that certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if row.server == "anonymous":
            context.set_ciphers("aNULL:@SECLEVEL=0")
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            return context
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        if row.server == "old":
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
        context.load_cert_chain(os.path.join(self.directory, row.ident + ".pem"),
                                os.path.join(self.directory, row.ident + ".key"))
        return context
