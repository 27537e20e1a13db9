"""herald-sendmail (herald-sendmail(8)): every message is queued and 0 is said, or it is not and the exit code says why."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from lib import net
from lib.daemon import program, sanitized
from lib.net import TIMEOUT, need, wait_until
from lib.smtp import message_id
from lib.syslog import Syslog

OK, USAGE, DATAERR, NOINPUT, NOUSER, NOHOST, UNAVAILABLE, IOERR, TEMPFAIL, NOPERM = 0, 64, 65, 66, 67, 68, 69, 74, 75, 77
PROGRAM = "herald-sendmail"


def environment(submit, control=None, **more):
    own = {"HERALD_SUBMIT_SOCKET": submit, "HERALD_CONTROL_SOCKET": control or submit + ".none"}
    return {**os.environ, **own, **more}


class Caller:
    """Runs herald-sendmail against the sockets of one herald."""

    def __init__(self, relay):
        self.relay = relay
        self.submit = os.path.join(relay.herald.runtime, "submit.sock")
        self.environment = environment(self.submit, relay.herald.control)
        self.path = program(PROGRAM)

    def __call__(self, *arguments, text=b"Subject: x\n\nbody\n", prefix=(), name=None, **keywords):
        words = [*prefix, self.path, *arguments]
        if name is not None:
            keywords["executable"], words[0] = self.path, name
        keywords.setdefault("env", self.environment)
        if prefix and prefix[0].endswith("strace"):          # under which a build with sanitizers cannot look for leaks
            keywords["env"] = {**keywords["env"], "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        if "stdin" not in keywords:
            keywords["input"] = text
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT * 3, **keywords)

    def settled(self):
        """How many messages have arrived, when no more are on their way."""
        self.relay.herald.wait_empty()
        return len(self.relay.sink.messages)

    def good(self, *arguments, **keywords):
        """The message that arrived."""
        before = self.settled()
        done = self(*arguments, **keywords)
        assert done.returncode == OK, done
        return self.relay.sink.wait_messages(before + 1)[before]


def body_of(taken):
    return taken.content.split(b"\r\n\r\n", 1)[1]


def header_of(taken):
    return taken.without_received().split(b"\r\n\r\n", 1)[0] + b"\r\n"


@pytest.fixture(scope="module")
def caller(start_module):
    return Caller(start_module.relay(submission={"max_errors": 1000}))


# --- messages

def test_recipients_of_the_command_line(caller):
    taken = caller.good("-i", "-f", "ann@example.org", "bob@example.net", "carl@example.net", text=b"Subject: x\n\none\n.\ntwo")
    assert (taken.sender, taken.recipients) == ("ann@example.org", ["bob@example.net", "carl@example.net"])
    assert body_of(taken) == b"one\r\n.\r\ntwo\r\n"


def test_recipients_of_the_header_and_the_command_line(caller):
    text = b"To: Bob <bob@example.net>,\n carl@example.net (Carl)\nCc: friends: dora@example.net;\nBcc: eve@example.net,\n\tfred@example.net\nX: y\n\nbody\n"
    taken = caller.good("-t", "-fann@example.org", "gus@example.net", "bob@example.net", text=text)
    assert sorted(taken.recipients) == [f"{name}@example.net" for name in ("bob", "carl", "dora", "eve", "fred", "gus")]
    header = header_of(taken)
    assert b"eve" not in header and b"fred" not in header and b"bcc" not in header.lower()
    assert b"X: y\r\n" in header and b"To: Bob <bob@example.net>,\r\n carl@example.net (Carl)\r\n" in header


def test_resent_fields_take_the_place_of_the_others(caller):
    text = b"Resent-To: bob@example.net\nResent-Bcc: carl@example.net\nTo: never@example.net\n\nbody\n"
    taken = caller.good("-ti", "-fann@example.org", text=text)
    assert sorted(taken.recipients) == ["bob@example.net", "carl@example.net"]
    assert b"Resent-Bcc" not in taken.content and b"To: never@example.net\r\n" in taken.content


def test_a_lone_dot_ends_the_message(caller):
    taken = caller.good("-fann@example.org", "bob@example.net", text=b"Subject: x\n\none\n..\n. \n.\ntwo\n")
    assert body_of(taken) == b"one\r\n..\r\n. \r\n"


def test_the_folded_field_is_no_recipient(caller):
    """RULES H1: a field that is folded into another is part of that one."""
    before = caller.settled()
    done = caller("-t", "-fann@example.org", text=b"To: bob@example.net\n\tBcc: carl@example.net\n\nx")
    assert done.returncode == OK and re.fullmatch(rb"sendmail: only the first .*carl.*\n", done.stderr), done
    assert caller.relay.sink.wait_messages(before + 1)[before].recipients == ["bob@example.net"]


@pytest.mark.parametrize("name, encoded", [("x\r\nBcc: eve@b", b"=?utf-8?q?x=0D=0ABcc=3A_eve=40b?="),
                                           ("Zoë", "=?utf-8?q?Zo=C3=AB?=".encode()), ("Ann B. Smith", b'"Ann B. Smith"')])
def test_full_name(caller, name, encoded):
    """RULES H3: what -F says cannot become a field."""
    taken = caller.good("-F", name, "-fann@example.org", "bob@example.net")
    assert b"From: " + encoded + b" <ann@example.org>\r\n" in header_of(taken)
    assert taken.recipients == ["bob@example.net"]


def test_name_of_the_environment(caller):
    taken = caller.good("-fann@example.org", "bob@example.net", env={**caller.environment, "NAME": "Ann From Environment"})
    assert b"From: Ann From Environment <ann@example.org>\r\n" in header_of(taken)


def test_from_of_the_message_stays(caller):
    taken = caller.good("-F", "Other", "-fann@example.org", "bob@example.net", text=b"From: Me <me@example.org>\n\nbody\n")
    assert b"From: Me <me@example.org>\r\n" in header_of(taken) and b"Other" not in taken.content


@pytest.mark.parametrize("text, body", [(b"x" * 100000 + b"\n", b"x" * 100000 + b"\r\n"), (b"10%\r20%\r\ndone\n", b"10%\r20%\r\ndone\r\n"),
                                        (b"a\0b\n", b"a\0b\r\n"), ("é".encode() * 1000, "é".encode() * 1000 + b"\r\n")],
                         ids=["long line", "bare CR", "NUL", "long line of UTF-8"])
def test_what_smtp_cannot_carry_arrives_all_the_same(caller, text, body):
    """As quoted-printable: each octet comes back."""
    import email
    taken = caller.good("-i", "-fann@example.org", "bob@example.net", text=b"Subject: x\n\n" + text)
    assert max(map(len, taken.content.split(b"\r\n"))) <= 998
    assert email.message_from_bytes(taken.content).get_payload(decode=True) == body


def test_empty_sender(caller):
    assert caller.good("-f", "<>", "bob@example.net").sender == ""
    assert caller.good("-f", "", "bob@example.net").sender == ""


def test_eight_bits_and_utf8(caller):
    taken = caller.good("-i", "-fann@example.org", "bob@example.net", text="Subject: x\n\nGrüße\n".encode())
    assert body_of(taken) == "Grüße\r\n".encode()
    mail = [line for _, line in taken.session.commands if line.startswith(b"MAIL")][-1]
    assert b"BODY=8BITMIME" in mail


def test_names_of_this_machine(caller):
    """What has no domain gets the daemon's; From has the name of the account, or that of -F."""
    taken = caller.good("-t", "-F", "Nightly Job", text=b"To: root, Bob <bob@example.net>\nSubject: x\n\nbody\n")
    assert taken.sender == "root@herald.example.org" and taken.recipients == ["root@herald.example.org", "bob@example.net"]
    header = header_of(taken)
    assert b"From: Nightly Job <root@herald.example.org>\r\n" in header and b"To: root@herald.example.org, Bob <bob@example.net>\r\n" in header
    assert len(re.findall(rb"^(?:Date|Message-ID): .+\r$", header, re.M)) == 2


