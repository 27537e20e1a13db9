"""The programs of a machine that hand in mail, each from its Debian package, and what arrives of what they say.

lib/caller_table.py says what each of them calls sendmail with, as seen; a new release that calls it otherwise shows here."""

import concurrent.futures
import email
import email.header
import email.utils
import os
import re
import socket
import types

import pytest

from lib import conf, daemon
from lib.caller_table import ADMIN, BODY, CALLERS, FROM_ANN, GIT, PHPMAILER, ROOT, RUBY, SUBJECT
from lib.callers import HOSTNAME, Room
from lib.net import connect, free_port, read_all, wait_until
from lib.smtp import Client
from lib.syslog import Syslog

def decoded(value):
    """A header's text: encoded words and raw UTF-8."""
    value = str(email.header.make_header(email.header.decode_header(re.sub(r"\r?\n", "", value)))) if "=?" in value else value
    return re.sub(r"\r?\n", "", value)


def parse(message):
    return email.message_from_string(message.content.decode("utf-8"))


def addresses(parsed, name):
    return [address for _, address in email.utils.getaddresses([decoded_folds(value) for value in parsed.get_all(name, [])])]


def decoded_folds(value):
    return re.sub(r"\r?\n", "", value)


def body_of(message):
    """The text.  Ruby's mail encodes the CR of each line end."""
    head, body = message.content.split(b"\r\n\r\n", 1)
    parsed = email.message_from_bytes(head + b"\r\n\r\n" + body)
    text = parsed.get_payload(decode=True).decode(parsed.get_content_charset("utf-8"))
    return re.sub(r"\r+\n", "\n", text)


def check_canonical(message):
    """What no mail of this machine lacks or has: RFC 5322 3.6, and no name that a provider would complete."""
    parsed = parse(message)
    assert b"\n" not in message.content.replace(b"\r\n", b"") and b"\r" not in message.content.replace(b"\r\n", b"")
    for name in ("Date", "Message-ID", "From"):
        assert len(parsed.get_all(name, [])) == 1, f"{name}: {parsed.get_all(name)}"
    assert not parsed.get_all("Bcc")
    everyone = [*filter(None, [message.sender]), *message.recipients, *addresses(parsed, "From"), *addresses(parsed, "Sender"),
                *addresses(parsed, "To"), *addresses(parsed, "Cc")]
    for address in everyone:
        assert re.fullmatch(r"[^@\s]+@([\w-]+\.)+\w+", address), f"not a whole address: {address!r} of {everyone}"
    return parsed


@pytest.fixture(scope="module")
def machine(start_module):
    """A heraldd with a sink behind it, and root's mail going to somebody."""
    sink = start_module.py_sink()
    folder = start_module.directory
    aliases = os.path.join(folder, "aliases")
    with open(aliases, "w", encoding="utf-8") as file:
        file.write(f"root: {ADMIN}\n")
    port = free_port()
    body = (conf.mail(port, sink.host) + conf.block("identity", aliases=aliases, local_names=["localhost"]))
    one = start_module.herald(body, hostname=HOSTNAME, default_relay="smarthost")
    return types.SimpleNamespace(herald=one, port=port, sink=sink, body=body, socket=os.path.join(one.runtime, "submit.sock"))


@pytest.fixture
def room(machine):
    one = Room(machine.socket)
    yield one
    one.stop()


def words(caller, room):
    room.write("phpmailer.php", PHPMAILER)
    return [word.replace("{phpmailer}", room.path("phpmailer.php")).replace("{git}", GIT) if "{" in word else word
            for word in caller.command]


def hand_in(room, caller):
    return room.run(*words(caller, room), text=caller.text)


def new_messages(machine, before, count=1):
    machine.sink.wait_messages(before + count)
    return machine.sink.messages[before:]


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.name)
def test_sendmail(machine, room, caller):
    """Exit 0, and envelope, header and body at the smarthost are what the program said."""
    before = len(machine.sink.messages)
    done = hand_in(room, caller)
    assert done.returncode == 0, done.stdout.decode() + room.errors()
    # Some do not wait for sendmail.
    calls = wait_until(room.calls, f"the call of sendmail: {done.stdout.decode()}")
    assert [call.arguments for call in calls] == [caller.arguments]
    assert calls[0].status == 0 and room.errors() == "", room.errors()
    message, = new_messages(machine, before)
    parsed = check_canonical(message)
    assert message.sender == caller.sender
    assert sorted(message.recipients) == sorted(caller.recipients)
    assert addresses(parsed, "From") == [caller.author]
    assert sorted(addresses(parsed, "To")) == sorted(caller.to)
    assert decoded(parsed["Subject"]) == caller.subject
    if caller.body is not None:
        assert body_of(message).rstrip("\n") == caller.body.rstrip("\n")


