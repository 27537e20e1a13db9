"""Servers that break the rules: rows K, T9 and L1 of herald fetch, as the whole program behaves."""

import base64
import os
import re
import ssl

import pytest

from lib.fetching import PASSWORD, USER, Fetcher
from lib.pop3_server import Drop, Pop3Server, multiline

MAIL = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: one\r\n\r\nhello\r\n"
SECRETS = (PASSWORD.encode(), base64.b64encode(b"\0" + USER.encode() + b"\0" + PASSWORD.encode()), USER.encode())


@pytest.fixture
def serve(start):
    def one(messages=(MAIL,), **keywords):
        server = Pop3Server(messages, user=USER, password=PASSWORD, **keywords)
        start.running.append(server)
        return server
    return one


@pytest.fixture
def fetch(tmp_path, certificates):
    return Fetcher(str(tmp_path), certificates.ca)


def secure(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.path("good"))
    return context


def plain(server):
    return f"pop3://{USER}@{server.host}", "--insecure"


def nothing_said(server):
    """No secret went out in clear."""
    for session in server.sessions:
        assert not any(secret in session.in_clear() for secret in SECRETS), session.commands
        assert not {"USER", "PASS", "AUTH", "APOP"} & {line.split(b" ")[0].decode() for secure, line in session.commands if not secure}


# --- the dialogue as it is to be

def test_user_and_pass(serve, fetch):
    server = serve(capabilities=("TOP", "UIDL", "USER"))
    assert "hello" in fetch.text(*plain(server))
    assert server.session.verbs() == ["CAPA", "USER", "PASS", "CAPA", "STAT", "LIST", "UIDL", "RETR", "QUIT"]


def test_sasl_plain(serve, fetch):
    server = serve()
    assert "hello" in fetch.text(*plain(server))
    assert "PASS" not in server.session.verbs() and "AUTH" in server.session.verbs()


@pytest.mark.parametrize("tls", ["stls", "implicit"])
def test_under_tls(serve, fetch, certificates, tls):
    server = serve(tls=tls, context=secure(certificates))
    scheme, option = ("pop3", ["--starttls"]) if tls == "stls" else ("pop3s", [])
    assert "hello" in fetch.text(f"{scheme}://{USER}@localhost:{server.port}", *option)
    nothing_said(server)


def test_one_after_the_other(serve, fetch):
    """Without PIPELINING nothing is said before the answer."""
    server = serve([MAIL] * 5)
    fetch(*plain(server), "--delete")
    assert not server.session.pipelined and server.messages == {}


def test_pipelined(serve, fetch):
    server = serve([MAIL] * 20, capabilities=("TOP", "UIDL", "USER", "PIPELINING"))
    assert len(fetch.json(*plain(server), "--delete")["messages"]) == 20
    assert server.messages == {}
    fetch(*plain(server), "--list")


def test_apop_never(serve, fetch):
    server = serve(replies={"CONNECT": b"+OK ready <1896.697170952@dbc.example.org>"})
    fetch(*plain(server))
    assert "APOP" not in server.session.verbs()


# --- K1: UIDL

UIDLS = [b"1\r\n", b"1 " + b"x" * 71 + b"\r\n", b"1 " + b"x" * 1000 + b"\r\n", b"1 a b\r\n", b"1 \xe4\xb8\xad\r\n", b"1 a\0b\r\n",
         b"1 first\r\n1 again\r\n", b"2 b\r\n", b"1 a\r\n2 b\r\n3 c\r\n"]


@pytest.mark.parametrize("lines", UIDLS)
def test_k1_bad_uidl(serve, fetch, lines):
    """Whatever it says: no crash, and nothing is forgotten that was not saved."""
    server = serve(replies={"UIDL": multiline(b"+OK", lines)})
    done = fetch(*plain(server), "--new", "--save-message", code=None)
    assert done.returncode in (0, 65, 69, 76), done.stderr
    if done.returncode == 0:
        assert fetch.files() == {"message-1.eml": MAIL}


