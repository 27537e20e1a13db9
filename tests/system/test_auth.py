"""AUTH at the smarthost: PLAIN, LOGIN, auto; a refused password is the relay's fault and never shows."""

import base64
import os
import ssl

import pytest

from lib import conf, daemon
from lib.dovecot import Dovecot
from lib.net import free_port, wait_until
from lib.postfix import Postfix
from lib.smtp import message, message_id, submit

PASSWORD = "correct horse 'battery' \"staple\""


def secret(start, text=PASSWORD + "\n"):
    path = os.path.join(start.directory, "secret")
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o600)
    daemon.shutil.chown(path, "nobody")
    return path


def authenticated(start, certificates, auth="auto", mechanisms="PLAIN LOGIN", users=None, mode="implicit", text=PASSWORD + "\n",
                  queue=None, **keys):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.path("good"))
    sink = start.py_sink(tls=mode, context=context, users=users or {"ann": PASSWORD}, mechanisms=mechanisms)
    relay = start.relay(host=f"localhost:{sink.port}", tls=mode, tls_ca_file=certificates.ca, username="ann",
                        password=f"file:{secret(start, text)}", auth=auth, queue=queue, **keys)
    relay.sink = sink
    return relay


def leaked(text):
    """Whether the password stands in a text, plainly or in the forms that AUTH sends."""
    forms = [PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()]
    return [form for form in forms if form in text]


def mechanism(sink):
    return [line.split()[1] for session in sink.sessions for _, line in session.commands if line.upper().startswith(b"AUTH ")]


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
@pytest.mark.parametrize("auth,mechanisms,used", [
    ("plain", "PLAIN LOGIN", b"PLAIN"), ("login", "PLAIN LOGIN", b"LOGIN"), ("auto", "LOGIN PLAIN", b"PLAIN"), ("auto", "LOGIN", b"LOGIN"),
    ("auto", "GSSAPI NTLM XOAUTH2 LOGIN DIGEST-MD5", b"LOGIN")])
def test_mechanisms(start, certificates, mode, auth, mechanisms, used):
    relay = authenticated(start, certificates, auth, mechanisms, mode=mode)
    ident = message_id()
    submit(relay.endpoint, message(ident))
    relay.sink.wait_messages(1)
    assert relay.sink.messages[0].session.user == "ann"
    assert mechanism(relay.sink)[0].upper() == used
    assert all(secure for session in relay.sink.sessions for secure, line in session.commands if line.upper().startswith(b"AUTH"))
    relay.herald.wait_log("status=sent")
    assert not leaked(relay.herald.log())


def test_wrong_password(start, certificates):
    """Deferred, never bounced; one alert; nothing without AUTH; the password is in no log, queue or report."""
    relay = authenticated(start, certificates, users={"ann": "another"}, queue={"retry_min": "1h", "retry_max": "1h"})
    idents = [submit(relay.endpoint, message()) for _ in range(5)]
    relay.herald.wait_log(rf"{idents[0]}: to=<bob@example\.net>, .*dsn=4\.7\.\d+, status=deferred \(.*535")
    assert sorted(one["id"] for one in relay.herald.queue()) == sorted(idents)
    assert "status=bounced" not in relay.herald.log()
    assert not relay.sink.messages
    assert "MAIL" not in sum((session.verbs() for session in relay.sink.sessions), [])
    assert not leaked(relay.herald.log())
    assert not leaked(relay.herald.ctl("queue", "show", idents[0]).stdout.decode())
    assert len(mechanism(relay.sink)) <= 2, "the relay is suspended, not asked once for each message"


def test_password_put_right(start, certificates):
    """The secret's file is corrected, the daemon reloaded, the queue retried: the mail goes out."""
    relay = authenticated(start, certificates, text="wrong\n")
    ident = message_id()
    submit(relay.endpoint, message(ident))
    relay.herald.wait_log("status=deferred")
    secret(start)
    relay.herald.reload()
    assert relay.herald.ctl("queue", "retry", "--all").returncode == 0
    wait_until(lambda: ident in relay.sink.idents(), "the message at the sink")


@pytest.mark.parametrize("auth,mechanisms", [("plain", "LOGIN"), ("login", "PLAIN"), ("auto", "GSSAPI DIGEST-MD5")])
def test_mechanism_not_offered(start, certificates, auth, mechanisms):
    relay = authenticated(start, certificates, auth, mechanisms, queue={"retry_min": "1h"})
    submit(relay.endpoint, message())
    relay.herald.wait_log(r"status=deferred")
    assert not relay.sink.messages
    assert not mechanism(relay.sink)


