"""Submission for others (SPEC 3, 4): TLS, AUTH, proxies and limits, with smtplib, swaks and clients that say what they are told."""

import base64
import errno
import os
import re
import shutil
import smtplib
import socket
import ssl
import struct
import subprocess
import types

import pytest

from lib import conf, daemon, net
from lib.net import connect, need, read_all, wait_until
from lib.secure import PASSWORD, USER, SecureClient, offers, users_file
from lib.smtp import Client, message, message_id, stuffed

MODES = ["starttls", "implicit"]
OUTSIDER = "192.0.2.9"


def plain(user=USER, password=PASSWORD):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


# As they are, in base64, and as hashes begin.
SECRETS = [PASSWORD, "a wrong guess", "sha512 secret", base64.b64encode(PASSWORD.encode()).decode(), plain(), plain(password="a wrong guess"), "$y$", "$6$"]


def keeps_secrets(service):
    log = service.herald.log()
    assert "smtpd" in log
    for secret in SECRETS:
        assert secret not in log


def hash_of(name, password, start):
    done = daemon.run("heraldctl", "user", "hash", name, input=(password + "\n").encode())
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def write_users(path, text):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o600)
    shutil.chown(path, "nobody")


class Service:
    """A herald with one submission block per mode of TLS, of which nobody may relay without AUTH."""

    def __init__(self, start, certificates, top=None, **keys):
        self.sink = start.py_sink()
        self.ports = {mode: net.free_port() for mode in [*MODES, "none"]}
        self.ca = certificates.ca
        self.users = os.path.join(start.directory, f"users-{self.ports['none']}")
        write_users(self.users, "# who may send\n\n" + hash_of(USER, PASSWORD, start) +
                    open(users_file(start.directory, bob="sha512 secret")).read())
        self.certificates, self.keys = certificates, keys
        self.herald = start.herald(self.body(), default_relay="smarthost", **(top or {}))

    def body(self, certificate="good", **keys):
        pem, key = self.certificates.path(certificate)
        text = conf.block("log", level="debug", target="stderr")
        text += conf.block("relay", "smarthost", host=self.sink.host, tls="none")
        for mode, port in self.ports.items():
            own = {} if mode == "none" else {"certificate": pem, "private_key": key}
            text += conf.block("submission", mode, **{
                "listen": [f"127.0.0.1:{port}"] + ([f"unix:{mode}.sock"]), "tls": mode, "allow": ["127.0.0.200/32"],
                "users": self.users, **own, **self.keys, **keys})
        return text

    def endpoint(self, mode):
        return ("127.0.0.1", self.ports[mode])

    def client(self, mode="starttls"):
        return SecureClient(self.endpoint(mode), self.ca, implicit=mode == "implicit")

    def smtplib(self, mode):
        context = ssl.create_default_context(cafile=self.ca)
        if mode == "implicit":
            return smtplib.SMTP_SSL("localhost", self.ports[mode], context=context)
        one = smtplib.SMTP("localhost", self.ports[mode])
        if mode == "starttls":
            one.starttls(context=context)
        return one


@pytest.fixture(scope="module")
def service(start_module, certificates):
    one = Service(start_module, certificates)
    yield one
    keeps_secrets(one)


@pytest.fixture(scope="module")
def trusted(start_module, certificates):
    """Whose clients may relay anyway: their wrong passwords are not counted."""
    one = Service(start_module, certificates, allow=["127.0.0.0/8"])
    yield one
    keeps_secrets(one)


