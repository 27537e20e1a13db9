"""herald send to a server with TLS and AUTH (RULES T, V, A): nothing in clear instead, and the password is seen by the server alone."""

import os
import re
import signal
import socket
import ssl
import subprocess
import termios
import threading

import pytest

from lib import certs_matrix
from lib.daemon import program
from lib.dns import SERVER, World
from lib.dovecot import Dovecot
from lib.net import TIMEOUT, free_port, need, wait_until
from lib.postfix import Postfix
from lib.secure import offers, users_file
from lib.sending import ADDRESSES, NOINPUT, NOPERM, OK, TEMPFAIL, UNAVAILABLE, USAGE, Terminal, forms, leaked, send, subject, told
from lib.sink import PySink

MODES = {"starttls": "smtp+starttls", "implicit": "smtps"}
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"]
BAD = {"expired": r"expired", "wrong-name": r"(host ?name|name|match)", "unknown-ca": r"(issuer|self[- ]signed|unable to get|unknown|verif)"}
USER, PASSWORD = "ann=of,accounts@example.org", "correct horse 'battery' \"staple\""


def secret(directory, text=PASSWORD + "\n", mode=0o600):
    path = os.path.join(str(directory), "secret")
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


@pytest.fixture(scope="module")
def postfix(start_module, certificates):
    """Listeners: (mode, certificate), (mode, mechanism) for one alone, (mode, "all"), and "none" without STARTTLS."""
    dovecot = Dovecot(start_module.directory, {USER: PASSWORD}).start()
    start_module.running.append(dovecot)
    server = Postfix(start_module.directory)
    start_module.running.append(server)
    auth = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": dovecot.socket,
            "smtpd_sasl_security_options": "noanonymous"}
    only = {"smtpd_recipient_restrictions": "permit_sasl_authenticated,reject", "smtpd_relay_restrictions": "permit_sasl_authenticated,reject"}
    server.ports = {}
    for mode in MODES:
        tls = (mode, *certificates.path("good"))
        for name in MECHANISMS:
            server.ports[mode, name] = server.listen_tls(*tls, **auth, **only, smtpd_sasl_mechanism_filter=name.lower())
        server.ports[mode, "all"] = server.listen_tls(*tls, **auth, **only)
        server.ports[mode, "no AUTH"] = server.listen_tls(*tls)
        for name in BAD:
            server.ports[mode, name] = server.listen_tls(mode, *certificates.path(name))
    server.ports["none"] = server.listen(**auth)
    return server.start()


def url(mode, port, user=USER, host="localhost"):
    return f"{MODES[mode]}://{user + '@' if user else ''}{host}:{port}"


def options(certificates, where, *arguments):
    return ["--server", where, "--ca-file", certificates.ca, *arguments]


# --- real servers

@pytest.mark.parametrize("mechanism", [*MECHANISMS, "all"])
@pytest.mark.parametrize("mode", MODES)
def test_postfix_takes_it(certificates, postfix, tmp_path, mode, mechanism):
    """Each mechanism, over both kinds of TLS; the dialogue is shown, the password in no form of it."""
    name = subject()
    done = send(*options(certificates, url(mode, postfix.ports[mode, mechanism]), "--subject", name, "--password", f"file:{secret(tmp_path)}", "--debug"))
    assert done.returncode == OK, done.stderr
    text = wait_until(lambda: postfix.delivered(name), "the message in the mailbox")
    assert b"using TLSv1." in text
    shown = done.stderr.decode()
    used = mechanism if mechanism != "all" else "SCRAM-SHA-256"
    assert f"sasl_method={used}" in postfix.log().replace("sasl_method=scram", "sasl_method=SCRAM")
    assert re.search(r"^\* TLSv1\.[23], ", shown, re.M) and "S: 220 " in shown and "C: RCPT TO:<bob@example.net>" in shown
    assert re.search(rf"^C: AUTH {used}( \*\*\*)?$", shown, re.M), shown
    assert not leaked(done, USER, PASSWORD)
    for line in shown.splitlines():              # what proves the password is none of them, either
        assert not re.match(r"S: 334 [^*]", line) and not re.match(r"C: [A-Za-z0-9+/=]{12,}$", line), line
    assert shown.index("* TLSv1.") < shown.index("C: AUTH")