def test_auth_not_offered(start, certificates):
    """Configured to log in, and the server knows no AUTH: the message waits."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.path("good"))
    sink = start.py_sink(tls="implicit", context=context)
    relay = start.relay(host=f"localhost:{sink.port}", tls="implicit", tls_ca_file=certificates.ca, username="ann",
                        password=f"file:{secret(start)}", queue={"retry_min": "1h"})
    submit(relay.endpoint, message())
    relay.herald.wait_log(r"status=deferred")
    assert not sink.messages and "MAIL" not in sum((session.verbs() for session in sink.sessions), [])


@pytest.mark.parametrize("reply", [b"334 !!!not base64!!!", b"250 what", b"435 4.7.0 later", b"454 4.7.0 temporary"], ids=["bad64", "250", "435", "454"])
def test_odd_answers_to_auth(start, certificates, reply):
    """A5: neither crash nor loop, and no mail without AUTH."""
    relay = authenticated(start, certificates, queue={"retry_min": "1h"})
    relay.sink.users = {}
    relay.sink.replies["AUTH"] = reply
    submit(relay.endpoint, message())
    relay.herald.wait_log(r"status=deferred")
    assert not relay.sink.messages
    assert sum(len(session.commands) for session in relay.sink.sessions) < 40


def test_no_credentials_in_the_clear(start):
    """username with tls = none is refused as a configuration, or at least never sent."""
    one = start.herald("", start=False, default_relay="smarthost")
    one.configure(conf.mail(free_port(), "192.0.2.1:25", username="ann", password=f"file:{secret(start)}"))
    done = daemon.run("heraldd", "-t", "-c", one.conffile)
    assert done.returncode == 78, "a password in the clear to another machine"


def test_credential_of_systemd(start, certificates):
    """password = credential:NAME is read from $CREDENTIALS_DIRECTORY."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.path("good"))
    sink = start.py_sink(tls="implicit", context=context, users={"ann": PASSWORD})
    path = secret(start)
    os.rename(path, os.path.join(start.directory, "smarthost"))
    port = free_port()
    start.herald(conf.mail(port, f"localhost:{sink.port}", tls="implicit", tls_ca_file=certificates.ca, username="ann",
                           password="credential:smarthost"),
                 default_relay="smarthost", environment={"CREDENTIALS_DIRECTORY": start.directory})
    submit(("127.0.0.1", port), message())
    sink.wait_messages(1)
    assert sink.messages[0].session.user == "ann"


# -- a real Postfix with the authentication of Dovecot

MECHANISMS = {"plain": "PLAIN", "login": "LOGIN", "cram-md5": "CRAM-MD5", "scram-sha-256": "SCRAM-SHA-256"}
USER = "ann=of,accounts@example.org"        # with what SCRAM must write otherwise


@pytest.fixture(scope="module")
def postfix(start_module, certificates):
    """Listeners: one for each mechanism alone, "all", "clear" without TLS, and "none" without AUTH."""
    dovecot = Dovecot(start_module.directory, {USER: PASSWORD}).start()
    start_module.running.append(dovecot)
    server = Postfix(start_module.directory)
    start_module.running.append(server)
    auth = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": dovecot.socket,
            "smtpd_sasl_security_options": "noanonymous"}
    only = {"smtpd_recipient_restrictions": "permit_sasl_authenticated,reject", "smtpd_relay_restrictions": "permit_sasl_authenticated,reject"}
    tls = ("implicit", *certificates.path("good"))
    server.ports = {name: server.listen_tls(*tls, **auth, **only, smtpd_sasl_mechanism_filter=name) for name in MECHANISMS}
    server.ports["all"] = server.listen_tls(*tls, **auth, **only)
    server.ports["clear"] = server.listen(**auth, **only)
    server.ports["none"] = server.listen_tls(*tls, **only)
    server.dovecot = dovecot
    return server.start()


def to_postfix(start, certificates, postfix, port, auth="auto", text=PASSWORD + "\n", tls="implicit", **keys):
    if tls != "none":
        keys["tls_ca_file"] = certificates.ca
    return start.relay(host=f"localhost:{postfix.ports[port]}", tls=tls, username=USER, auth=auth,
                       password=f"file:{secret(start, text)}", queue={"retry_min": "1h", "retry_max": "1h"}, **keys)


def used(postfix, ident):
    """The mechanism that Postfix says a message came with, by its queue id."""
    lines = postfix.log().splitlines()
    queue_id = next(line.split(": ")[1] for line in lines if f"message-id={ident}" in line)
    return next(line.split("sasl_method=")[1].split(",")[0] for line in lines
                if f": {queue_id}: client=" in line)