@pytest.mark.parametrize("user,password", [(USER, PASSWORD), ("bob", "sha512 secret")], ids=["yescrypt", "sha512"])
@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("mode", [*MODES, "none"])
def test_auth(service, mode, method, user, password):
    """Whoever is known by his password may relay; the log and Received say who, and how."""
    ident = message_id()
    with service.smtplib(mode) as one:
        one.ehlo("client.example.org")
        one.user, one.password = user, password
        code, _ = one.auth(method, getattr(one, f"auth_{method.lower()}"))
        assert code == 235
        one.sendmail("ann@example.org", ["bob@example.net"], message(ident))
    wait_until(lambda: ident in service.sink.idents(), "the message at the sink")
    text = next(each for each in service.sink.messages if each.ident == ident)
    protocol = "ESMTPA" if mode == "none" else "ESMTPSA"
    assert re.search(rb"with " + protocol.encode() + rb" id", text.content)
    service.herald.wait_log(rf"client=localhost\[127\.0\.0\.1\], sasl_method={method}, sasl_username={user}$")


@pytest.mark.parametrize("mode", [*MODES, "none"])
def test_refused_password(trusted, mode):
    with trusted.smtplib(mode) as one, pytest.raises(smtplib.SMTPAuthenticationError) as fault:
        one.login(USER, "a wrong guess")
    assert fault.value.smtp_code == 535


def test_without_auth_no_relay(service):
    with service.client() as client:
        client.starttls()
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        assert client.code("RCPT TO:<bob@example.net>") == 554
        assert client.code("AUTH PLAIN " + plain()) == 503           # not within a transaction
        assert client.code("RSET") == 250
        assert client.code("AUTH PLAIN " + plain()) == 235
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        assert client.code("RCPT TO:<bob@example.net>") == 250
        assert client.code("RSET") == 250


def test_protocol_without_auth(trusted):
    """Over TLS alone it is ESMTPS."""
    ident = message_id()
    with trusted.smtplib("starttls") as one:
        one.sendmail("ann@example.org", ["bob@example.net"], message(ident))
    wait_until(lambda: ident in trusted.sink.idents(), "the message at the sink")
    assert b"with ESMTPS id" in next(each for each in trusted.sink.messages if each.ident == ident).content


def test_three_wrong_passwords(trusted):
    """A2: the third is the last, and the next client is served."""
    with trusted.client() as client:
        client.starttls()
        codes = [client.code("AUTH PLAIN " + plain(password="a wrong guess")) for _ in range(2)]
        client.send(b"AUTH PLAIN " + plain(password="a wrong guess").encode() + b"\r\n")
        assert codes == [535, 535] and set(client.rest()) <= {535, 421}
    with trusted.smtplib("starttls") as one:
        one.login(USER, PASSWORD)


def test_unknown_user(trusted):
    """As refused as a wrong password, in the same words; the name, which may be a password, is not logged."""
    with trusted.client() as client:
        client.starttls()
        unknown = client.command("AUTH PLAIN " + plain(user="nobody-has-this-name"))
        wrong = client.command("AUTH PLAIN " + plain(password="a wrong guess"))
    assert unknown == wrong and unknown[0] == 535
    trusted.herald.wait_log(r"localhost\[127\.0\.0\.1\]: SASL authentication failed$")
    assert "nobody-has-this-name" not in trusted.herald.log()