def test_verbose_tells_the_queue_id(caller):
    done = caller("-v", "-fann@example.org", "bob@example.net")
    assert done.returncode == OK and re.fullmatch(rb"250 2\.0\.0 .*queued as [0-9A-F]+\n", done.stdout) and done.stderr == b""


def test_silence_otherwise(caller):
    done = caller("-fann@example.org", "bob@example.net")
    assert (done.returncode, done.stdout, done.stderr) == (OK, b"", b"")


# --- what is refused before the daemon is asked

@pytest.mark.parametrize("code, arguments, text", [
    (USAGE, (), b"x"), (USAGE, ("-t",), b"Subject: x\n\n"), (USAGE, ("--", "-bs"), b"x"), (USAGE, ("-f", "-x", "bob@example.net"), b"x"),
    (USAGE, ("-bd",), b""), (USAGE, ("-bD", "-q15m"), b""), (USAGE, ("-N", "sometimes", "bob@example.net"), b"x"),
    (DATAERR, ("-f", "a@b\nRCPT TO:<c@d>", "bob@example.net"), b"x"), (DATAERR, ("bob@example.net\r",), b"x"),
    (DATAERR, ("bob@",), b"x"), (DATAERR, ("bob@example.net", "x@" + "y" * 2000), b"x"), (DATAERR, ("-t",), b"To: bob@example.net, carl@\n\nx"),
    (DATAERR, ("-t",), b"To: =?utf-8?q?bob=40example=2Enet?=\n\nx"), (DATAERR, ("-t",), b"To: -oQ@example.net\n\nx"),
    (DATAERR, ("bob@example.net",), b"X: \0\n\nx")])
def test_refused_at_once(caller, code, arguments, text):
    before = caller.relay.herald.mark()
    done = caller(*arguments, text=text)
    assert done.returncode == code, done
    assert done.stderr.startswith(b"sendmail: ") and done.stderr.count(b"\n") == 1 and done.stdout == b""
    assert "pickup" not in caller.relay.herald.log()[before:]