CRON = """mount -t tmpfs tmpfs /etc/cron.d
mount -t tmpfs tmpfs /var/spool/cron
mount --bind /dev/null /etc/crontab
mkdir /var/spool/cron/crontabs
printf 'MAILTO=root\\nCONTENT_TYPE="text/plain; charset=UTF-8"\\n@reboot root printf "Grüße\\\\n.\\\\nlast\\\\n"\\n' >/etc/cron.d/job
printf '@reboot echo mine\\n' >/var/spool/cron/crontabs/nobody
chown nobody:crontab /var/spool/cron/crontabs/nobody
chmod 600 /var/spool/cron/crontabs/nobody
"""


def test_cron(machine, room):
    """The daemon itself; what it runs when it starts: root's job and one of a user without an alias."""
    before = len(machine.sink.messages)
    room.start("cron", "-f", extra=CRON)
    calls = wait_until(lambda: len(room.calls()) == 2 and room.calls(), "two mails of cron")
    common = ["-FCronDaemon", "-i", "-B8BITMIME", "-oem"]
    assert sorted((call.uid, call.arguments, call.status) for call in calls) == [(0, [*common, "root"], 0), (65534, [*common, "nobody"], 0)]
    messages = {message.recipients[0]: message for message in new_messages(machine, before, 2)}
    assert set(messages) == {ADMIN, f"nobody@{HOSTNAME}"}
    root, user = messages[ADMIN], messages[f"nobody@{HOSTNAME}"]
    for message in (root, user):
        parsed = check_canonical(message)
        assert addresses(parsed, "From") == [ROOT] and "Cron Daemon" in parsed["From"]
        assert parsed["Subject"].startswith("Cron <")
    assert root.sender == ROOT and user.sender == f"nobody@{HOSTNAME}"
    assert addresses(parse(root), "To") == [ADMIN] and addresses(parse(user), "To") == [f"nobody@{HOSTNAME}"]
    assert body_of(root) == "Grüße\n.\nlast\n" and body_of(user) == "mine\n"


AT = """mkdir /run/spool
cp -a /var/spool/cron/atjobs /var/spool/cron/atspool /run/spool
mount --bind /run/spool /var/spool/cron
printf 'echo Grüße; echo .; echo last' | at now
"""


def test_at(machine, room):
    before = len(machine.sink.messages)
    room.start("sh", "-c", "atd -s -f; exec sleep 1000", extra=AT)
    call, = wait_until(room.calls, "the mail of atd")
    assert call.arguments == ["-i", "root"] and call.status == 0
    message, = new_messages(machine, before)
    parsed = check_canonical(message)
    assert message.recipients == [ADMIN] and addresses(parsed, "To") == [ADMIN]
    assert parsed["Subject"].startswith("Output from your job") and body_of(message) == "Grüße\n.\nlast\n"


SUDO = """printf 'nobody ALL=(root) NOPASSWD: /bin/true\\nDefaults mail_all_cmnds, mailto=root\\n' >/run/sudoers
chmod 440 /run/sudoers
mount --bind /run/sudoers /etc/sudoers
"""


def test_sudo(machine, room):
    """sudo calls it as the user, with the little of an environment that is left."""
    before = len(machine.sink.messages)
    room.start("sh", "-c", "setpriv --reuid=nobody --regid=nogroup --clear-groups sudo -n true; exec sleep 1000", extra=SUDO)
    call, = wait_until(room.calls, "sudo's mail")
    assert (call.uid, call.arguments, call.status) == (65534, ["-t"], 0), room.errors()
    message, = new_messages(machine, before)
    parsed = check_canonical(message)
    assert message.recipients == [ADMIN] and message.sender == f"nobody@{HOSTNAME}"
    assert addresses(parsed, "From") == [f"nobody@{HOSTNAME}"] and "COMMAND=/bin/true" in body_of(message)