@pytest.mark.parametrize("mode", ["starttls", "implicit", "none"])
def test_swaks(service, mode):
    options = {"starttls": ["--tls"], "implicit": ["--tls-on-connect"], "none": []}[mode]
    ident = message_id()
    done = subprocess.run([need("swaks"), "--server", "127.0.0.1", "--port", str(service.ports[mode]), "--from", "ann@example.org",
                           "--to", "bob@example.net", "--auth", "LOGIN", "--auth-user", USER, "--auth-password", PASSWORD,
                           "--header", f"Message-Id: {ident}", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=net.TIMEOUT)
    assert done.returncode == 0, done.stdout.decode()
    wait_until(lambda: ident in service.sink.idents(), "the message at the sink")


def test_unix_socket_has_no_tls(service):
    """What stays on the machine: no TLS of either kind, mail without AUTH, AUTH in the clear."""
    for mode in MODES:
        with Client(os.path.join(service.herald.runtime, f"{mode}.sock")) as client:
            texts = client.hello()
            assert "STARTTLS" not in texts and any(text.startswith("AUTH ") for text in texts)
            assert client.code("MAIL FROM:<ann@example.org>") == 250
            assert client.code("RCPT TO:<bob@example.net>") == 250


def test_require_auth(start, certificates):
    service = Service(start, certificates, require_auth=True, allow=["127.0.0.0/8"])
    with service.client() as client:
        client.starttls()
        assert client.code("MAIL FROM:<ann@example.org>") == 530
        assert client.code("AUTH PLAIN " + plain()) == 235
        assert client.code("MAIL FROM:<ann@example.org>") == 250


# -- RULES T

@pytest.mark.parametrize("tail", [b"NOOP\r\n", b"MAIL FROM:<x@x>\r\n", b"RSET\r\n", b"AUTH PLAIN " + plain().encode() + b"\r\n", b"x"],
                         ids=["noop", "mail", "rset", "auth", "octet"])
@pytest.mark.parametrize("wait", [None, 0.001, 0.01, 0.1], ids=["at-once", "1ms", "10ms", "100ms"])
def test_t1_t2_octets_before_the_handshake(service, tail, wait):
    """They are answered neither in the clear nor under TLS; the connection is closed."""
    with connect(service.endpoint("starttls")) as sock:
        sock.sendall(b"EHLO a\r\nSTARTTLS\r\n" + (tail if wait is None else b""))
        if wait is not None:
            octets = b""
            while b"220 2" not in octets:
                octets += sock.recv(4096)
            wait_until(lambda started=[]: started or started.append(1), "the pause", interval=wait)
            sock.sendall(tail)
            if len(tail) < 5:
                sock.shutdown(socket.SHUT_WR)
        try:
            rest = read_all(sock)
        except ConnectionResetError:
            rest = b""
        assert not re.search(rb"^(250|235|503|530) ?2?.*(Ok|auth)", rest.split(b"220 2")[-1] if wait is not None else b"", re.M)
        assert b"2.1.0" not in rest and b"2.7.0 auth" not in rest


def test_t3_t4_state_is_forgotten(service):
    with service.client() as client:
        client.hello()
        assert client.code("STARTTLS x") == 501
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        assert client.code("STARTTLS") == 503
        assert client.code("RSET") == 250
        assert client.code("STARTTLS") == 220
        client.handshake()
        assert client.code("MAIL FROM:<ann@example.org>") == 503
        assert client.code("AUTH PLAIN " + plain()) == 503
        texts = client.hello()
        assert "STARTTLS" not in texts
        assert client.code("STARTTLS") == 503


def test_t4_implicit(service):
    with service.client("implicit") as client:
        assert "STARTTLS" not in client.hello()
        assert client.code("STARTTLS") in (502, 503)


def test_handshake_deadline(start, certificates):
    """Whoever does not go on with it is not waited for; nothing is said in the clear."""
    service = Service(start, certificates, max_connections_per_client=2)
    with connect(service.endpoint("implicit")) as sock:
        sock.sendall(b"\x16\x03\x01")
        sock.settimeout(60)
        assert read_all(sock) == b""
    service.herald.wait_log(r"no TLS handshake in time")


GARBAGE = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 600, b"GET / HTTP/1.0\r\n\r\n", b"SSH-2.0-x\r\n", b"\x80\x2e\x01" + b"A" * 60,
           b"\x16\x03\x01\x00\x05hello", os.urandom(300)]