def test_nothing_is_read_or_written_for_c_and_x(caller, tmp_path):
    """RULES X2: files that a caller names are left alone."""
    trap, log = tmp_path / "sendmail.cf", tmp_path / "log"
    trap.write_text("O QueueDirectory=/nowhere\n")
    trace = tmp_path / "trace"
    done = caller("-C", str(trap), "-X", str(log), "-D", str(log), "-O", f"QueueDirectory={tmp_path}", "-oQ" + str(tmp_path),
                  "-fann@example.org", "bob@example.net", prefix=(need("strace"), "-f", "-e", "trace=open,openat,execve", "-o", str(trace)))
    assert done.returncode == OK, done
    assert not log.exists()
    opened = trace.read_text()
    assert str(tmp_path) not in "".join(line for line in opened.splitlines(True) if "open" in line)
    assert opened.count("execve(") == 1


def test_a_hundred_thousand_recipients(caller):
    """RULES H7: more than one message may have is refused for good, and nobody gets it."""
    before = caller.settled()
    text = b"To: " + b",\n ".join(b"user%d@example.net" % number for number in range(100000)) + b"\n\nx\n"
    done = caller("-t", "-fann@example.org", text=text)
    assert done.returncode == DATAERR, (done.returncode, done.stderr[-300:])
    assert b"4.5.3" in done.stderr and done.stderr.count(b"\n") < 30
    taken = caller.good("-fann@example.org", "bob@example.net")
    assert len(caller.relay.sink.messages) == before + 1 and taken.recipients == ["bob@example.net"]


def test_two_mebibytes_of_arguments(caller):
    words = [f"user{number}@" + "x" * 60 + ".example.net" for number in range(20000)]
    done = caller("-fann@example.org", *words)
    assert done.returncode == DATAERR and b"4.5.3" in done.stderr, (done.returncode, done.stderr[-300:])


def test_an_unknown_option_is_a_warning(start, caller):
    log = Syslog(start.directory)
    try:
        before = caller.settled()
        done = caller("-Z", "--no-such", "-L", "backup", "-fann@example.org", "bob@example.net", prefix=log.prefix)
        assert done.returncode == OK and done.stderr == b"", done
        caller.relay.sink.wait_messages(before + 1)
        wait_until(lambda: len(log.texts()) >= 2, "two warnings")
        assert all(re.match(r"backup/sendmail\[\d+\]: .*passed over", text) for text in log.texts()), log.texts()
        assert '"-Z"' in log.texts()[0] and '"--no-such"' in log.texts()[1]
    finally:
        log.stop()


def test_a_failure_is_in_the_log(start, caller):
    log = Syslog(start.directory)
    try:
        done = caller("-fann@example.org", "bob@exa mple.net", prefix=log.prefix)
        assert done.returncode != OK and done.stderr.startswith(b"sendmail: "), done
        wait_until(log.texts, "the line")
        assert re.sub(r"^herald/sendmail\[\d+\]: ", "sendmail: ", log.texts()[0]) == done.stderr.decode().strip(), log.texts()
    finally:
        log.stop()


# --- how it is started

def everybody(directory):
    """The program where an ordinary user may run it."""
    path = os.path.join(directory, PROGRAM)
    shutil.copy(program(PROGRAM), path)
    os.chmod(path, 0o755)
    return path


@pytest.mark.parametrize("prefix", [("runuser", "-u", "nobody", "--"), ("setpriv", "--no-new-privs"),
                                    ("setpriv", "--reuid", "nobody", "--clear-groups", "--no-new-privs", "--bounding-set=-all")])
def test_as_an_ordinary_user(start, caller, prefix):
    path = everybody(start.directory)
    before = caller.settled()
    done = subprocess.run([*prefix, path, "-i", "-fann@example.org", "bob@example.net"], input=b"Subject: x\n\nbody\n", env=caller.environment,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT)
    assert done.returncode == OK, done
    caller.relay.sink.wait_messages(before + 1)


def test_without_an_account(start, caller):
    path = everybody(start.directory)
    before = caller.settled()
    done = subprocess.run(["setpriv", "--reuid", "61234", "--clear-groups", path, "-f", "ann@example.org", "bob@example.net"],
                          input=b"x\n", env=caller.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT)
    assert done.returncode == OK, done
    caller.relay.sink.wait_messages(before + 1)