def test_k1_uidl_without_end(serve, fetch):
    server = serve(replies={"UIDL": b"+OK\r\n1 " + b"x" * 1000000})
    fetch(*plain(server), "--new", code=76)


def test_k1_uidl_is_no_path(serve, fetch):
    server = serve(uidls={1: b"../../../../tmp/x"})
    fetch(*plain(server), "--new", "--save-message")
    fetch(*plain(server), "--new", "--save-message")
    assert fetch.files() == {"message-1.eml": MAIL}
    assert sorted(os.listdir(os.path.dirname(fetch.folder))) == ["saved", "state"]


def test_k1_same_uidl_twice(serve, fetch):
    """With --delete the server is not believed that both are the same."""
    server = serve([MAIL, MAIL.replace(b"one", b"two")], uidls={1: b"same", 2: b"same"})
    assert [one["subject"] for one in fetch.json(*plain(server), "--delete")["messages"]] == ["one", "two"]
    assert server.messages == {}


def test_k1_copies(serve, fetch):
    """With --new they are, as RFC 1939 has it; which is said, once."""
    server = serve([MAIL, MAIL], uidls={1: b"same", 2: b"same"})
    done = fetch(*plain(server), "--new", "--save-message")
    assert b"copies" in done.stderr and fetch.files() == {"message-1.eml": MAIL}
    assert fetch(*plain(server), "--new", "--save-message").stderr == b""
    assert fetch.files() == {"message-1.eml": MAIL} and len(server.messages) == 2


def test_k1_host_in_any_case(serve, fetch):
    """It is one account: what was saved is not new."""
    server = serve()
    for host in ("localhost", "LocalHost"):
        fetch(f"pop3://{USER}@{host}:{server.port}", "--insecure", "--new", "--save-message")
    assert fetch.files() == {"message-1.eml": MAIL}


def test_k1_reversed(serve, fetch):
    server = serve([MAIL, MAIL.replace(b"one", b"two")], replies={
        "LIST": multiline(b"+OK", b"2 70\r\n1 70\r\n"), "UIDL": multiline(b"+OK", b"2 b\r\n1 a\r\n")})
    answer = fetch.json(*plain(server))["messages"]
    assert [(one["number"], one["uidl"], one["subject"]) for one in answer] == [(1, "a", "one"), (2, "b", "two")]


@pytest.mark.parametrize("stat", [b"+OK 0 0", b"+OK 9 100", b"+OK 1 18446744073709551615"])
def test_k1_stat_says_something_else(serve, fetch, stat):
    """LIST counts."""
    server = serve(replies={"STAT": stat})
    assert len(fetch.json(*plain(server))["messages"]) == 1


# --- K2: STAT and LIST

@pytest.mark.parametrize("step,reply", [
    ("STAT", b"+OK"), ("STAT", b"+OK -1 5"), ("STAT", b"+OK x"), ("LIST", multiline(b"+OK", b"-1 5\r\n")),
    ("LIST", multiline(b"+OK", b"0 5\r\n")), ("LIST", multiline(b"+OK", b"18446744073709551616 5\r\n")),
    ("LIST", multiline(b"+OK", b"1 18446744073709551616\r\n")), ("LIST", multiline(b"+OK", b"1 -5\r\n")),
    ("LIST", multiline(b"+OK", b"1 5\r\n1 5\r\n")), ("LIST", multiline(b"+OK", b"4000000000 5\r\n")), ("LIST", b"+OK\r\n" + b"x" * 100000),
    ("LIST", b"no reply\r\n"), ("STAT", b"+OK 1 5\r\n+OK 2 6"),
])
def test_k2_bad_listing(serve, fetch, step, reply):
    server = serve(replies={step: reply})
    done = fetch(*plain(server), "--delete", code=None)
    assert done.returncode in (65, 69, 76) and done.stderr, (done.returncode, done.stderr)
    assert server.messages == {1: MAIL}