def test_v25_garbage_beside_mail_data(service):
    """A hundred handshakes of nonsense: who is in the middle of the mail data, and of TLS, does not notice."""
    ident = message_id()
    with service.client() as client:
        client.starttls()
        assert client.code("AUTH PLAIN " + plain()) == 235
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        assert client.code("RCPT TO:<bob@example.net>") == 250
        assert client.code("DATA") == 354
        client.send(message(ident))
        for number in range(100):
            with connect(service.endpoint("implicit" if number % 2 else "starttls")) as other:
                if not number % 2:
                    other.sendall(b"EHLO a\r\nSTARTTLS\r\n")
                    octets = b""
                    while b"220 2" not in octets:
                        octets += other.recv(4096)
                other.sendall(GARBAGE[number % len(GARBAGE)])
                client.send(b"line %d\r\n" % number)
                other.shutdown(socket.SHUT_WR)
                try:
                    read_all(other)
                except ConnectionResetError:
                    pass
        client.send(b".\r\n")
        assert client.reply()[0] == 250
    wait_until(lambda: ident in service.sink.idents(), "the message at the sink")
    taken = next(each for each in service.sink.messages if each.ident == ident)
    assert taken.content.count(b"line ") == 100


@pytest.mark.parametrize("octets", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 600, b"GET / HTTP/1.0\r\n\r\nMAIL FROM:<x@x>\r\n",
                                    b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nEHLO a\r\nMAIL FROM:<x@x>\r\n", b"CONNECT a:25 HTTP/1.1\r\n\r\n"])
def test_t12_other_protocols(service, octets):
    with connect(service.endpoint("none")) as sock:
        sock.sendall(octets)
        sock.shutdown(socket.SHUT_WR)
        try:
            replies = [line for line in read_all(sock).split(b"\r\n") if line]
        except ConnectionResetError:
            return
        assert len(replies) <= 2 and b"250" not in replies[-1][:3]


# -- the PROXY protocol

def v1(client, ours="127.0.0.1"):
    family = "TCP6" if ":" in client else "TCP4"
    return f"PROXY {family} {client} {'::1' if ':' in client else ours} 40112 25\r\n".encode()


def v2(client, command=1):
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    addresses = socket.inet_pton(family, client) * 2 + struct.pack("!HH", 40112, 25)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x20 | command, 0x21 if ":" in client else 0x11, len(addresses)) + addresses


@pytest.fixture(scope="module")
def proxied(start_module, certificates):
    return Service(start_module, certificates, proxies=["127.0.0.0/8"], allow=["127.0.0.0/8", "192.0.2.64/26", "2001:db8::/32"],
                   max_connections_per_client=3)


def proxied_client(service, header, mode="none"):
    """A session behind a header; whatever follows in the same segment is the client's."""
    client = Client.__new__(Client)
    client.sock, client.buffer = connect(service.endpoint(mode)), b""
    client.send(header)
    client.banner = client.reply()
    return client


@pytest.mark.parametrize("header", [v1, v2])
@pytest.mark.parametrize("address", ["192.0.2.70", "2001:db8::7"])
def test_proxied_client(proxied, header, address):
    """Log, Received and the right to relay are the client's."""
    ident = message_id()
    with proxied_client(proxied, header(address)) as client:
        assert client.banner[0] == 220
        client.transaction()
        client.send(stuffed(message(ident)))
        assert client.reply()[0] == 250
    wait_until(lambda: ident in proxied.sink.idents(), "the message at the sink")
    taken = next(each for each in proxied.sink.messages if each.ident == ident)
    assert f"[{'IPv6:' if ':' in address else ''}{address}]".encode() in taken.content
    proxied.herald.wait_log(rf"client=unknown\[{re.escape(address)}\]")


@pytest.mark.parametrize("header", [v1, v2])
def test_proxied_outsider(proxied, header):
    """Loopback is the proxy's, not the client's: no relay, and no AUTH in the clear."""
    with proxied_client(proxied, header(OUTSIDER)) as client:
        assert not any(text.startswith("AUTH") for text in client.hello())
        assert client.code("AUTH PLAIN " + plain()) in (502, 503, 530, 538)
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        assert client.code("RCPT TO:<bob@example.net>") == 554
        assert client.code("MAIL FROM:<root>") in (501, 503)
    proxied.herald.wait_log(rf"reject: RCPT from unknown\[{re.escape(OUTSIDER)}\]")