@pytest.mark.parametrize("mode", MODES)
def test_postfix_refuses_the_password(certificates, postfix, tmp_path, mode):
    name = subject()
    done = send(*options(certificates, url(mode, postfix.ports[mode, "all"]), "--subject", name, "--password",
                         f"file:{secret(tmp_path, 'wrong horse')}", "--debug"))
    assert done.returncode == NOPERM, done.stderr
    assert b"herald: AUTH: refused: 535" in done.stderr and b"C: MAIL" not in done.stderr
    assert not leaked(done, USER, "wrong horse")
    assert postfix.delivered(name) is None


@pytest.mark.parametrize("mode", MODES)
def test_postfix_without_auth(certificates, postfix, tmp_path, mode):
    done = send(*options(certificates, url(mode, postfix.ports[mode, "no AUTH"]), "--password", f"file:{secret(tmp_path)}"))
    assert done.returncode == UNAVAILABLE and "AUTH" in told(done)


@pytest.mark.parametrize("mode", MODES)
def test_no_user_no_auth(certificates, postfix, mode):
    name = subject()
    done = send(*options(certificates, url(mode, postfix.ports[mode, "no AUTH"], user=None), "--subject", name))
    assert done.returncode == OK, done.stderr
    wait_until(lambda: postfix.delivered(name), "the message in the mailbox")


@pytest.mark.parametrize("mode", MODES)
def test_submission_of_herald(start, certificates, tmp_path, mode):
    """A heraldd whose submission has users; a name with what a URL writes otherwise."""
    relay = start.relay(submission=offers(certificates, tls=mode, users=users_file(start.directory, **{"ann/xy": PASSWORD})))
    done = send(*options(certificates, url(mode, relay.port, user="ann%2fx%79", host="127.0.0.1"), "--password", f"file:{secret(tmp_path)}"))
    assert done.returncode == OK, done.stderr
    relay.sink.wait_messages(1)
    assert "sasl_username=ann/x y" in relay.herald.log() or "ann/xy" in relay.herald.log()
    assert not leaked(done, "ann/xy", PASSWORD)


# --- RULES V: certificates

@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("mode", MODES)
def test_bad_certificate(certificates, postfix, mode, name):
    done = send(*options(certificates, url(mode, postfix.ports[mode, name], user=None), "--subject", "no"))
    assert done.returncode == UNAVAILABLE, done
    assert re.search(BAD[name], told(done), re.I)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("mode", MODES)
def test_bad_certificate_nothing_in_clear(start, certificates, tmp_path, mode, name):
    sink = tls_sink(start, certificates, mode, name)
    done = send(*options(certificates, url(mode, sink.port), "--password", f"file:{secret(tmp_path)}"))
    assert done.returncode == UNAVAILABLE, done
    assert verbs_in_clear(sink) in (["EHLO", "STARTTLS"], [])
    assert not sink.messages and not [line for session in sink.sessions for is_secure, line in session.commands if is_secure]


@pytest.fixture(scope="module")
def matrix(start_module):
    """The certificates of RULES V1-V24, and a machine that knows their hosts."""
    made = certs_matrix.Matrix(start_module.directory)
    made.hosts = os.path.join(start_module.directory, "hosts")
    with open(made.hosts, "w") as file:
        file.writelines(f"127.0.0.1 {row.host}\n" for row in certs_matrix.ROWS)
    return made


OWN_HOSTS = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'


