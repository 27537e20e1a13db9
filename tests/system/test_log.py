"""The log (SPEC 5): to syslog in Postfix's shape, one event one line whatever a peer says, and never in the way."""

import os
import re
import ssl
import subprocess
import threading

import pytest

from lib import conf
from lib.net import fetch, free_port, need, wait_until
from lib.smtp import Client, message, message_id, stuffed, submit
from lib.syslog import Syslog


def logging_relay(start, syslog, host=None, ident="herald", level="info", queue=None, **keys):
    """As start.relay, with a log to syslog."""
    sink = None
    if host is None:
        sink = start.py_sink()
        host = sink.host
    port = free_port()
    body = conf.mail(port, host, queue, **keys) + conf.block("log", target="syslog", ident=ident, level=level, facility="mail")
    one = start.herald(body, default_relay="smarthost", arguments=(), prefix=syslog.prefix)
    return one, ("127.0.0.1", port), sink


@pytest.fixture
def syslog(start):
    one = Syslog(start.directory)
    start.running.append(one)
    return one


def mixed_run(endpoint, sink):
    """4 delivered, 2 refused for good, 1 refused for now: 7 messages, and 2 reports."""
    def rcpt(session, line):
        if b"never" in line:
            return b"550 5.1.1 no such user"
        if b"later" in line:
            return b"450 4.2.1 busy"
        return None
    sink.replies["RCPT"] = rcpt
    for name in ("one", "two", "three", "four", "never1", "never2", "later"):
        submit(endpoint, message(), recipients=[f"{name}@example.net"])