def test_proxy_for_itself(proxied):
    with proxied_client(proxied, v2("192.0.2.1", command=0)) as client:
        client.transaction()


UNSPECIFIED = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0"


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", UNSPECIFIED])
def test_proxy_names_nobody(proxied, header):
    """A client who is not named has no right of the proxy's: no relay, no bare names, no AUTH in the clear."""
    with proxied_client(proxied, header) as client:
        assert not any(text.startswith("AUTH") for text in client.hello())
        assert client.code("MAIL FROM:<root>") == 501
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        assert client.code("RCPT TO:<bob@example.net>") == 554




@pytest.mark.parametrize("mode", MODES)
def test_proxied_tls(proxied, mode):
    """The header is in the clear, the client's TLS follows in the same segment."""
    with connect(proxied.endpoint(mode)) as sock:
        sock.sendall(v2("192.0.2.71"))
        client = SecureClient.__new__(SecureClient)
        client.context, client.buffer = ssl.create_default_context(cafile=proxied.ca), b""
        if mode == "implicit":
            client.sock = client.context.wrap_socket(sock, server_hostname="localhost")
            client.banner = client.reply()
        else:
            client.sock = sock
            client.banner = client.reply()
            client.starttls()
        client.hello()
        assert client.code("AUTH PLAIN " + plain()) == 235
        client.sock.close()


def test_proxied_tls_in_one_segment(proxied):
    """Header and ClientHello come in one read: none of TLS is taken for the header."""
    context = ssl.create_default_context(cafile=proxied.ca)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with connect(proxied.endpoint("implicit")) as sock:
        head = v1("192.0.2.72")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(head + outgoing.read())
                head = b""
                incoming.write(sock.recv(65536))
        sock.sendall(outgoing.read())
        while True:
            try:
                assert tls.read(4096).startswith(b"220 ")
                break
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))


def test_proxy_header_octet_by_octet(proxied):
    with connect(proxied.endpoint("none")) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in v1("192.0.2.73") + b"EHLO a\r\nQUIT\r\n":
            sock.sendall(bytes([octet]))
        octets = read_all(sock)
        assert octets.startswith(b"220 ") and b"\r\n221 " in octets


@pytest.mark.parametrize("header", [b"EHLO a\r\n", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY TCP4 999.2.3.4 1.2.3.4 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c" + b"x" * 12,
                                    b"PROXY TCP4 " + b"1" * 200, b"\0" * 20, b"PROXY TCP4 1.2.3.4 "])
def test_proxy_header_bad(proxied, header):
    """Without a header that can be read nothing is believed, and nothing said."""
    mark = proxied.herald.mark()
    with connect(proxied.endpoint("none")) as sock:
        sock.sendall(header)
        try:
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b""
        except OSError as fault:
            assert fault.errno in (errno.ENOTCONN, errno.ECONNRESET)
    proxied.herald.wait_log(r"dropped the proxy localhost\[127\.0\.0\.1\]: ", mark)


def test_proxy_header_late(proxied):
    with connect(proxied.endpoint("none")) as sock:
        sock.sendall(b"PROXY TCP4 ")
        assert read_all(sock) == b""
    proxied.herald.wait_log(r"no PROXY header in time")


def test_proxy_header_of_others(service):
    """Whoever is no listed proxy is not believed: it is an unknown command, and the client is still himself."""
    with Client(service.endpoint("none")) as client:
        assert client.code(v1("127.0.0.200")[:-2]) in (500, 502, 503)
        client.hello()
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        assert client.code("RCPT TO:<bob@example.net>") == 554


def test_limits_count_the_proxied(proxied):
    """Three from one client; another one comes in by the same proxy."""
    held = [proxied_client(proxied, v1("192.0.2.80")) for _ in range(3)]
    with connect(proxied.endpoint("none")) as sock:
        sock.sendall(v2("192.0.2.80"))
        assert read_all(sock).startswith(b"421 ")
    with proxied_client(proxied, v1("192.0.2.81")) as other:
        assert other.banner[0] == 220
    for one in held:
        one.sock.close()