@pytest.mark.filterwarnings("ignore")            # TLS 1.0 and SHA-1 are what is tested
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("row", [row for row in certs_matrix.ROWS if not row.pin], ids=lambda row: f"{row.ident} {row.what}")
def test_certificates(start, matrix, row, mode):
    """V1-V24: with the right one the mail goes out, with any other nothing is sent."""
    sink = start.py_sink(tls=mode, context=matrix.context(row))
    done = subprocess.run([need("unshare"), "--mount", "sh", "-c", OWN_HOSTS, "sh", matrix.hosts, program("herald"), "send", *ADDRESSES,
                           "--server", f"{MODES[mode]}://{row.host}:{sink.port}", "--ca-file", matrix.ca], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT)
    if row.verified == "verified":
        assert done.returncode == OK and len(sink.messages) == 1, done
        return
    assert done.returncode == UNAVAILABLE and row.verified in told(done), done
    assert verbs_in_clear(sink) == (["EHLO", "STARTTLS"] if mode == "starttls" else [])
    assert not [line for session in sink.sessions for is_secure, line in session.commands if is_secure]


def test_unknown_authority_without_ca_file(postfix):
    """The system's authorities do not know the test's."""
    done = send("--server", url("implicit", postfix.ports["implicit", "no AUTH"], user=None))
    assert done.returncode == UNAVAILABLE


def test_authority_file_is_missing(postfix):
    done = send("--server", url("implicit", postfix.ports["implicit", "no AUTH"], user=None), "--ca-file", "/nonexistent")
    assert done.returncode == UNAVAILABLE and "/nonexistent" in told(done)


# --- RULES T: STARTTLS that is not to be had

def tls_sink(start, certificates, mode, name="good", **keys):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.path(name))
    return start.py_sink(tls=mode, context=context, users={USER: PASSWORD}, **keys)


def verbs_in_clear(sink):
    return [line.split()[0].decode().upper() for session in sink.sessions for is_secure, line in session.commands if not is_secure]


def refused(start, certificates, tmp_path, sink):
    done = send(*options(certificates, url("starttls", sink.port), "--password", f"file:{secret(tmp_path)}", "--debug"))
    assert done.returncode in (UNAVAILABLE, TEMPFAIL), done
    assert set(verbs_in_clear(sink)) <= {"EHLO", "STARTTLS", "QUIT"}, verbs_in_clear(sink)
    assert not sink.messages and not leaked(done, USER, PASSWORD)
    assert b"not sent to anybody" in done.stderr
    return done


def test_starttls_is_not_offered(start, certificates, tmp_path):
    """T7, O_1: AUTH is offered in clear, and is not used."""
    sink = start.py_sink(users={USER: PASSWORD})
    done = refused(start, certificates, tmp_path, sink)
    assert done.returncode == UNAVAILABLE and b"STARTTLS: not offered" in done.stderr
    assert "STARTTLS" not in verbs_in_clear(sink)


def test_no_ehlo(start, certificates, tmp_path):
    """T7, D_1: no way around by HELO."""
    sink = start.py_sink(replies={"EHLO": b"502 5.5.1 what?"})
    assert refused(start, certificates, tmp_path, sink).returncode == UNAVAILABLE


@pytest.mark.parametrize("reply,code", [(b"502 5.5.1 no", UNAVAILABLE), (b"454 4.7.0 later", TEMPFAIL), (b"354 go", UNAVAILABLE), (b"250 ok", UNAVAILABLE),
                                        (b"220-go\r\n220 ahead", UNAVAILABLE), (b"421 4.3.2 bye", TEMPFAIL),
                                        (b"220 go\r\n250-x\r\n250 AUTH LOGIN", UNAVAILABLE), (b"220 go\r\n235 welcome", UNAVAILABLE)],
                         ids=["502", "454", "354", "250", "two lines", "421", "injected EHLO", "injected 235"])