FAIL2BAN = """cd /run
mkdir ban
cp -r /etc/fail2ban/action.d /etc/fail2ban/filter.d ban
: >ban/log
printf '[Definition]\\nfailregex = ^bad <HOST>$\\n' >ban/filter.d/own.conf
printf '[Definition]\\nloglevel = INFO\\nlogtarget = /run/ban/out\\nsyslogsocket = auto\\nsocket = /run/ban/sock\\n' >ban/fail2ban.conf
printf 'pidfile = /run/ban/pid\\ndbfile = None\\n' >>ban/fail2ban.conf
printf '[own]\\nenabled = true\\nbackend = polling\\nfilter = own\\nlogpath = /run/ban/log\\nbanaction =\\n' >ban/jail.conf
printf 'action = sendmail[name=own, dest=root, sender=fail2ban@example.org, sendername="Fail Ü"]\\n' >>ban/jail.conf
"""
FAIL2BAN_RUN = """fail2ban-server -c /run/ban -f start &
until fail2ban-client -c /run/ban ping; do kill -0 $! || exit 1; done
fail2ban-client -c /run/ban set own banip 192.0.2.9 && fail2ban-client -c /run/ban stop; wait
"""


def test_fail2ban(machine, room):
    """Without -i, and with a raw UTF-8 name in From."""
    before = len(machine.sink.messages)
    done = room.run("sh", "-c", FAIL2BAN_RUN, extra=FAIL2BAN)
    assert done.returncode == 0, done.stdout.decode()
    assert [(call.arguments, call.status) for call in room.calls()] == [(["-f", "fail2ban@example.org", "root"], 0)] * 3
    messages = new_messages(machine, before, 3)
    assert sorted(parse(message)["Subject"].split(": ")[1].split()[0] for message in messages) == ["banned", "started", "stopped"]
    for message in messages:
        parsed = check_canonical(message)
        assert message.sender == "fail2ban@example.org" and message.recipients == [ADMIN]
        assert addresses(parsed, "From") == ["fail2ban@example.org"] and decoded(parsed["From"]).startswith("Fail Ü")
        assert addresses(parsed, "To") == [ADMIN] and body_of(message).startswith("Hi,\n")


# -- by SMTP

SMTPLIB = """import email.message, smtplib, sys
m = email.message.EmailMessage()
m["From"], m["To"], m["Subject"] = "Änn <ann@example.org>", "root", sys.argv[2]
m.set_content(sys.stdin.read(), cte="8bit")
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as client:
    client.send_message(m, "ann@example.org", ["root", "dora@example.org"], mail_options=["BODY=8BITMIME"])
"""
RUBY_SMTP = RUBY.replace("m.delivery_method :sendmail",
                         'm.delivery_method :smtp, address: "127.0.0.1", port: ARGV[1].to_i, enable_starttls_auto: false')
WHOLE = f"From: Änn <ann@example.org>\nTo: root\nSubject: {SUBJECT}\nContent-Type: text/plain; charset=UTF-8\n\n{BODY}"
SMTP_CLIENTS = {
    "smtplib": (("/usr/bin/python3", "-c", SMTPLIB, "{port}", SUBJECT), BODY),
    "swaks": (("swaks", "--server", "127.0.0.1:{port}", "--from", "ann@example.org", "--to", "root,dora@example.org", "--data", "-"), WHOLE),
    "msmtp": (("msmtp", "--file=/dev/null", "--host=127.0.0.1", "--port={port}", "--from=ann@example.org", "--", "root", "dora@example.org"),
              WHOLE),
    # Zabbix's own way: libcurl.
    "curl": (("sh", "-c", "sed 's/$/\\r/' | curl -sS --url smtp://127.0.0.1:{port}/web1 --mail-from ann@example.org --mail-rcpt root "
              "--mail-rcpt dora@example.org -T -"), WHOLE),
    "s-nail": (("s-nail", "-n", "-S", "v15-compat", "-S", "ttycharset=utf-8", "-S", "mta=smtp://127.0.0.1:{port}", "-S", "smtp-auth=none",
                "-S", "from=ann@example.org", "-s", SUBJECT, "-b", "dora@example.org", "root@localhost"), BODY),
    "mutt": (("mutt", "-n", *FROM_ANN, "-e", "set smtp_url=smtp://127.0.0.1:{port} ssl_starttls=no ssl_force_tls=no use_domain=no",
              "-s", SUBJECT, "-b", "dora@example.org", "root"), BODY),
    "ruby mail": (("ruby", "-e", RUBY_SMTP, SUBJECT, "{port}"), BODY),
    "PHPMailer": (("php", "{phpmailer}", "{port}", SUBJECT), BODY),
    "git send-email": (("sh", "-c", GIT + " --smtp-server=127.0.0.1 --smtp-server-port={port} --from='Änn <ann@example.org>' --to=root "
                        "--bcc=dora@example.org *.patch"), ""),
}