@pytest.mark.parametrize("login, local", [(r"EXAMPLE\ann", rb'"EXAMPLE\\ann"'), ("ann smith", b'"ann smith"')])
def test_a_login_that_is_no_atom(start, caller, tmp_path, login, local):
    """Names as a directory has them: quoted they are sender and author."""
    path = everybody(start.directory)
    passwd = tmp_path / "passwd"
    with open("/etc/passwd") as file:
        passwd.write_text(file.read() + f"{login}:x:61235:61235::/:/bin/sh\n")
    before = caller.settled()
    own = 'mount --bind "$0" /etc/passwd && exec "$@"'
    for sender in ((), ("-f", "")):
        done = subprocess.run([need("unshare"), "--mount", "sh", "-c", own, str(passwd), "setpriv", "--reuid", "61235", "--clear-groups",
                               path, *sender, "bob@example.net"], input=b"x\n", env={**caller.environment, "NAME": ""}, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT)
        assert done.returncode == OK, done
    first, second = caller.relay.sink.wait_messages(before + 2)[before:]
    whole = local + b"@herald.example.org"
    assert sorted((first.sender, second.sender)) == ["", whole.decode()]
    assert b"From: " + whole + b"\r\n" in header_of(first) and b"From: " + whole + b"\r\n" in header_of(second)


def test_closed_descriptors(caller):
    before = caller.settled()
    done = subprocess.run(["sh", "-c", 'exec "$0" -i -v -fann@example.org bob@example.net >&- 2>&-', caller.path],
                          input=b"Subject: x\n\nbody\n", env=caller.environment, timeout=TIMEOUT)
    assert done.returncode == OK
    assert body_of(caller.relay.sink.wait_messages(before + 1)[before]) == b"body\r\n"
    done = subprocess.run(["sh", "-c", 'exec "$0" -fann@example.org bob@example.net <&- >&- 2>&-', caller.path], env=caller.environment,
                          timeout=TIMEOUT)
    assert done.returncode == NOINPUT, "no empty mail for a standard input that is closed"


def test_no_arguments_at_all(caller, tmp_path):
    """RULES X2: execve() with argc 0."""
    source = tmp_path / "empty.c"
    source.write_text("#include <unistd.h>\nint main(int c, char **v) { char *none[] = { 0 }; (void)c; return execve(v[1], none, environ); }\n")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-o", str(tmp_path / "empty"), str(source)], check=True)
    done = subprocess.run([str(tmp_path / "empty"), caller.path], input=b"x\n", env=caller.environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=TIMEOUT)
    assert done.returncode == USAGE and done.stderr.startswith(b"sendmail: no recipients"), done


def test_standard_input_that_cannot_be_read(caller, tmp_path):
    directory = os.open(tmp_path, os.O_RDONLY)
    done = caller("-fann@example.org", "bob@example.net", stdin=directory)
    os.close(directory)
    assert done.returncode == IOERR and b"cannot read the message" in done.stderr


def test_a_hundred_at_a_time(caller):
    before = caller.settled()
    idents = [message_id() for _ in range(100)]
    children = [subprocess.Popen([caller.path, "-i", "-fann@example.org", "bob@example.net"], stdin=subprocess.PIPE, env=caller.environment)
                for _ in idents]
    for ident, child in zip(idents, children):
        child.stdin.write(f"Message-ID: {ident}\n\nbody\n".encode())
        child.stdin.close()
    assert [child.wait(TIMEOUT) for child in children] == [OK] * 100
    taken = caller.relay.sink.wait_messages(before + 100)[before:]
    found = sorted(re.search(rb"^Message-ID: (<[^>]*>)", one.content, re.M).group(1).decode() for one in taken)
    assert found == sorted(idents)


# --- size