def test_starttls_is_refused(start, certificates, tmp_path, reply, code):
    """T6, T7, T8."""
    sink = tls_sink(start, certificates, "starttls", replies={"STARTTLS": reply})
    done = refused(start, certificates, tmp_path, sink)
    assert done.returncode == code
    assert not [line for session in sink.sessions for is_secure, line in session.commands if is_secure]


@pytest.mark.parametrize("octets", [b"500 5.5.1 what?\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28", b""],
                         ids=["500", "http", "alert", "closed"])
@pytest.mark.parametrize("mode", MODES)
def test_no_handshake(start, certificates, tmp_path, mode, octets):
    """T11: behind the 220, or instead of TLS from the start."""
    def serve(sink):
        sock, _ = sink.listener.accept()
        with sock:
            if mode == "starttls":
                sock.sendall(b"220 x\r\n")
                sock.recv(1000)
                sock.sendall(b"250-x\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n")
                assert sock.recv(1000) == b"STARTTLS\r\n"
                sock.sendall(b"220 go\r\n")
            heard.append(sock.recv(65536))               # the ClientHello
            sock.sendall(octets)
            if octets:
                heard.append(sock.recv(65536))
    heard = []
    sink = Bare(serve)
    done = send(*options(certificates, url(mode, sink.port), "--password", f"file:{secret(tmp_path)}"))
    sink.thread.join(TIMEOUT)
    assert done.returncode == UNAVAILABLE and "TLS: " in told(done), done
    assert all(not part or part[0] in (0x15, 0x16) for part in heard), "nothing but TLS"


class Bare:
    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run, args=(serve,), daemon=True)
        self.thread.start()

    def _run(self, serve):
        try:
            serve(self)
        except OSError:
            pass
        self.listener.close()


def test_clear_greeting_where_tls_was_to_be(start, certificates):
    sink = start.py_sink()
    done = send(*options(certificates, url("implicit", sink.port, user=None)))
    assert done.returncode == UNAVAILABLE and "TLS: " in told(done)
    assert verbs_in_clear(sink) == [] or all(not verb.isalpha() for verb in verbs_in_clear(sink))


