"""TLS to the smarthost (SPEC 4, RULES T, V): a real Postfix with good and bad certificates.  Nothing ever goes in the clear instead."""

import hashlib
import os
import re
import shutil
import socket
import ssl

import pytest

from lib import conf, daemon
from lib.net import free_port, wait_until
from lib.postfix import Postfix
from lib.smtp import message, message_id, submit

MODES = ["starttls", "implicit"]
BAD = {"expired": r"expired", "wrong-name": r"(host ?name|name|match)", "unknown-ca": r"(issuer|self[- ]signed|unable to get|unknown|verif)"}


@pytest.fixture(scope="module")
def smarthost(start_module, certificates):
    """One Postfix; its ports by (mode, certificate), and a port without STARTTLS."""
    postfix = Postfix(start_module.directory)
    start_module.running.append(postfix)
    postfix.ports = {(mode, name): postfix.listen_tls(mode, *certificates.path(name)) for mode in MODES for name in ["good", *BAD]}
    postfix.ports["none"] = postfix.listen()
    return postfix.start()


def relay_to(start, port, certificates, mode, name="localhost", **keys):
    return start.relay(host=f"{name}:{port}", tls=mode, tls_ca_file=certificates.ca,
                       queue={"retry_min": "1h", "retry_max": "1h"}, **keys)


@pytest.mark.parametrize("mode", MODES)
def test_good_certificate(start, smarthost, certificates, mode):
    port = smarthost.ports[mode, "good"]
    relay = relay_to(start, port, certificates, mode)
    ident = message_id()
    submit(relay.endpoint, message(ident))
    text = wait_until(lambda: smarthost.delivered(ident), "the message in the mailbox")
    assert b"using TLSv1." in text and b"ESMTPS" in text
    relay.herald.wait_log(rf"relay=localhost\[127\.0\.0\.1\]:{port}, .*tls=TLSv1\.[23]/verified, dsn=2\.0\.0, status=sent")
    relay.herald.wait_empty()


@pytest.mark.parametrize("mode", MODES)
def test_good_certificate_by_address(start, smarthost, certificates, mode):
    """An address literal is checked against the IP names of the certificate."""
    relay = relay_to(start, smarthost.ports[mode, "good"], certificates, mode, name="127.0.0.1")
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: smarthost.delivered(ident), "the message in the mailbox")


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("mode", MODES)
def test_bad_certificate(start, smarthost, certificates, mode, name):
    """Deferred with the fault named, one alert; not a command of mail reaches the peer."""
    relay = relay_to(start, smarthost.ports[mode, name], certificates, mode)
    ident = message_id()
    queue_id = submit(relay.endpoint, message(ident))
    match = relay.herald.wait_log(rf"{queue_id}: to=<bob@example\.net>, .*dsn=4\.7\.\d+, status=deferred \((.*)\)$")
    assert re.search(BAD[name], match.group(1), re.I), match.group(1)
    assert smarthost.delivered(ident) is None
    assert [one["id"] for one in relay.herald.queue()] == [queue_id]
    assert "status=bounced" not in relay.herald.log()


@pytest.mark.parametrize("name", ["good", *BAD])
@pytest.mark.parametrize("mode", MODES)
def test_without_verification(start, smarthost, certificates, mode, name):
    """tls_verify = false: encrypted, to whomever."""
    relay = start.relay(host=f"localhost:{smarthost.ports[mode, name]}", tls=mode, tls_verify=False)
    ident = message_id()
    submit(relay.endpoint, message(ident))
    text = wait_until(lambda: smarthost.delivered(ident), "the message in the mailbox")
    assert b"using TLSv1." in text
    log = relay.herald.wait_log(r"tls=(\S+), dsn=2\.0\.0, status=sent").group(1)
    assert log.startswith("TLSv1.") and not log.endswith("/verified")