def test_the_size_limit_is_the_daemons(start):
    limit = 200000
    caller = Caller(start.relay(queue={"max_message_size": str(limit)}))
    head = b"From: ann@example.org\r\n\r\n"
    lines = b"x" * 70 + b"\r\n"
    room = limit - len(head)
    body = lines * (room // 72 - 1)
    body += b"y" * (room - len(body) - 2) + b"\r\n"
    assert len(head + body) == limit
    taken = caller.good("-i", "-fann@example.org", "bob@example.net", text=head + body)
    assert taken.without_received().endswith(body)
    done = caller("-i", "-fann@example.org", "bob@example.net", text=head + b"z" + body)
    assert done.returncode == DATAERR and b"200001 octets" in done.stderr, done


@pytest.mark.slow
def test_memory_does_not_grow_with_the_message(start):
    relay = start.relay(host=f"127.0.0.1:{net.free_port()}", queue={"max_message_size": "400M", "retry_min": "1h", "retry_max": "2h"})
    caller = Caller(relay)
    name = os.path.join(start.directory, "large")
    with open(name, "wb") as file:
        file.write(b"From: ann@example.org\n\n")
        for _ in range(200):
            file.write((b"x" * 127 + b"\n") * 8192)
    # All that is not shared: stack, heap, what libraries write to.  (ru_maxrss would tell of the test's own memory, too.)
    bound = () if sanitized() else (need("prlimit"), "--data=16777216")
    for extra in (b"end\n", b"\rend\n"):      # with a bare CR all of it is encoded
        with open(name, "ab") as file:
            file.write(extra)
        with open(name, "rb") as file:
            done = caller("-i", "-fann@example.org", "bob@example.net", stdin=file, prefix=bound)
        assert done.returncode == OK, done
    sizes = [one["size"] for one in relay.herald.queue()]
    assert len(sizes) == 2 and min(sizes) > 200 * 1024 * 1024, sizes


# --- the daemon's word: a server whose every reply a test chooses

class FakeDaemon:
    """Answers on a UNIX socket; `replies` gives, by the first word of a command, what differs from yes.  None closes."""

    def __init__(self, directory, replies=None, keywords=("PIPELINING", "8BITMIME", "SIZE 1000000", "DSN", "SMTPUTF8")):
        self.path = os.path.join(directory, f"fake-{message_id()[1:12]}.sock")
        self.replies, self.keywords = replies or {}, keywords
        self.commands, self.contents, self.cut = [], [], []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(128)
        os.chmod(self.path, 0o666)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _reply(self, file, word, usual):
        text = self.replies.get(word, usual)
        if text is None:
            raise EOFError
        if callable(text):
            text = text()
        file.write(text.encode() + b"\r\n")
        file.flush()
        return text

    def _serve(self, peer):
        # What is unsent when the client is gone, too, is lost on it.
        with contextlib.suppress(EOFError, OSError), peer, peer.makefile("rwb") as file:
            self._reply(file, "greeting", "220 fake ESMTP")
            for line in iter(file.readline, b""):
                command = line.decode().rstrip("\r\n")
                self.commands.append(command)
                self._command(file, command)

    def _command(self, file, command):
        word = command.split()[0].upper()
        if word == "EHLO":
            self._reply(file, word, "\r\n".join(["250-fake", *(f"250-{keyword}" for keyword in self.keywords), "250 HELP"]))
        elif word == "RCPT":
            address = command.split("<")[1].split(">")[0]
            self._reply(file, address, "250 2.1.5 ok")
        elif word != "DATA":
            self._reply(file, word, "221 2.0.0 bye" if word == "QUIT" else "250 2.0.0 ok")
        elif self._reply(file, word, "354 go on").startswith("3"):
            content = b""
            for line in iter(file.readline, b""):
                if line == b".\r\n":
                    self.contents.append(content)
                    self._reply(file, "dot", "250 2.0.0 queued as FAKE")
                    return
                content += line
            self.cut.append(content)

    def stop(self):
        self.sock.close()


@pytest.fixture
def fake(start):
    def make(**replies):
        one = FakeDaemon(start.directory, {name.replace("_at_", "@").replace("_", "."): text for name, text in replies.items()})
        start.running.append(one)
        return one
    return make


def give(fake, *arguments, text=b"From: ann@example.org\n\nbody\n", **keywords):
    return subprocess.run([program(PROGRAM), "-i", "-fann@example.org", *arguments], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment(fake.path), timeout=TIMEOUT, **keywords)


@pytest.mark.parametrize("code, replies", [
    (TEMPFAIL, {"MAIL": "451 4.3.0 later"}), (TEMPFAIL, {"bob_at_example_net": "450 4.2.0 later"}), (TEMPFAIL, {"DATA": "451 4.3.0 later"}),
    (TEMPFAIL, {"dot": "452 4.3.1 full"}), (TEMPFAIL, {"dot": None}), (TEMPFAIL, {"DATA": None}), (TEMPFAIL, {"MAIL": "421 4.3.2 ends"}),
    (TEMPFAIL, {"dot": "421 4.3.2 ends"}), (TEMPFAIL, {"dot": "999 what"}), (TEMPFAIL, {"dot": "hello"}), (TEMPFAIL, {"dot": "354 again"}),
    (NOUSER, {"bob_at_example_net": "550 5.1.1 nobody"}), (NOHOST, {"bob_at_example_net": "550 5.1.2 nowhere"}),
    (DATAERR, {"bob_at_example_net": "501 5.1.3 syntax"}), (NOPERM, {"MAIL": "550 5.7.1 not you"}), (DATAERR, {"MAIL": "552 5.3.4 too large"}),
    (DATAERR, {"dot": "552 5.3.4 too large"}), (UNAVAILABLE, {"dot": "554 5.0.0 no"}), (UNAVAILABLE, {"dot": "554 5.4.6 loop"})])
def test_exit_code(fake, code, replies):
    daemon = fake(**replies)
    done = give(daemon, "bob@example.net")
    assert done.returncode == code, done
    assert all(line.startswith(b"sendmail: ") for line in done.stderr.splitlines()) and done.stderr, done
    said = [text for text in replies.values() if text and text[3] == " " and text[:3].isdigit() and text[0] in "45"]
    assert all(text.encode().split(b" ", 2)[2] in done.stderr for text in said), done.stderr


@pytest.mark.parametrize("replies", [{"QUIT": None}, {"QUIT": "421 4.3.2 ends"}, {"QUIT": "nonsense"}])
def test_after_acceptance_it_is_always_0(fake, replies):
    daemon = fake(**replies)
    assert give(daemon, "bob@example.net").returncode == OK
    assert len(daemon.contents) == 1


def test_after_acceptance_nobody_waits(fake):
    release = threading.Event()
    daemon = fake(QUIT=lambda: release.wait(TIMEOUT) and "221 bye" or "221 bye")
    before = time.monotonic()
    assert give(daemon, "bob@example.net").returncode == OK
    release.set()
    assert time.monotonic() - before < 8


@pytest.mark.parametrize("text", ["550 5.1.1 nobody", "450 4.2.0 later"])
@pytest.mark.parametrize("keywords", [("PIPELINING",), ()])
def test_all_recipients_or_none(start, text, keywords):
    daemon = FakeDaemon(start.directory, {"carl@example.net": text}, keywords)
    start.running.append(daemon)
    done = give(daemon, "bob@example.net", "carl@example.net", "dora@example.net")
    assert done.returncode == (NOUSER if text[0] == "5" else TEMPFAIL), done
    assert b"carl@example.net: " + text.encode() in done.stderr and b"bob" not in done.stderr
    assert daemon.contents == [] and b"body" not in b"".join(daemon.cut)


def test_delivery_reports_are_asked_for(fake):
    daemon = fake()
    done = give(daemon, "-N", "success,delay", "-R", "hdrs", "-V", "id 1+", "bob@example.net")
    assert done.returncode == OK, done
    mail, rcpt = [next(line for line in daemon.commands if line.startswith(verb)) for verb in ("MAIL", "RCPT")]
    assert mail.startswith("MAIL FROM:<ann@example.org> SIZE=") and " RET=HDRS" in mail and " ENVID=id+201+2B" in mail
    assert rcpt == "RCPT TO:<bob@example.net> NOTIFY=SUCCESS,DELAY"


def test_smtputf8_when_an_address_needs_it(fake):
    daemon = fake()
    assert give(daemon, "bob@example.net", text="Subject: Grüße\n\nx\n".encode()).returncode == OK
    assert give(daemon, "jürgen@example.net").returncode == OK
    first, second = [line for line in daemon.commands if line.startswith("MAIL")]
    assert "SMTPUTF8" not in first and " BODY=8BITMIME" in first and " SMTPUTF8" in second


def test_bare_names_go_to_the_daemon_as_they_are(fake):
    daemon = fake()
    assert give(daemon, "root", "-fcron").returncode == OK
    assert any(line.startswith("MAIL FROM:<cron>") for line in daemon.commands) and "RCPT TO:<root>" in daemon.commands


def test_a_daemon_that_is_full_is_asked_again(fake):
    """A 421 in the place of the greeting: the message has not been touched, and may find room a moment later."""
    turns = iter(["421 4.3.2 too many connections"] * 3)
    daemon = fake(greeting=lambda: next(turns, "220 fake ESMTP"))
    assert give(daemon, "bob@example.net").returncode == OK
    assert len(daemon.contents) == 1


def test_no_daemon(start):
    path = os.path.join(start.directory, "nobody.sock")
    before = time.monotonic()
    done = subprocess.run([program(PROGRAM), "-fann@example.org", "bob@example.net"], input=b"x\n", stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment(path), timeout=TIMEOUT)
    assert done.returncode == TEMPFAIL and time.monotonic() - before > 5
    assert done.stderr.startswith(b"sendmail: ") and path.encode() in done.stderr and done.stderr.count(b"\n") == 1


def test_a_daemon_that_starts_late(start):
    path = os.path.join(start.directory, "late.sock")
    child = subprocess.Popen([program(PROGRAM), "-fann@example.org", "bob@example.net"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=environment(path))
    child.stdin.write(b"x\n")
    child.stdin.close()
    trace = f"/proc/{child.pid}/fd"
    wait_until(lambda: os.path.exists(trace), "the program runs")
    assert child.poll() is None
    daemon = FakeDaemon(start.directory)
    start.running.append(daemon)
    os.rename(daemon.path, path)
    assert child.wait(TIMEOUT) == OK
    assert len(daemon.contents) == 1


# --- faults

def strace(*faults):
    return (need("strace"), "-f", "-qq", "-o", "/dev/null", *(word for fault in faults for word in ("-e", f"inject={fault}")))


@pytest.mark.parametrize("code, fault", [(TEMPFAIL, "sendto:error=EPIPE:when=2+"), (TEMPFAIL, "recvfrom:error=ECONNRESET:when=3+"),
                                         (TEMPFAIL, "pwrite64:error=ENOSPC"), (TEMPFAIL, "sendto:error=ECONNRESET:when=3+")])
def test_errors_of_the_system(caller, code, fault):
    before = caller.settled()
    done = caller("-i", "-fann@example.org", "bob@example.net", text=b"Subject: x\n\n" + b"line\n" * 100000, prefix=strace(fault))
    assert done.returncode == code, done
    assert done.stderr.startswith(b"sendmail: ")
    caller.good("-i", "-fann@example.org", "bob@example.net")
    assert len(caller.relay.sink.messages) == before + 1, "what was not accepted is not sent"


def test_interrupted_system_calls(caller, tmp_path):
    # What the loader and the libraries read before the message is not the program's.
    trace = tmp_path / "trace"
    caller("-N", "sometimes", "-fann@example.org", "bob@example.net", prefix=(need("strace"), "-f", "-qq", "-e", "trace=read", "-o", str(trace)))
    first = trace.read_text().count("read(") + 1
    taken = caller.good("-i", "-fann@example.org", "bob@example.net", text=b"Subject: x\n\n" + b"line\n" * 100000,
                        prefix=strace(f"read:error=EINTR:when={first}+3", "poll:error=EINTR:when=2+3", "sendto:error=EINTR:when=2+3"))
    assert body_of(taken) == b"line\r\n" * 100000


def test_short_writes(caller):
    """The daemon's side is slow, and takes a few octets at a time."""
    taken = caller.good("-i", "-fann@example.org", "bob@example.net", text=b"Subject: x\n\n" + b".line\n" * 60000,
                        prefix=strace("sendto:error=EAGAIN:when=2+2"))
    assert body_of(taken) == b".line\r\n" * 60000


def test_kill_between_data_and_reply(start):
    """The daemon dies on its way to the 250: 75, and after a restart the queue holds the mail once or not at all."""
    relay = start.relay(queue={"retry_min": "1h", "retry_max": "2h"})
    caller = Caller(relay)
    tracer = subprocess.Popen([need("strace"), "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e",
                               "inject=fdatasync,fsync:signal=KILL", "-p", str(relay.herald.pid)])
    try:
        wait_until(lambda: "TracerPid:\t0" not in open(f"/proc/{relay.herald.pid}/status").read(), "strace is attached")
        done = caller("-i", "-fann@example.org", "bob@example.net")
        relay.herald.process.wait(TIMEOUT)
    finally:
        tracer.wait(TIMEOUT)
    relay.herald.expected_exit = (0, -9)
    assert done.returncode == TEMPFAIL, done
    relay.herald.start()
    assert caller("-i", "-fann@example.org", "carl@example.net").returncode == OK
    relay.herald.wait_empty()
    taken = [recipient for message in relay.sink.messages for recipient in message.recipients]
    assert taken.count("carl@example.net") == 1 and taken.count("bob@example.net") <= 1


# --- other modes

def test_smtp_on_standard_input(caller):
    before = caller.settled()
    dialogue = b"EHLO client.example.org\r\nMAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
    dialogue += b"Subject: x\r\n\r\n..\r\n.\r\nQUIT\r\n"
    done = caller("-bs", text=dialogue)
    assert done.returncode == OK and done.stdout.startswith(b"220 ") and b"\r\n221 " in done.stdout
    assert body_of(caller.relay.sink.wait_messages(before + 1)[before]) == b".\r\n"


def test_smtp_ends_with_its_input(caller):
    done = caller("-bs", text=b"NOOP\r\n")
    assert done.returncode == OK and done.stdout.splitlines()[1].startswith(b"250 ")


def test_smtp_without_quit(caller):
    """The last word to a message comes although no more input does."""
    done = caller("-bs", text=b"HELO me\r\nMAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nx: y\r\n\r\n.\r\n")
    assert done.returncode == OK and b"queued as" in done.stdout.splitlines()[-1], done


@pytest.mark.parametrize("replies, last", [({"MAIL": None}, "MAIL FROM:<ann@example.org>"), ({"DATA": None}, "DATA"), ({"dot": None}, "."),
                                           ({"greeting": None}, "EHLO me")])
def test_smtp_that_the_daemon_ends(fake, replies, last):
    """Its input goes on: what had been taken is not known, and what is to come goes nowhere."""
    daemon = fake(**replies)
    dialogue = ["EHLO me", "MAIL FROM:<ann@example.org>", "RCPT TO:<bob@example.net>", "DATA", "."]
    text = "".join(f"{line}\r\n" for line in dialogue[:dialogue.index(last) + 1] if last)
    child = subprocess.Popen([program(PROGRAM), "-bs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=environment(daemon.path))
    with child:
        child.stdin.write(text.encode())
        child.stdin.flush()
        assert child.wait(TIMEOUT) == TEMPFAIL
        assert child.stderr.read().startswith(b"sendmail: ")


def test_smtp_that_ends_with_421(fake):
    done = give(fake(MAIL="421 4.3.2 ends"), "-bs", text=b"EHLO me\r\nMAIL FROM:<ann@example.org>\r\n")
    assert done.returncode == TEMPFAIL and b"\r\n421 " in done.stdout, done


def test_smtp_with_quit_and_an_open_input(caller):
    child = subprocess.Popen([caller.path, "-bs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=caller.environment)
    with child:
        child.stdin.write(b"QUIT\r\n")
        child.stdin.flush()
        assert child.wait(TIMEOUT) == OK and child.stdout.read().splitlines()[-1].startswith(b"221 ")


def test_newaliases(caller):
    for done in (caller("-bi"), caller("-I"), caller(name="newaliases"), caller(name="/usr/bin/newaliases")):
        assert (done.returncode, done.stdout, done.stderr) == (OK, b"", b"")
    assert b"reload" in caller("-v", name="newaliases").stdout


@pytest.fixture
def waiting(start):
    """A herald whose relay is not there."""
    port = net.free_port()
    relay = start.relay(host=f"127.0.0.1:{port}", queue={"retry_min": "1h", "retry_max": "2h"})
    return Caller(relay)


def test_mailq(waiting):
    done = waiting(name="mailq")
    assert (done.returncode, done.stdout) == (OK, b"The mail queue is empty\n\t\tTotal requests: 0\n"), done
    assert waiting("-fann@example.org", "bob@example.net", "carl@example.net").returncode == OK
    waiting.relay.herald.wait_log(r"status=deferred")
    for done in (waiting(name="mailq"), waiting("-bp"), waiting("-v", name="/usr/bin/mailq")):
        text = done.stdout.decode()
        assert done.returncode == OK, done
        assert re.search(r"^\t\tThe mail queue \(1 request\)\n-----Q-ID-----", text)
        assert re.search(r"^[0-9A-F]+[ *!] +\d+ \w\w\w \w\w\w [ \d]\d \d\d:\d\d <ann@example\.org>$", text, re.M)
        assert text.count("<bob@example.net>") == text.count("<carl@example.net>") == 1
        assert re.search(r"^ +\(.+\)$", text, re.M)
        assert text.endswith("\t\tTotal requests: 1\n")


def test_mailq_of_an_ordinary_user(start, waiting):
    """Own mail alone."""
    path = everybody(start.directory)
    as_nobody = ("runuser", "-u", "nobody", "--", path)

    def run(*arguments):
        return subprocess.run([*as_nobody, *arguments], input=b"x\n", env=waiting.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT)
    waiting.relay.herald.stop()
    waiting.relay.herald.top["user"] = "daemon"      # nobody is the user of the daemon in these tests
    for folder in (waiting.relay.herald.state, waiting.relay.herald.runtime):
        shutil.chown(folder, "daemon", "daemon")
        for name in os.listdir(folder):
            shutil.chown(os.path.join(folder, name), "daemon", "daemon")
    with open(waiting.relay.herald.conffile) as file:
        body = file.read().replace('user = "nobody"', 'user = "daemon"')
    with open(waiting.relay.herald.conffile, "w") as file:
        file.write(body)
    waiting.relay.herald.start()
    assert waiting("-fann@example.org", "root@example.net").returncode == OK
    assert run("-fann@example.org", "nobody@example.net").returncode == OK
    mine = run("-bp")
    assert mine.returncode == OK and b"nobody@example.net" in mine.stdout and b"root@example.net" not in mine.stdout, mine
    assert b"Total requests: 2" in waiting("-bp").stdout
    refused = run("-q")
    assert refused.returncode == NOPERM and refused.stderr.startswith(b"sendmail: ")
    verified = run("-bv", "bob@example.net")
    assert verified.returncode == OK and b"bob@example.net... " in verified.stdout


def test_queue_run(start):
    caller = Caller(start.relay(queue={"retry_min": "1h", "retry_max": "2h"}))
    herald, sink = caller.relay.herald, caller.relay.sink
    for number, arguments in enumerate((("-q",), ("-qI{id}",), ("-q30m",), ("-qRbob@example.net", "-v"), ("-qSann@example.org",)), 1):
        sink.replies["RCPT"] = b"451 4.2.0 later"
        mark = herald.mark()
        assert caller("-fann@example.org", "bob@example.net").returncode == OK
        ident = herald.wait_log(r"([0-9A-F]+): .*status=deferred", since=mark).group(1)
        wait_until(lambda: herald.queue("--state", "deferred"), "its fate is stored")
        del sink.replies["RCPT"]
        done = caller(*(word.format(id=ident) for word in arguments))
        assert done.returncode == OK and done.stdout == (b"1 recipients are due now\n" if "-v" in arguments else b""), done
        sink.wait_messages(number)
        herald.wait_empty()


def test_verify(caller):
    done = caller("-bv", "bob@example.net", "Carl <carl@example.net>")
    assert done.returncode == OK and done.stdout.count(b"deliverable: relay smarthost") == 2, done
    assert caller("-bv", "bob@").returncode == DATAERR
    assert caller("-bv").returncode == USAGE


def test_control_socket_that_nobody_serves(caller):
    for done in (caller("-bp", env=environment(caller.submit)), caller("-q", env=environment(caller.submit))):
        assert done.returncode == UNAVAILABLE and done.stderr.startswith(b"sendmail: ") and done.stdout == b""


def test_version_and_help(caller):
    assert caller("-V").stdout.startswith(b"herald-sendmail ") and caller("--version").returncode == OK
    assert caller("--help").stdout.startswith(b"usage: sendmail ")