# -- limits

def test_guesses_are_limited(start, certificates):
    """Ten wrong passwords from one address, whatever the session; then not even the right one is looked at."""
    service = Service(start, certificates, proxies=["127.0.0.0/8"])

    def attempt(address, password):
        with connect(service.endpoint("implicit")) as sock:
            sock.sendall(v1(address))
            with ssl.create_default_context(cafile=service.ca).wrap_socket(sock, server_hostname="localhost") as tls:
                client = Client.__new__(Client)
                client.sock, client.buffer = tls, b""
                client.reply()
                client.hello()
                return client.code("AUTH PLAIN " + plain(password=password))
    assert [attempt(OUTSIDER, "a wrong guess") for _ in range(10)] == [535] * 10
    assert attempt(OUTSIDER, PASSWORD) == 421
    assert attempt("192.0.2.10", PASSWORD) == 235


def test_guesses_are_limited_side_by_side(start, certificates):
    """Forty wrong passwords at the same moment are no more guesses than ten in a row; the rest is not looked at."""
    service = Service(start, certificates)
    clients = [service.client("implicit") for _ in range(40)]
    for client in clients:
        client.hello()
    for client in clients:
        client.send(b"AUTH PLAIN " + plain(password="a wrong guess").encode() + b"\r\n")
    codes = [client.reply()[0] for client in clients]
    assert 1 <= codes.count(535) <= 18 and set(codes) <= {421, 454, 535}, codes
    for client in clients:
        client.sock.close()


def test_postmaster_is_ours(service):
    """The one name that everybody may write without a domain gets ours: else it would be the provider's."""
    ident = message_id()
    with service.client("implicit") as client:
        client.hello()
        assert client.code("AUTH PLAIN " + plain()) == 235
        assert client.code("MAIL FROM:<postmaster>") == 250
        assert client.code("RCPT TO:<postmaster>") == 250
        assert client.code("DATA") == 354
        client.send(stuffed(message(ident)))
        assert client.reply()[0] == 250
    wait_until(lambda: ident in service.sink.idents(), "the message at the sink")
    taken = next(each for each in service.sink.messages if each.ident == ident)
    assert "@" in taken.sender and all("@" in recipient for recipient in taken.recipients), (taken.sender, taken.recipients)


def test_stress(start):
    """Above three quarters of max_connections silence lasts ten seconds, for those who were silent before, too."""
    relay = start.relay(submission={"max_connections": 8, "max_connections_per_client": 8, "timeout": "5m"})
    held = [Client(relay.endpoint) for _ in range(6)]
    with Client(relay.endpoint) as seventh:
        assert all(read_all(one.sock).startswith(b"421 4.4.2") for one in held)
        assert read_all(seventh.sock).startswith(b"421 4.4.2")
    with Client(relay.endpoint) as later:
        later.hello()
    for one in held:
        one.sock.close()


def test_f3_local_connections_of_one_uid(start):
    """F3: a thousand connections of one user: a hundred are served, the others told so, and TCP is not touched."""
    relay = start.relay()
    path = os.path.join(relay.herald.runtime, "submit.sock")
    served, refused, held = 0, 0, []
    for _ in range(1000):
        sock = connect(path)
        banner = sock.recv(4096)
        served += banner.startswith(b"220 ")
        refused += banner.startswith(b"421 ")
        if banner.startswith(b"220 "):
            held.append(sock)
        else:
            sock.close()
    assert (served, refused) == (100, 900)
    with Client(relay.endpoint) as client:
        client.hello()
    for sock in held:
        sock.close()
    wait_until(lambda: relay.herald.status()["submission"]["sessions"] == 0, "no session left")


# -- reload

def peer_serial(service):
    context = ssl.create_default_context(cafile=service.ca)
    with context.wrap_socket(connect(service.endpoint("implicit")), server_hostname="localhost") as sock:
        return sock.getpeercert()["notBefore"]