def test_starttls_not_offered(start, smarthost, certificates):
    relay = relay_to(start, smarthost.ports["none"], certificates, "starttls")
    ident = message_id()
    queue_id = submit(relay.endpoint, message(ident))
    relay.herald.wait_log(rf"{queue_id}: .*dsn=4\.\d\.\d+, status=deferred \(.*STARTTLS")
    assert smarthost.delivered(ident) is None


def test_implicit_to_a_port_in_the_clear(start, smarthost, certificates):
    relay = relay_to(start, smarthost.ports["none"], certificates, "implicit")
    ident = message_id()
    queue_id = submit(relay.endpoint, message(ident))
    relay.herald.wait_log(rf"{queue_id}: .*status=deferred")
    assert smarthost.delivered(ident) is None


def server_context(certificates, name="good"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.path(name))
    return context


@pytest.mark.parametrize("reply", [b"454 4.7.0 not now", b"502 5.5.1 no", b"354 go", b"500 what", b"220"], ids=["454", "502", "354", "500", "220"])
def test_starttls_refused(start, certificates, reply):
    """T7: whatever the answer to STARTTLS, no MAIL and no AUTH in the clear."""
    sink = start.py_sink({"STARTTLS": reply}, tls="starttls", context=server_context(certificates), users={"ann": "secret"})
    relay = relay_to(start, sink.port, certificates, "starttls")
    submit(relay.endpoint, message())
    match = relay.herald.wait_log(r"status=(deferred|sent|bounced)")
    assert match.group(1) == ("sent" if reply == b"220" else "deferred")
    for session in sink.sessions:
        assert not {line.split()[0] for secure, line in session.commands if not secure} & {b"MAIL", b"RCPT", b"DATA", b"AUTH"}


def test_octets_injected_after_the_starttls_reply(start, certificates):
    """T6: more than one reply line after STARTTLS is an attack: no MAIL, the message waits."""
    sink = start.py_sink({"STARTTLS": b"220 go\r\n250-x\r\n250 AUTH LOGIN\r\n"}, tls="starttls", context=server_context(certificates))
    relay = relay_to(start, sink.port, certificates, "starttls")
    submit(relay.endpoint, message())
    relay.herald.wait_log(r"status=deferred")
    assert not sink.messages
    assert not {"MAIL", "AUTH"} & set(sum((session.verbs() for session in sink.sessions), []))


def test_server_without_esmtp(start, certificates):
    """T7, D_1: EHLO unknown, so no STARTTLS: the message waits rather than going out after HELO."""
    sink = start.py_sink({"EHLO": b"502 5.5.1 what?"})
    relay = relay_to(start, sink.port, certificates, "starttls")
    submit(relay.endpoint, message())
    relay.herald.wait_log(r"status=deferred")
    assert not sink.messages and "MAIL" not in sum((session.verbs() for session in sink.sessions), [])


def test_ehlo_is_said_again_after_starttls(start, certificates):
    """What the server said before TLS is forgotten (RFC 3207 4.2)."""
    sink = start.py_sink(tls="starttls", context=server_context(certificates))
    relay = relay_to(start, sink.port, certificates, "starttls")
    submit(relay.endpoint, message())
    sink.wait_messages(1)
    assert [(secure, line.split()[0]) for secure, line in sink.sessions[-1].commands[:4]] == [
        (False, b"EHLO"), (False, b"STARTTLS"), (True, b"EHLO"), (True, b"MAIL")]


def test_session_reuse_over_tls(start, certificates):
    sink = start.py_sink(tls="implicit", context=server_context(certificates))
    relay = relay_to(start, sink.port, certificates, "implicit", idle_timeout="30s", max_connections=1)
    for number in range(1, 4):
        submit(relay.endpoint, message(body=b"x" * 70000 + b"\r\n" if number == 2 else b"x\r\n"))
        sink.wait_messages(number)
    assert len(sink.sessions) == 1