def test_k2_list_without_its_dot(serve, fetch):
    def cut(session, _):
        session.send(b"+OK\r\n1 70\r\n")
        raise Drop
    done = fetch(*plain(serve(replies={"LIST": cut})), code=69)
    assert b"closed" in done.stderr


def test_k2_too_many_messages(serve, fetch):
    """A list that would take all memory is refused before it does."""
    lines = b"".join(b"%d 1\r\n" % number for number in range(1, 1000001))
    fetch(*plain(serve(replies={"LIST": multiline(b"+OK", lines)})), "--list", code=76)


def test_k2_a_hundred_thousand_messages(serve, fetch):
    count = 100000
    server = serve(replies={
        "LIST": multiline(b"+OK", b"".join(b"%d 70\r\n" % number for number in range(1, count + 1))),
        "UIDL": multiline(b"+OK", b"".join(b"%d %070d\r\n" % (number, number) for number in range(1, count + 1)))})
    server.messages = {count: MAIL}
    answer = fetch.json(*plain(server), "--last", "--delete")
    assert [one["number"] for one in answer["messages"]] == [count] and server.messages == {}
    assert "hello" not in fetch.text(*plain(server), "--number", "7", code=65)


# --- K3: RETR

def cut_after(octets):
    def reply(session, _):
        session.send(octets)
        raise Drop
    return reply


CUTS = [b"", b"+OK", b"+OK\r\n", b"+OK\r\nFrom: a", b"+OK\r\n" + MAIL[:-1], b"+OK\r\n" + MAIL, b"+OK\r\n" + MAIL + b".", b"+OK\r\n" + MAIL + b".\r",
        b"+OK\r\n" + MAIL + b"-ERR what\r\n", b"+OK\r\n" + MAIL + b"\n.\n"]


@pytest.mark.parametrize("octets", CUTS)
def test_k3_cut(serve, fetch, octets):
    """Without the end nothing is saved, and nothing is deleted."""
    server = serve(replies={"RETR": cut_after(octets)})
    fetch(*plain(server), "--save-message", "--delete", code=69)
    assert fetch.files() == {} and server.messages == {1: MAIL}
    server.replies = {}
    fetch(*plain(server), "--save-message", "--delete")
    assert fetch.files() == {"message-1.eml": MAIL} and server.messages == {}


@pytest.mark.parametrize("content", [b"", b"\r\n", b"hello\r\n", b".\r\n", b"..\r\n.\r\n", b"a\nb\rc\r\n", b"\0\r\n\xff\r\n", b"\r\n.\r\n",
                                     b"x" * 100000 + b"\r\n", b"\n.\n.\r.\r\n"])
def test_k3_odd_content(serve, fetch, content):
    server = serve([content])
    fetch(*plain(server), "--save-message")
    assert fetch.files() == {"message-1.eml": content}


@pytest.mark.parametrize("capabilities", [("UIDL", "USER"), ("UIDL", "USER", "PIPELINING")])
@pytest.mark.parametrize("segments", [1, 2])
def test_k3_dot_not_stuffed(serve, fetch, segments, capabilities):
    """A message that ends too early for us: no later run deletes what was not seen of it."""
    def unstuffed(session, line):
        octets = b"+OK\r\n" + MAIL + b".\r\n", b"the rest of " + line + b"\r\n.\r\n"
        for part in octets if segments == 2 else [b"".join(octets)]:
            session.send(part)
        return b""
    server = serve([MAIL, MAIL], replies={"RETR": unstuffed}, capabilities=capabilities)
    for _ in range(3):
        fetch(*plain(server), "--delete", code=76)
        assert set(server.messages) == {1, 2}
    server.replies, server.messages = {}, {number: MAIL + b"the rest of %d\r\n" % number for number in (1, 2)}
    text = fetch.text(*plain(server), "--delete")
    assert "the rest of 1" in text and "the rest of 2" in text and server.messages == {}