def test_pflogsumm_reads_the_log(start, syslog):
    """With ident = "postfix" pflogsumm counts received, delivered, deferred, bounced and rejected right."""
    one, endpoint, sink = logging_relay(start, syslog, ident="postfix", queue={"retry_min": "1h", "retry_max": "1h"},
                                        submission={"allow": ["127.0.0.1/32"]})
    mixed_run(endpoint, sink)
    with Client(endpoint, source=("127.0.0.2", 0)) as client:
        client.hello()
        client.command("MAIL FROM:<x@example.org>")
        client.command("RCPT TO:<y@example.net>")
    wait_until(lambda: sum("status=" in text for text in syslog.texts()) == 9 and any("NOQUEUE" in text for text in syslog.texts()),
               "nine attempts and a reject in the log")
    path = os.path.join(start.directory, "mail.log")
    syslog.write_file(path)
    done = subprocess.run([need("pflogsumm"), path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    totals = {name: int(number) for number, name in
              re.findall(r"^ +(\d+) +(received|delivered|deferred|bounced|rejected|forwarded|discarded)\b", done.stdout.decode(), re.M)}
    assert totals["received"] == 7, done.stdout.decode()     # reports are not received mail
    assert totals["delivered"] == 6
    assert totals["deferred"] == 1
    assert totals["bounced"] == 2
    assert totals["rejected"] == 1
    assert not done.stderr


def test_priorities(start, syslog):
    """sent at info, deferred at warning, bounced at err, parked at crit; facility mail."""
    _, endpoint, sink = logging_relay(start, syslog, queue={"retry_min": "1h", "retry_max": "1h"})
    mixed_run(endpoint, sink)
    submit(endpoint, message(), sender="", recipients=["never@example.net"])
    wait_until(lambda: sum("status=" in text for text in syslog.texts()) == 10, "ten attempts in the log")
    wait_until(lambda: any(priority == 2 * 8 + 2 for priority in syslog.priorities()), "a line at crit")
    facility = 2 * 8
    for text, priority in zip(syslog.texts(), syslog.priorities()):
        assert priority & ~7 == facility
        for status, level in (("sent", 6), ("deferred", 4), ("bounced", 3)):
            if f"status={status}" in text and "parked" not in text and "never@" not in text:
                assert priority == facility + level, text
        if re.search(r"\bparked\b", text):
            assert priority == facility + 2, text


def test_ident_and_program_names(start, syslog):
    one, endpoint, sink = logging_relay(start, syslog)
    submit(endpoint, message())
    sink.wait_messages(1)
    wait_until(lambda: any("removed" in text for text in syslog.texts()), "the last line of the message")
    assert all(re.match(rf"herald/[a-z]+\[{one.pid}\]: ", text) for text in syslog.texts()), syslog.texts()


HOSTILE = ["\r\nherald/smtp[1]: forged", "\x1b[31mred", "%n%s%x", "\x00nul", "\u202eright to left", "tab\there", "\x7f", "x" * 3000]


@pytest.mark.parametrize("text", HOSTILE, ids=["newline", "escape", "format", "nul", "bidi", "tab", "del", "long"])
def test_log_injection_by_a_client(start_hostile, text):
    """L1: HELO, MAIL, RCPT, Message-ID with control octets: one line each, printable."""
    relay = start_hostile
    mark = relay.herald.mark()
    octets = text.encode().replace(b"\r\n", b"\n")
    for command in (b"EHLO " + octets, b"MAIL FROM:<" + octets + b"@example.org>", b"MAIL FROM:<ann@example.org> " + octets,
                    b"RCPT TO:<" + octets + b"@example.net>", octets):
        with Client(relay.endpoint) as client:
            client.send(b"EHLO x\r\nMAIL FROM:<ann@example.org>\r\n" if command.startswith(b"RCPT") else b"EHLO x\r\n")
            client.send(command + b"\r\nQUIT\r\n")
            client.rest()
    with Client(relay.endpoint) as client:
        client.transaction()
        client.send(stuffed(b"Message-ID: <" + octets.replace(b"\n", b"").replace(b"\0", b"") + b"@x>\r\nSubject: x\r\n\r\nx\r\n"))
        client.reply()
        client.quit()
    relay.herald.wait_empty()
    check_lines(relay.herald.log()[mark:])


@pytest.fixture(scope="module")
def start_hostile(start_module):
    return start_module.relay()


def check_lines(log):
    assert log.endswith("\n")
    for line in log.split("\n")[:-1]:
        assert re.match(r".*\b[a-z]+/[a-z]+\[\d+\]: ", line), f"not a line of herald's: {line!r}"
        assert not line.startswith("herald/smtp[1]: forged")
        assert all(ord(octet) >= 32 and ord(octet) != 127 for octet in line), f"unprintable: {line!r}"
        assert "\u202e" not in line
        assert len(line) < 2500


@pytest.mark.parametrize("text", HOSTILE, ids=["newline", "escape", "format", "nul", "bidi", "tab", "del", "long"])
def test_log_injection_by_a_peer(start, text):
    relay = start.relay(queue={"retry_min": "1h"})
    relay.sink.replies["RCPT"] = b"450 4.2.1 " + text.encode().replace(b"\r\n", b"\n") + b"\r\n"
    submit(relay.endpoint, message())
    relay.herald.wait_log("status=deferred")
    check_lines(relay.herald.log())


def works(one, endpoint, sink):
    """Mail and status still flow."""
    ident = message_id()
    submit(endpoint, message(ident))
    wait_until(lambda: ident in sink.idents(), "the message at the sink")
    assert one.ctl("health").returncode == 0


def test_without_dev_log(start):
    """L3: no /dev/log: herald starts and works, what is not made is counted, and a syslogd that comes later has the next lines."""
    syslog = Syslog(start.directory, listen=False)
    one, endpoint, sink = logging_relay(start, syslog)
    works(one, endpoint, sink)
    dropped = one.status()["log_dropped"]
    assert dropped > 0
    works(one, endpoint, sink)
    assert one.status()["log_dropped"] >= dropped + 3          # that it is queued, sent, removed
    late = Syslog(start.directory)
    start.running.append(late)

    def arrives():
        works(one, endpoint, sink)
        return any("status=sent" in text for text in late.texts())
    wait_until(arrives, "lines at the new socket")


def test_dev_log_that_nobody_reads(start):
    """L3: a full socket: lines are dropped and counted, the loop goes on."""
    syslog = Syslog(start.directory, reading=False)
    start.running.append(syslog)
    one, endpoint, sink = logging_relay(start, syslog, level="debug")
    for _ in range(100):
        works(one, endpoint, sink)


def test_dev_log_that_comes_back(start, syslog):
    """syslogd is restarted with a new socket: lines arrive again."""
    one, endpoint, sink = logging_relay(start, syslog)
    works(one, endpoint, sink)
    syslog.stop()
    os.unlink(os.path.join(syslog.directory, "log"))
    works(one, endpoint, sink)
    second = Syslog(start.directory)
    start.running.append(second)

    def arrives():
        works(one, endpoint, sink)
        return any("status=sent" in text for text in second.texts())
    wait_until(arrives, "lines at the new socket")


def test_levels(start, syslog):
    """level = "warning": no line for what is delivered."""
    one, endpoint, sink = logging_relay(start, syslog, level="warning", queue={"retry_min": "1h", "retry_max": "1h"})
    submit(endpoint, message())
    sink.wait_messages(1)
    sink.replies["RCPT"] = b"450 4.2.1 busy"
    submit(endpoint, message())
    wait_until(lambda: any("status=deferred" in text for text in syslog.texts()), "the warning")
    assert not any("status=sent" in text or "client=" in text for text in syslog.texts())


def test_standard_error_at_info(start):
    """target = "stderr" without -d: the same lines, none of debug."""
    port = free_port()
    one = start.herald(conf.greeting("welcome", f"127.0.0.1:{port}", text="hi") + conf.block("log", target="stderr", level="info"),
                       arguments=())
    fetch(("127.0.0.1", port))
    assert re.search(r"herald/heraldd\[\d+\]: ", one.log())
    assert "welcome: client=" not in one.log()


def test_attempt_line_with_all_its_fields(start, certificates):
    """conn_use= from the second mail of a connection on, tls= of it, the four delays and their sum."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.path("good"))
    sink = start.py_sink(tls="starttls", context=context)
    sink.replies["."] = lambda session, taken: threading.Event().wait(0.3) or None
    relay = start.relay(host=f"localhost:{sink.port}", tls="starttls", tls_ca_file=certificates.ca, max_connections=1)
    first = submit(relay.endpoint, message())
    relay.herald.wait_log(rf"{first}: removed")
    second = submit(relay.endpoint, message())
    relay.herald.wait_log(rf"{second}: removed")
    number = r"\d+(?:\.\d+)?"
    for queue_id, use in ((first, ""), (second, "conn_use=2, ")):
        line = re.search(rf"smtp\[\d+\]: {queue_id}: (.*)", relay.herald.log()).group(1)
        match = re.fullmatch(rf"to=<bob@example\.net>, relay=localhost\[[0-9a-f.:]+\]:{sink.port}, {use}delay=({number}), "
                             rf"delays=({number})/({number})/({number})/({number}), tls=TLSv1\.[23]/verified, dsn=2\.0\.0, "
                             r"status=sent \(250 2\.0\.0 taken\)", line)
        assert match, line
        delay, *parts = map(float, match.groups())
        assert abs(delay - sum(parts)) <= 0.11 and parts[3] >= 0.29
        assert (parts[2] > 0) == (use == "")             # the second one found the connection there