def test_old_protocol_versions(start, certificates):
    """tls_min_version = 1.3: a peer that can only 1.2 gets nothing; the default takes it."""
    context = server_context(certificates)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    sink = start.py_sink(tls="implicit", context=context)
    modern = relay_to(start, sink.port, certificates, "implicit", tls_min_version="1.3")
    submit(modern.endpoint, message())
    modern.herald.wait_log(r"status=deferred")
    assert not sink.messages
    relay = relay_to(start, sink.port, certificates, "implicit")
    submit(relay.endpoint, message())
    sink.wait_messages(1)
    relay.herald.wait_log(r"tls=TLSv1\.2/verified")


def test_system_certificates_by_default(start, certificates):
    """Without tls_ca_file the system's authorities count, and our test CA is none of them."""
    sink = start.py_sink(tls="implicit", context=server_context(certificates))
    relay = start.relay(host=f"localhost:{sink.port}", tls="implicit", queue={"retry_min": "1h"})
    submit(relay.endpoint, message())
    relay.herald.wait_log(r"status=deferred")
    assert not sink.messages


def test_name_that_does_not_exist(start):
    """No such host is a fault of the configuration, not of the message."""
    relay = start.relay(host=f"no-such-host.invalid:{free_port()}", tls="implicit", queue={"retry_min": "1h"})
    submit(relay.endpoint, message())
    relay.herald.wait_log(r"to=<bob@example\.net>, .*status=deferred")


def test_handshake_that_hangs(start):
    """A peer that accepts and says nothing: the deadline covers the handshake (CVE-2011-1947)."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    relay = start.relay(host=f"127.0.0.1:{port}", tls="implicit", connect_timeout="2s", queue={"retry_min": "1h"})
    submit(relay.endpoint, message())
    relay.herald.wait_log(r"status=deferred")
    listener.close()


# -- opportunistic

@pytest.mark.parametrize("name", ["good", *BAD])
def test_opportunistic_encrypts_to_whomever(start, smarthost, certificates, name):
    relay = start.relay(host=f"localhost:{smarthost.ports['starttls', name]}", tls="opportunistic")
    ident = message_id()
    submit(relay.endpoint, message(ident))
    text = wait_until(lambda: smarthost.delivered(ident), "the message in the mailbox")
    assert b"using TLSv1." in text
    relay.herald.wait_log(r"tls=TLSv1\.[23]/encrypted, dsn=2\.0\.0, status=sent")


def test_opportunistic_where_it_is_not_offered(start, smarthost):
    relay = start.relay(host=f"localhost:{smarthost.ports['none']}", tls="opportunistic")
    ident = message_id()
    submit(relay.endpoint, message(ident))
    text = wait_until(lambda: smarthost.delivered(ident), "the message in the mailbox")
    assert b"using TLSv1." not in text


@pytest.mark.parametrize("reply", [b"454 4.7.0 not now", b"502 5.5.1 no", b"500 what"], ids=["454", "502", "500"])
def test_opportunistic_where_it_is_refused(start, certificates, reply):
    """T7: in the clear, in the same session, and without a password."""
    sink = start.py_sink({"STARTTLS": reply}, tls="starttls", context=server_context(certificates))
    relay = start.relay(host=f"localhost:{sink.port}", tls="opportunistic")
    submit(relay.endpoint, message())
    sink.wait_messages(1)
    assert len(sink.sessions) == 1 and "AUTH" not in sink.sessions[0].verbs()


def test_opportunistic_where_the_handshake_fails(start, certificates):
    """A new connection, in the clear."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("aNULL:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    sink = start.py_sink(tls="starttls", context=context)
    relay = start.relay(host=f"localhost:{sink.port}", tls="opportunistic")
    submit(relay.endpoint, message())
    sink.wait_messages(1)
    assert "STARTTLS" in sink.sessions[0].verbs() and "MAIL" not in sink.sessions[0].verbs()
    assert "STARTTLS" not in sink.sessions[-1].verbs()


# -- a certificate of ours, a fingerprint of theirs, sessions gone on with

class Recording:
    """A context that remembers of each connection whether it went on with an earlier session, and whose it was."""

    def __init__(self, context):
        self.context, self.reused, self.peers = context, [], []

    def wrap_socket(self, sock, server_side):
        done = self.context.wrap_socket(sock, server_side=server_side)
        self.reused.append(done.session_reused)
        self.peers.append(done.getpeercert(True))
        return done