def test_k3_refused(serve, fetch):
    """-ERR to one: the others come."""
    server = serve([MAIL, MAIL, MAIL], replies={"RETR": lambda _, line: b"-ERR it is \x1b[31mgone" if line == b"RETR 2" else None})
    done = fetch(*plain(server), "--save-message", "--delete", code=65)
    assert set(fetch.files()) == {"message-1.eml", "message-3.eml"} and set(server.messages) == {2}
    assert b"message 2: the server refuses it: it is \\x1b[31mgone" in done.stderr


def test_k3_stream_without_end(serve, fetch):
    """More than LIST said and than we take: it is left, and the server is."""
    sent = []

    def stream(session, _):
        session.send(b"+OK\r\n" + MAIL)
        for _ in range(4096):
            session.send(b"x" * 262142 + b"\r\n")
            sent.append(1)
        raise Drop
    server = serve(replies={"RETR": stream})
    done = fetch(*plain(server), "--max-size", "4M", "--save-message", "--delete", code=76)
    assert b"an end" in done.stderr and len(sent) < 200
    assert fetch.files() == {} and server.messages == {1: MAIL}


def test_k3_larger_than_listed(serve, fetch):
    """LIST has told less than comes: that message is left, the next one is taken."""
    large = MAIL + b"x" * 70000 + b"\r\n"
    server = serve([large, MAIL], replies={"LIST": multiline(b"+OK", b"1 10\r\n2 10\r\n")})
    done = fetch(*plain(server), "--max-size", "50K", "--save-message", "--delete", code=65)
    assert set(fetch.files()) == {"message-2.eml"} and set(server.messages) == {1} and b"message 1: left" in done.stderr


# --- K4: the greeting

@pytest.mark.parametrize("greeting,code", [
    (b"-ERR no", 69), (b"-ERR [IN-USE] busy", 75), (b"-ERR [LOGIN-DELAY] later", 75), (b"-ERR [SYS/TEMP] later", 75), (b"-ERR [SYS/PERM] never", 69),
    (b"220 SMTP here", 76), (b"", 76), (b"\0\0\0", 76), (b"+OK\r\n+OK", 76), (b"+OKAY", 76), (b"+OK " + b"x" * 5000, 76)])
def test_k4_greeting(serve, fetch, greeting, code):
    server = serve(replies={"CONNECT": greeting + b"\r\n"})
    done = fetch(*plain(server), code=code)
    assert done.stdout == b"" and done.stderr.startswith(b"herald: ")
    nothing_said(server)


@pytest.mark.parametrize("step", ["PASS", "AUTH"])
@pytest.mark.parametrize("reply,code", [(b"-ERR no", 77), (b"-ERR [AUTH] no", 77), (b"-ERR [IN-USE] x", 75), (b"-ERR [LOGIN-DELAY] x", 75),
                                        (b"-ERR [SYS/TEMP] x", 75)])
def test_k4_login(serve, fetch, step, reply, code):
    server = serve(capabilities=("USER",) if step == "PASS" else ("SASL PLAIN",), replies={step: reply})
    fetch(*plain(server), code=code)
    assert server.session.verbs().count(step) == 1


# --- K5: what is not offered

def test_k5_no_uidl(serve, fetch):
    server = serve(replies={"UIDL": b"-ERR no such command"})
    done = fetch(*plain(server), "--new", code=69)
    assert b"--all" in done.stderr and "RETR" not in server.session.verbs()
    done = fetch(*plain(server), "--delete", "--save-message")
    assert b"twice" in done.stderr and fetch.files() == {"message-1.eml": MAIL} and server.messages == {}


def test_k5_no_capa(serve, fetch):
    server = serve(replies={"CAPA": b"-ERR unknown"})
    assert "hello" in fetch.text(*plain(server))
    assert "USER" in server.session.verbs()


def test_k5_no_top(serve, fetch):
    server = serve([MAIL, MAIL], replies={"TOP": b"-ERR unknown"})
    done = fetch(*plain(server), "--list", code=65)
    assert done.stderr.count(b"refuses its header") == 2