@pytest.mark.parametrize("offered", [*MECHANISMS, "all"])
@pytest.mark.parametrize("how", ["named", "auto"])
def test_postfix_takes_it(start, certificates, postfix, offered, how):
    """Each mechanism, named and found; of all that are offered, `auto` takes the best."""
    if offered == "all" and how == "named":
        for auth in MECHANISMS:
            one = to_postfix(start, certificates, postfix, "all", auth)
            ident = message_id()
            submit(one.endpoint, message(ident))
            wait_until(lambda ident=ident: postfix.delivered(ident), "the message in the mailbox")
            assert used(postfix, ident).upper() == MECHANISMS[auth]
        return
    relay = to_postfix(start, certificates, postfix, offered, offered if how == "named" else "auto")
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: postfix.delivered(ident), "the message in the mailbox")
    assert used(postfix, ident).upper() == MECHANISMS.get(offered, "SCRAM-SHA-256")
    relay.herald.wait_log("status=sent")
    assert not leaked(relay.herald.log())


@pytest.mark.parametrize("auth", [*MECHANISMS, "auto"])
def test_postfix_refuses_a_wrong_password(start, certificates, postfix, auth):
    """535: the mail waits, uncharged; one alert; neither password stands in the log."""
    relay = to_postfix(start, certificates, postfix, "all", auth, text="wrong 'horse'\n")
    ident = message_id()
    queue_id = submit(relay.endpoint, message(ident))
    relay.herald.wait_log(rf"{queue_id}: to=<bob@example\.net>, .*dsn=4\.7\.\d+, status=deferred \(.*535")
    relay.herald.wait_log(r"relay smarthost: suspended.*535")
    assert len([line for line in relay.herald.log().splitlines() if "suspended" in line]) == 1
    assert postfix.delivered(ident) is None
    shown = relay.herald.ask("queue", "show", queue_id)
    assert "wrong 'horse'" not in relay.herald.log() + str(shown)
    assert not leaked(relay.herald.log())


def test_postfix_without_auth(start, certificates, postfix):
    relay = to_postfix(start, certificates, postfix, "none")
    ident = message_id()
    submit(relay.endpoint, message(ident))
    relay.herald.wait_log(r"status=deferred \(.*AUTH")
    assert postfix.delivered(ident) is None


@pytest.mark.parametrize("offered,auth", [("plain", "scram-sha-256"), ("scram-sha-256", "plain"), ("cram-md5", "login")])
def test_postfix_without_the_mechanism(start, certificates, postfix, offered, auth):
    relay = to_postfix(start, certificates, postfix, offered, auth)
    ident = message_id()
    submit(relay.endpoint, message(ident))
    relay.herald.wait_log(r"status=deferred \(.*AUTH")
    assert postfix.delivered(ident) is None


def test_secret_is_read_again_when_refused(start, certificates, postfix):
    """Put right in the file, and nobody says so to the daemon: the refusal makes it look once."""
    relay = to_postfix(start, certificates, postfix, "all", text="wrong\n")
    secret(start)
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: postfix.delivered(ident), "the message in the mailbox")
    assert "suspended" not in relay.herald.log()


def test_secret_of_a_command(start, certificates, postfix):
    """password = command:...: run once, without a shell."""
    path = secret(start)
    marks = os.path.join(start.directory, "marks")
    script = os.path.join(start.directory, "program")
    with open(script, "w") as file:
        file.write(f'#!/bin/sh\necho "$#" >>{marks}\ncat "$1"\n')
    os.chmod(script, 0o755)
    open(marks, "w").close()
    daemon.shutil.chown(marks, "nobody")
    relay = start.relay(host=f"localhost:{postfix.ports['all']}", tls="implicit", tls_ca_file=certificates.ca, username=USER,
                        password=f"command:{script} {path}")
    for _ in range(2):
        ident = message_id()
        submit(relay.endpoint, message(ident))
        wait_until(lambda ident=ident: postfix.delivered(ident), "the message in the mailbox")
    with open(marks) as file:
        assert file.read() == "1\n"
    assert not leaked(relay.herald.log())


def test_server_that_does_not_prove_itself(start, certificates):
    """SCRAM: whoever says 235 without knowing the password gets no mail."""
    relay = authenticated(start, certificates, "scram-sha-256", "SCRAM-SHA-256", queue={"retry_min": "1h"})
    relay.sink.replies["AUTH"] = b"235 2.7.0 welcome, whoever you are"
    relay.sink.users = {}
    submit(relay.endpoint, message())
    relay.herald.wait_log(r"status=deferred")
    assert not relay.sink.messages
    assert "MAIL" not in sum((session.verbs() for session in relay.sink.sessions), [])