@pytest.mark.parametrize("name", SMTP_CLIENTS)
def test_smtp(machine, room, name):
    """Over the loopback port, where bare names are taken as well."""
    command, text = SMTP_CLIENTS[name]
    room.write("phpmailer.php", PHPMAILER)
    before = len(machine.sink.messages)
    done = room.run(*(word.replace("{port}", str(machine.port)).replace("{phpmailer}", room.path("phpmailer.php")) for word in command),
                    text=text)
    assert done.returncode == 0, done.stdout.decode()
    message, = new_messages(machine, before)
    parsed = check_canonical(message)
    to = "bob@example.net" if name == "PHPMailer" else ADMIN
    assert message.sender == "ann@example.org" and sorted(message.recipients) == sorted([to, "dora@example.org"])
    assert addresses(parsed, "From") == ["ann@example.org"] and addresses(parsed, "To") == [to]
    assert decoded(parsed["Subject"]) == ("[PATCH] Füge datei hinzu" if name == "git send-email" else SUBJECT)
    if text:
        body = BODY.replace("\nFrom", "\n>From") if name == "smtplib" else BODY     # it quotes as for an mbox
        assert body_of(message).rstrip("\n") == body.rstrip("\n")


MONITRC = """set daemon 300
set pidfile {home}/pid
set idfile {home}/id
set statefile {home}/state
set logfile {home}/log
set mailserver 127.0.0.1 port {port}
set mail-format {{ from: Monit <monit@localhost> }}
set alert root@localhost
"""


def test_monit(machine, room):
    """By SMTP, with a body that needs no alias of ours and addresses @localhost that must not leave."""
    before = len(machine.sink.messages)
    path = room.write("monitrc", MONITRC.format(home=room.home, port=machine.port), 0o600)
    room.start("monit", "-I", "-c", path)
    message, = new_messages(machine, before)
    parsed = check_canonical(message)
    assert message.sender == f"monit@{HOSTNAME}" and message.recipients == [ADMIN]
    assert addresses(parsed, "From") == [f"monit@{HOSTNAME}"] and addresses(parsed, "To") == [ADMIN]
    assert "monit" in parsed["Subject"] and "Monit" in body_of(message)


def test_go_client(machine):
    """net/smtp as Go has it: "EHLO localhost", one command at a time, BODY=8BITMIME, and QUIT."""
    before = len(machine.sink.messages)
    with Client(("127.0.0.1", machine.port)) as client:
        for line in ("EHLO localhost", "MAIL FROM:<ann@example.org> BODY=8BITMIME", "RCPT TO:<root@localhost>"):
            assert client.code(line) == 250, line
        assert client.code("DATA") == 354
        client.send(WHOLE.replace("\n.\n", "\n..\n").replace("\n", "\r\n").encode() + b".\r\n")
        assert client.reply()[0] == 250
        client.quit()
    message, = new_messages(machine, before)
    check_canonical(message)
    assert message.recipients == [ADMIN] and body_of(message) == BODY


def test_bare_newlines_are_refused_cleanly(machine):
    """A client that ends its lines in LF alone gets a reply that says so, nothing is sent, and the daemon goes on."""
    machine.herald.wait_empty()
    before = len(machine.sink.messages)
    with connect(("127.0.0.1", machine.port)) as sock:
        assert sock.recv(1000).startswith(b"220 ")
        sock.sendall(b"EHLO localhost\nMAIL FROM:<ann@example.org>\nRCPT TO:<bob@example.net>\nDATA\n" + WHOLE.encode() + b".\nQUIT\n")
        sock.shutdown(socket.SHUT_WR)
        replies = read_all(sock)
    assert re.search(rb"^[45]\d\d ", replies, re.M) and b"queued" not in replies
    with Client(("127.0.0.1", machine.port)) as client:      # right commands, and LF in the content
        client.transaction()
        client.send(WHOLE.encode() + b"\r\n.\r\n")
        code, texts = client.reply()
        assert code == 550 and "bare" in " ".join(texts).lower(), (code, texts)
        client.quit()
    assert machine.herald.status()["queue"]["messages"] == 0 and len(machine.sink.messages) == before