@pytest.mark.parametrize("step", ["CAPA", "TOP"])
def test_k5_lines_without_end(serve, fetch, step):
    sent = []

    def stream(session, _):
        session.send(b"+OK\r\n")
        for _ in range(10000):
            session.send(b"X: y\r\n" * 10000)
            sent.append(1)
        raise Drop
    done = fetch(*plain(serve(replies={step: stream})), "--list", code=76)
    assert done.stderr and len(sent) < 2000


# --- K6: tests/unit/test_fetch_session.c

# --- K7: the end (kills: test_fetch_kill.py)

@pytest.mark.parametrize("quit_reply,code", [(b"-ERR some are still there", 69), (Drop, 69), (b"what", 76)])
def test_k7_quit_without_its_word(serve, fetch, quit_reply, code):
    """Not deleted: DELE again in the next run, and nothing is saved again."""
    server = serve([MAIL, MAIL], replies={"QUIT": cut_after(b"") if quit_reply is Drop else quit_reply})
    done = fetch(*plain(server), "--delete", "--save-message", code=code)
    assert b"may be there still" in done.stderr and set(server.messages) == {1, 2}
    server.replies = {}
    text = fetch.text(*plain(server), "--delete", "--save-message")
    assert "Deleted: 2 messages" in text and server.messages == {}
    assert server.sessions[1].verbs()[-3:] == ["DELE", "DELE", "QUIT"]
    assert fetch.files() == {"message-1.eml": MAIL, "message-2.eml": MAIL}


@pytest.mark.parametrize("kept", [MAIL, MAIL + b"another\r\n"])
def test_k7_uidl_of_another(serve, fetch, kept):
    """The reply to QUIT was lost, and then another message has the unique-id: it is not deleted unread."""
    server = serve(replies={"QUIT": cut_after(b"")})
    fetch(*plain(server), "--delete", code=69)
    server.replies, server.messages = {}, {1: kept}
    text = fetch.text(*plain(server), "--delete")
    assert "Deleted: 1 message" in text and server.messages == {}
    assert ("another" in text) == (kept != MAIL)


def test_k7_dele_refused(serve, fetch):
    server = serve(replies={"DELE": b"-ERR not now"})
    done = fetch(*plain(server), "--delete", "--save-message", code=75)
    assert b"refuses to delete it: not now" in done.stderr
    server.replies = {}
    fetch(*plain(server), "--delete", "--save-message")
    assert server.messages == {} and fetch.files() == {"message-1.eml": MAIL}


def test_k7_one_run_at_a_time(serve, fetch):
    """Two that remember the same account would save the same mail twice."""
    second = []

    def meanwhile(*_):
        if not second:
            second.append(fetch(*plain(server), "--new", "--save-message", code=None))
    server = serve(replies={"RETR": meanwhile})
    fetch(*plain(server), "--new", "--save-message")
    assert second[0].returncode == 75 and second[0].stderr, second
    assert fetch.files() == {"message-1.eml": MAIL}


# --- K8: passwords

@pytest.mark.parametrize("password", ["a b", " lead", "trail ", "%s%n", "\u00fc\u4e2d", "\"\\"])
@pytest.mark.parametrize("capability", ["USER", "SASL PLAIN"])
def test_k8_password(serve, fetch, password, capability):
    server = serve(capabilities=("TOP", "UIDL", capability))
    server.password = password.encode()
    fetch.password = password
    assert "hello" in fetch.text(*plain(server))


@pytest.mark.parametrize("password", ["", "a\rb", "a\nb"])
def test_k8_no_password(serve, fetch, password):
    server = serve()
    fetch.password = "x" + PASSWORD
    done = fetch(*plain(server), code=None, SECRET=password)
    assert done.returncode in (64, 65, 77, 78) and server.sessions == []


# --- T9: STLS

def stls(server):
    return f"pop3://{USER}@localhost:{server.port}", "--starttls"