def fingerprint(certificates, name):
    with open(certificates.path(name)[0]) as file:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).hexdigest()


def colons(text):
    return ":".join(text[n:n + 2] for n in range(0, len(text), 2)).upper()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", [lambda text: text, lambda text: "sha256:" + text, colons], ids=["hex", "prefix", "colons"])
def test_fingerprint(start, smarthost, certificates, mode, form):
    """Of an expired certificate, by no CA that we know: it is that one, so it is the peer."""
    relay = start.relay(host=f"localhost:{smarthost.ports[mode, 'expired']}", tls=mode,
                        tls_fingerprint=form(fingerprint(certificates, "expired")))
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: smarthost.delivered(ident), "the message in the mailbox")
    relay.herald.wait_log(r"tls=TLSv1\.[23]/verified, dsn=2\.0\.0, status=sent")


@pytest.mark.parametrize("mode", MODES)
def test_another_fingerprint(start, smarthost, certificates, mode):
    """A certificate that would be good, but another: nothing is sent, and the log says which it is."""
    relay = start.relay(host=f"localhost:{smarthost.ports[mode, 'good']}", tls=mode,
                        tls_fingerprint=fingerprint(certificates, "renewed"), queue={"retry_min": "1h"})
    ident = message_id()
    submit(relay.endpoint, message(ident))
    relay.herald.wait_log(rf"status=deferred \(.*fingerprint does not match, it is sha256:{fingerprint(certificates, 'good')}")
    assert smarthost.delivered(ident) is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_own_certificate(start, certificates, version):
    context = server_context(certificates)
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_ALLOW_PROXY_CERTS
    context.load_verify_locations(certificates.ca)
    recording = Recording(context)
    sink = start.py_sink(tls="implicit", context=recording)
    pem, key = certificates.path("client")
    relay = relay_to(start, sink.port, certificates, "implicit", certificate=pem, private_key=key)
    submit(relay.endpoint, message())
    sink.wait_messages(1)
    with open(pem) as file:
        assert recording.peers[0] == ssl.PEM_cert_to_DER_cert(file.read())


def test_own_key_that_others_may_read(start, certificates):
    """As with a password: not started with, and -t says so."""
    pem, key = certificates.path("client")
    copy = os.path.join(start.directory, "readable.key")
    shutil.copy(key, copy)
    os.chmod(copy, 0o644)
    one = start.herald("", start=False, default_relay="smarthost")
    one.configure(conf.mail(free_port(), "localhost:465", tls="implicit", certificate=pem, private_key=copy))
    done = daemon.run("heraldd", "-t", "-c", one.conffile)
    assert done.returncode == 78 and b"readable.key has mode 0644" in done.stderr


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_resumption(start, certificates, mode, version):
    """A second connection goes on with the session of the first; another relay to the same place does not."""
    context = server_context(certificates)
    context.minimum_version = context.maximum_version = version
    recording = Recording(context)
    sink = start.py_sink(tls=mode, context=recording)
    port = free_port()
    common = {"host": [f"localhost:{sink.port}"], "tls": mode, "max_messages_per_connection": 1, "connect_timeout": "10s"}
    start.herald(conf.block("queue", retry_min="1s", retry_max="2s")
                 + conf.block("submission", "local", listen=[f"127.0.0.1:{port}"])
                 + conf.block("relay", "smarthost", tls_ca_file=certificates.ca, **common)
                 + conf.block("relay", "other", tls_verify=False, **common)
                 + conf.block("route", recipient=["other@example.net"], relay="other"), default_relay="smarthost")
    for number, recipient in enumerate(["bob", "bob", "other", "other", "bob"], 1):
        submit(("127.0.0.1", port), message(), recipients=[f"{recipient}@example.net"])
        sink.wait_messages(number)
    assert recording.reused == [False, True, False, True, True]