def test_reload_certificate_and_users(start, certificates):
    """New sessions have the new ones; a session that is open ends under the old."""
    service = Service(start, certificates)
    before = peer_serial(service)
    with service.client("starttls") as old:
        old.hello()
        with open(service.users) as file:
            kept = file.read()
        write_users(service.users, hash_of("carol", "a new secret", start))
        service.herald.reload(service.body(certificate="renewed"))
        assert peer_serial(service) != before
        with service.smtplib("implicit") as one:
            assert one.login("carol", "a new secret")[0] == 235
        with service.smtplib("implicit") as one, pytest.raises(smtplib.SMTPAuthenticationError):
            one.login(USER, PASSWORD)
        old.starttls()
        assert old.code("AUTH PLAIN " + plain()) == 235
    assert USER in kept


def test_reload_is_all_or_nothing(start, certificates):
    """A broken line among the users, or a key that belongs to another certificate: all stays as it was."""
    service = Service(start, certificates)
    with open(service.users) as file:
        users = file.read()
    write_users(service.users, users + "dora:secret in the clear\n")
    said = service.herald.reload()
    assert re.search(rf"users: {re.escape(service.users)}:\d+: no hash of a known kind", said) and "secret in the clear" not in said
    with service.smtplib("implicit") as one:
        assert one.login(USER, PASSWORD)[0] == 235
    write_users(service.users, users)
    body = service.body().replace(certificates.path("good")[1], certificates.path("renewed")[1])
    assert "is not the key of" in service.herald.reload(body)
    with service.smtplib("implicit") as one:
        assert one.login(USER, PASSWORD)[0] == 235


def test_many_logins_at_once(trusted):
    """The loop answers others while passwords are compared, and each gets its own answer."""
    service = trusted
    clients = []
    for number in range(30):                 # of one client at most 32
        client = service.client("starttls")
        client.starttls()
        clients.append(client)
    for number, client in enumerate(clients):
        client.send(b"AUTH PLAIN " + plain(password=PASSWORD if number % 2 else "a wrong guess").encode() + b"\r\n")
    for client in clients[::5]:
        client.sock.close()                  # gone before its answer
    for number, client in enumerate(clients):
        if number % 5:
            assert client.reply()[0] == (235 if number % 2 else 535)
            client.sock.close()
    with service.client() as client:
        client.starttls()


def test_user_hash(start):
    """heraldctl user hash: a line that heraldd takes, and no password in any argument."""
    line = hash_of(USER, PASSWORD, start)
    assert re.fullmatch(rf"{USER}:\$y\$[./0-9A-Za-z$]+\n", line)
    assert hash_of(USER, PASSWORD, start) != line
    assert daemon.run("heraldctl", "user", "hash", "a b", input=b"x\n").returncode == 64
    assert daemon.run("heraldctl", "user", "hash", "a", "password", input=b"x\n").returncode == 64
    assert daemon.run("heraldctl", "user", "hash", "a", input=b"\n").returncode == 65
    assert daemon.run("heraldctl", "user", "hash", input=b"x\n").stdout.startswith(b"$y$")


def test_stop_in_each_stage(start, certificates):
    """A proxy without its header, a handshake that is half done, a password that is compared: none holds up the end."""
    service = Service(start, certificates, proxies=["127.0.0.5/32"])
    held = [connect(service.endpoint("none"), source=("127.0.0.5", 0)), connect(service.endpoint("implicit"))]
    held[0].sendall(b"PROXY TCP4 ")
    held[1].sendall(b"\x16\x03\x01")
    logins = [service.client("starttls") for _ in range(8)]
    for client in logins:
        client.starttls()
    for client in logins:
        client.send(b"AUTH PLAIN " + plain().encode() + b"\r\n")
    assert service.herald.status()["submission"]["sessions"] == 10
    assert service.herald.stop() == 0
    for one in held + [client.sock for client in logins]:
        one.close()