@pytest.mark.parametrize("replies,code", [
    ({"STLS": b"-ERR no TLS"}, 69),
    ({"STLS": b"-ERR \x1b[31mred"}, 69),
    ({"STLS": b"+OK\r\n+OK\r\nSASL PLAIN\r\n.\r\n"}, 76),          # B: what was said in clear is not taken for the answer under TLS
    ({"STLS": b"+OK\r\ngarbage"}, 76),
    ({"CAPA": multiline(b"+OK", b"USER\r\nSASL PLAIN\r\n")}, 69),   # O: not listed
    ({"CAPA": b"-ERR hidden", "STLS": b"-ERR no"}, 69),             # O: CAPA hidden
    ({"CONNECT": b"+OK ready\r\n1 120\r\n2 200\r\n.\r\n"}, 76),     # unsolicited
    ({"CONNECT": b"+OK ready\r\n+OK logged in\r\n"}, 76),
])
def test_t9_nothing_in_clear(serve, fetch, certificates, replies, code):
    server = serve(tls="stls", context=secure(certificates), replies=replies)
    done = fetch(*stls(server), code=None)
    assert done.returncode == code or (code == 76 and done.returncode == 69), (done.returncode, done.stderr)
    assert done.stdout == b"" and b"\x1b" not in done.stderr
    nothing_said(server)


def test_t9_accepted_and_then_in_clear(serve, fetch):
    """+OK to STLS, but no TLS comes: O_4."""
    def pretend(session, _):
        session.send(b"+OK begin\r\n")
        session.sock.recv(1000)
        session.send(b"+OK USER\r\n.\r\n")
        raise Drop
    server = serve(tls="stls", replies={"STLS": pretend})
    assert fetch(*stls(server), code=69).stdout == b""
    nothing_said(server)


def test_t9_offers_are_asked_for_again(serve, fetch, certificates):
    """What was offered in clear is forgotten."""
    def offers(session, _):
        return multiline(b"+OK", b"STLS\r\nSASL PLAIN\r\nUIDL\r\n" if not isinstance(session.sock, ssl.SSLSocket) else b"USER\r\nUIDL\r\n")
    server = serve(tls="stls", context=secure(certificates), replies={"CAPA": offers})
    fetch(*stls(server))
    assert server.session.verbs()[:5] == ["CAPA", "STLS", "CAPA", "USER", "PASS"]


# --- L1: what strangers wrote

FAKES = [b"\x1b[31mred\x1b[0m", b"%n%s%s%s", b"a\rherald: fake", b"x" * 1500, b"\xff\xfe\x80", "\u202eevil".encode(), b"\x9b31m", b"nul\0nul"]


@pytest.mark.parametrize("fake", FAKES)
@pytest.mark.parametrize("step", ["CONNECT", "AUTH", "RETR", "good CONNECT"])
def test_l1_words_of_the_server(serve, fetch, step, fake):
    """One line each, without controls, on standard error and output alike, with --debug too."""
    good = step.startswith("good")
    server = serve(replies={step.split()[-1]: (b"+OK " if good else b"-ERR ") + fake})
    done = fetch(*plain(server), "--debug", code=None)
    assert done.returncode in ((0, 76) if good else (65, 69, 76, 77)), done.stderr
    for text in (done.stdout, done.stderr):
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", text) and b"\xe2\x80\xae" not in text and b"\xc2\x9b" not in text, text
        text.decode()
    for line in done.stderr.splitlines():
        assert re.match(rb"herald: |[CS*]: ?|\* ", line), line


@pytest.mark.parametrize("fake", FAKES + [b"=?utf-8?q?a=0Aherald:_fake=1B[31m?=", b"x" * 65536])
def test_l1_subject(serve, fetch, fake):
    server = serve([b"From: \"" + fake + b"\" <a@example.org>\r\nSubject: " + fake + b"\r\n\r\nhello\r\n"])
    for options in ([], ["--list"]):
        text = fetch(*plain(server), *options, code=None).stdout
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", text) and b"\xe2\x80\xae" not in text, text
        assert not re.search(rb"(?m)^herald: fake", text)
        assert len(text.splitlines()) == (4 if options else len(text.splitlines()))
    fetch.json(*plain(server), code=None)