def unit_command():
    """ExecStart of the example unit as systemd runs it for nginx.service."""
    path = os.path.join(os.path.dirname(__file__), "..", "..", "etc", "mail-on-failure@.service")
    with open(path, encoding="utf-8") as file:
        unit = file.read()
    line = re.search(r"^ExecStart=(/bin/sh -c) '(.*)'$", unit, re.M)
    assert line, unit
    return ["sh", "-c", line.group(2).replace("%i", "nginx.service").replace("%H", HOSTNAME).replace("%%", "%").replace("$$", "$")]


def test_on_failure_unit(machine, room):
    """The line of etc/mail-on-failure@.service."""
    before = len(machine.sink.messages)
    done = room.run(*unit_command())
    assert done.returncode == 0, done.stdout.decode() + room.errors()
    message, = new_messages(machine, before)
    parsed = check_canonical(message)
    assert message.recipients == [ADMIN] and addresses(parsed, "To") == [ADMIN] and message.sender == ROOT
    assert parsed["Subject"] == f"{HOSTNAME}: nginx.service failed"
    assert body_of(message).strip()          # what systemctl says, be it that no systemd runs here


# -- when things are down

def side_by_side(function):
    with concurrent.futures.ThreadPoolExecutor(len(CALLERS)) as pool:
        return list(pool.map(function, CALLERS))


def test_without_heraldd(start):
    """Every caller sees 75 and a line that says why, and passes it on as it does: by its exit code, dead.letter, or not at all."""
    def one(caller):
        room = Room(os.path.join(start.directory, "submit.sock"))
        try:
            done = hand_in(room, caller)
            assert [call.status for call in room.calls()] == [75], f"{caller.name}: {done.stdout.decode()}"
            assert room.errors().startswith("sendmail: cannot connect to ") and room.errors().count("\n") == 1
            assert (done.returncode == 0) == (caller.failure == "nothing"), f"{caller.name}: {done.returncode} {done.stdout.decode()}"
            if caller.failure == "letter":
                assert caller.text.split("\n", maxsplit=1)[0] in room.dead_letter() or "=C3" in room.dead_letter()
        finally:
            room.stop()
    side_by_side(one)


def test_cron_without_heraldd(start):
    """cron says in the log that the mail was not taken."""
    log = Syslog(start.directory)
    room = Room(os.path.join(start.directory, "submit.sock"))
    nodes = "\n".join(f"touch {log.directory}/{node}\nmount --bind /dev/{node} {log.directory}/{node}"
                      for node in ("null", "zero", "full", "random", "urandom"))
    try:
        room.start("cron", "-f", extra=CRON + nodes + f"\nmount --rbind {log.directory} /dev")
        wait_until(lambda: sum("status 0x004b from MTA" in text for text in log.texts()) == 2, "cron's complaints")
        assert [call.status for call in room.calls()] == [75, 75]
    finally:
        room.stop()
        log.stop()


def test_exit_0_means_kept(start):
    """While nothing can leave: each caller is told 0, and after kill -9 of heraldd each mail is still there, and leaves."""
    port, sink_port = free_port(), free_port()
    body = conf.mail(port, f"127.0.0.1:{sink_port}", queue={"retry_min": "1s", "retry_max": "1s"})
    herald = start.herald(body, hostname=HOSTNAME, default_relay="smarthost")

    def one(caller):
        room = Room(os.path.join(herald.runtime, "submit.sock"))
        try:
            done = hand_in(room, caller)
            assert done.returncode == 0, f"{caller.name}: {done.stdout.decode()} {room.errors()}"
            assert [call.status for call in wait_until(room.calls, caller.name)] == [0]
        finally:
            room.stop()
    side_by_side(one)
    herald.kill()
    herald.start()
    assert herald.status()["queue"]["messages"] == len(CALLERS)
    sink = start.py_sink(port=sink_port)
    herald.wait_empty()
    # Those that were under way may come twice after a crash; here nothing was.
    assert len(sink.messages) == len(CALLERS)