def test_end_without_close_notify(start, certificates):
    """V27: once the 250 was said the mail is taken, however the connection ends."""
    def serve(bare):
        sock, _ = bare.listener.accept()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificates.path("good"))
        tls = context.wrap_socket(sock, server_side=True)
        tls.sendall(b"220 x\r\n")
        for reply in (b"250 x\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            tls.recv(1000)
            tls.sendall(reply)
        text = b""
        while not text.endswith(b"\r\n.\r\n"):
            text += tls.recv(65536)
        tls.sendall(b"250 taken\r\n" if ends_well[0] else b"25")
        os.close(tls.detach())
    for ends_well, code in (([True], OK), ([False], TEMPFAIL)):
        sink = Bare(serve)
        done = send(*options(certificates, url("implicit", sink.port, user=None)))
        sink.thread.join(TIMEOUT)
        assert done.returncode == code, done


# --- RULES A5: what the server makes of AUTH

@pytest.mark.parametrize("reply", [b"334 !!!not base64!!!", b"250 what", b"435 4.7.0 later", b"454 4.7.0 temporary"], ids=["bad64", "250", "435", "454"])
def test_odd_answer_to_auth(start, certificates, tmp_path, reply):
    sink = tls_sink(start, certificates, "implicit", replies={"AUTH": reply})
    sink.users = {}
    done = send(*options(certificates, url("implicit", sink.port), "--password", f"file:{secret(tmp_path)}", "--debug"))
    assert done.returncode in (UNAVAILABLE, TEMPFAIL), done
    assert not sink.messages and not leaked(done, USER, PASSWORD)
    assert sum(len(session.commands) for session in sink.sessions) < 10


@pytest.mark.parametrize("mechanism,said", [("PLAIN", 2), ("LOGIN", 1)])
def test_server_repeats_the_secret(start, certificates, tmp_path, mechanism, said):
    """Some quote the line that they do not like: it is not shown."""
    sink = tls_sink(start, certificates, "implicit", mechanisms=mechanism)
    for form in (PASSWORD, forms(USER, PASSWORD)[said]):
        sink.users, sink.replies["AUTH"] = {}, f"535 5.7.8 bad: {form}".encode()
        done = send(*options(certificates, url("implicit", sink.port), "--password", f"file:{secret(tmp_path)}", "--debug"))
        assert done.returncode == NOPERM, done
        assert not leaked(done, USER, PASSWORD)
        assert b"repeat the secret" in done.stderr


@pytest.mark.parametrize("mechanisms,code", [("PLAIN LOGIN CRAM-MD5", UNAVAILABLE), ("PLAIN SCRAM-SHA-256", None)])
def test_password_in_clear_beyond_the_loopback(start, tmp_path, mechanisms, code):
    """smtp:// to another machine: the password itself goes to nobody; to the loopback it may."""
    world = World(start.directory)
    start.running.append(world)
    with world.outside():
        sink = PySink(users={USER: PASSWORD}, mechanisms=mechanisms, address=SERVER)
    start.running.append(sink)
    done = in_world(world, "--server", f"smtp://{USER}@{SERVER}:{sink.port}", "--password", f"file:{secret(tmp_path)}")
    assert done.returncode == code if code else done.returncode != OK, done
    commands = [line for session in sink.sessions for _, line in session.commands if line.startswith(b"AUTH")]
    assert commands == [] if code else all(line.startswith(b"AUTH SCRAM-SHA-256 ") for line in commands)
    assert not sink.messages


def in_world(world, *arguments):
    return subprocess.run([*world.prefix, program("herald"), "send", *ADDRESSES, *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT)


def test_odd_mechanisms(start, certificates, tmp_path):
    """A5: of sixty one is known."""
    names = [f"X-{number}" for number in range(30)] + ["LOGIN"] + [f"GS2-{number}" for number in range(30)]
    sink = tls_sink(start, certificates, "implicit", mechanisms=" ".join(names))
    done = send(*options(certificates, url("implicit", sink.port), "--password", f"file:{secret(tmp_path)}"))
    assert done.returncode == OK and [line.split()[1] for _, line in sink.sessions[0].commands if line.startswith(b"AUTH")] == [b"LOGIN"]


def test_password_in_clear_to_the_loopback(start, tmp_path):
    sink = start.py_sink(users={USER: PASSWORD})
    done = send("--server", f"smtp://{USER}@127.0.0.1:{sink.port}", "--password", f"file:{secret(tmp_path)}")
    assert done.returncode == OK and sink.messages[0].session.user == USER


# --- where the password is

@pytest.fixture
def server(start, certificates):
    """A server that knows USER; its options."""
    sink = tls_sink(start, certificates, "implicit")
    sink.options = options(certificates, url("implicit", sink.port))
    return sink


def test_password_of_the_environment(server):
    done = send(*server.options, "--password", "env:HERALD_TEST_SECRET", env={"HERALD_TEST_SECRET": PASSWORD})
    assert done.returncode == OK and server.messages[0].session.user == USER


def test_password_of_a_command(server, tmp_path):
    script = tmp_path / "program"
    script.write_text('#!/bin/sh\n[ $# = 1 ] && cat "$1"\n')
    script.chmod(0o755)
    done = send(*server.options, "--password", f"command:{script} {secret(tmp_path)}")
    assert done.returncode == OK and server.messages[0].session.user == USER


@pytest.mark.parametrize("source,text,mode", [("file:{path}", PASSWORD, 0o644), ("file:{path}", "", 0o600), ("file:{path}", "a\nb\n", 0o600),
                                              ("file:{path}", "x" * 5000, 0o600), ("file:{path}.none", PASSWORD, 0o600), ("command:/bin/false", "", 0o600),
                                              ("command:relative", "", 0o600), ("env:HERALD_TEST_NONE", "", 0o600), ("env:HERALD_TEST_LINES", "", 0o600),
                                              ("env:HERALD_TEST_EMPTY", "", 0o600)],
                         ids=["readable", "empty", "two lines", "long", "missing", "command fails", "no command", "no variable", "variable of two lines", "empty variable"])
def test_no_password_there(server, tmp_path, source, text, mode):
    """Among them a file that others may read."""
    path = secret(tmp_path, text, mode)
    done = send(*server.options, "--password", source.format(path=path), env={"HERALD_TEST_LINES": "a\nb", "HERALD_TEST_EMPTY": ""})
    assert done.returncode in (NOINPUT, 65), done
    assert told(done) and not server.sessions
    assert PASSWORD not in done.stderr.decode()


@pytest.mark.parametrize("bare", [PASSWORD, "hunter2", "", "File:x", "x:y"])
def test_bare_password(server, bare):
    """On the command line all users of the machine see it: refused, and not repeated."""
    done = send(*server.options, "--password", bare)
    assert done.returncode == USAGE and not server.sessions
    assert "file:PATH" in told(done) and (not bare or bare not in done.stderr.decode())


@pytest.mark.parametrize("userinfo", ["ann:hunter2@", "ann:hunter2/@", "ann:@", ":hunter2@", "ann:hun@ter2@", "ann@x:hunter2@"])
def test_password_in_the_url(certificates, userinfo):
    done = send("--server", f"smtps://{userinfo}localhost:{free_port()}")
    assert done.returncode == USAGE and "--password file:PATH" in told(done)
    assert "hunter2" not in done.stderr.decode() and "ter2" not in done.stderr.decode()


@pytest.mark.parametrize("where", ["smtps://ann:hunter2", "smtps://ann@host:hunter2", "ann:hunter2@localhost", "smtps:ann:hunter2@localhost"])
def test_what_may_be_a_password_is_not_repeated(where):
    done = send("--server", where)
    assert done.returncode == USAGE and "hunter2" not in told(done)


def at_terminal(server, typed):
    terminal = Terminal(program("herald"), "send", *ADDRESSES, *server.options, "--debug")
    terminal.wait_shown(f"Password of {USER} at localhost: ".encode())
    terminal.type(typed)
    return terminal.wait(), terminal.shown.decode()


def test_password_of_the_terminal(server):
    code, shown = at_terminal(server, PASSWORD.encode() + b"\n")
    assert code == OK, shown
    assert server.messages[0].session.user == USER
    assert PASSWORD not in shown and "C: AUTH PLAIN ***" in shown


@pytest.mark.parametrize("typed", [b"\n", b"half\x03", b"\x04"], ids=["nothing", "ctrl-c", "ctrl-d"])
def test_no_password_at_the_terminal(server, typed):
    code, shown = at_terminal(server, typed)
    assert code == NOINPUT and "no password was given" in shown and "half" not in shown
    assert not server.sessions


def test_ended_at_the_terminal(server):
    """As timeout(1) does: what is typed next is seen again."""
    terminal = Terminal(program("herald"), "send", *ADDRESSES, *server.options)
    terminal.wait_shown(b"Password of ")
    assert not termios.tcgetattr(terminal.fd)[3] & termios.ECHO
    os.kill(terminal.pid, signal.SIGTERM)
    wait_until(lambda: termios.tcgetattr(terminal.fd)[3] & termios.ECHO, "the terminal echoes")
    assert terminal.wait() == -signal.SIGTERM and not server.sessions


def test_no_terminal(server):
    done = subprocess.run([program("herald"), "send", *ADDRESSES, *server.options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, start_new_session=True, timeout=TIMEOUT)
    assert done.returncode == USAGE and "--password file:PATH" in told(done)
    assert not server.sessions


