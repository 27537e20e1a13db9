"""Under systemd: the units start, reload and stop the daemon, hold its sockets, and shut it in (TARGETS R12)."""

import fcntl
import os
import re
import socket
import subprocess

import pytest

from lib import conf
from lib.container import Container
from lib.daemon import run
from lib.net import fetch, free_port, need, wait_until
from lib.smtp import message, submit

TEXT = "您好，您收到了服务器的新年祝福！"


def test_sockets_from_the_environment(start):
    """systemd:NAME for a TCP, a UDP and a UNIX socket; they survive a reload."""
    ports = [free_port(), free_port()]
    tcp = socket.create_server(("127.0.0.1", ports[0]))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", ports[1]))
    path = os.path.join(start.directory, "submit.sock")
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    unix.bind(path)
    unix.listen()
    os.chmod(path, 0o666)
    sink = start.py_sink()
    body = (conf.greeting("welcome", "systemd:greeting", text=TEXT) + conf.quotes("books", "systemd:quotes", quotes=["a", "b"])
            + conf.mail(free_port(), sink.host, submission={"listen": ["systemd:submission"]}))
    # The shell puts them where systemd does, from 3 on, and sets LISTEN_PID to what heraldd's will be.
    inherited = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, 100) for sock in (tcp, udp, unix)]
    script = 'LISTEN_PID=$$; export LISTEN_PID; exec 3<&%d 4<&%d 5<&%d; exec "$@"' % tuple(inherited)
    one = start.herald(body, start=False, prefix=("bash", "-c", script, "bash"), default_relay="smarthost",
                       environment={"LISTEN_FDS": "3", "LISTEN_FDNAMES": "greeting:quotes:submission"})
    one.start(pass_fds=inherited)

    def works():
        assert fetch(("127.0.0.1", ports[0])) == TEXT.encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(30)
            asker.sendto(b"?", ("127.0.0.1", ports[1]))
            assert asker.recv(100) in (b"a", b"b")
        submit(path, message())
    works()
    one.reload()
    works()
    sink.wait_messages(2)
    for descriptor in inherited:
        os.close(descriptor)
    for sock in (tcp, udp, unix):
        sock.close()


def test_name_that_systemd_does_not_pass(start):
    one = start.herald(conf.greeting("welcome", "systemd:greeting", text=TEXT), start=False)
    done = run("heraldd", "-d", "-c", one.conffile)
    assert done.returncode not in (0, 70)
    assert b"greeting" in done.stderr


@pytest.fixture(scope="module")
def container():
    one = Container()
    try:
        one.install()
        one.boot()
        one.run("systemd-sysusers", check=True)
        one.run("systemd-tmpfiles", "--create")
        one.run("systemctl", "daemon-reload", check=True)
        unit = one.run("systemctl", "cat", "herald.service", check=True).stdout.decode()
        one.conffile = re.search(r"-c (\S+)", unit).group(1)
        yield one
    finally:
        one.stop()


def body(text=TEXT, greeting="127.0.0.1:3000", quotes="127.0.0.1:3000", submission="127.0.0.1:2525"):
    return ('hostname = "herald.example.org"\ndefault_relay = "smarthost"\n' + conf.greeting("welcome", greeting, text=text)
            + conf.quotes("books", quotes, quotes=["a quote"]) + conf.mail(0, "127.0.0.1:2626", submission={"listen": [submission]}))


def active(container):
    return container.run("systemctl", "is-active", "herald.service").stdout.strip() == b"active"


def greet(container):
    return container.run(container.find("herald"), "greet", "127.0.0.1:3000", check=True).stdout.decode().rstrip("\n")


@pytest.mark.slow
def test_exposure(container):
    """`systemd-analyze security` gives at most 1.2."""
    unit = container.root + container.find("herald.service")
    done = subprocess.run([need("systemd-analyze"), "security", "--no-pager", "--offline=yes", "--threshold=12", unit],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout.decode()[-300:])
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.slow
def test_units_are_clean(container):
    names = ["herald.service", "herald-greeting.socket", "herald-quotes.socket", "herald-submission.socket"]
    done = container.run("systemd-analyze", "verify", "--man=no", *names)
    assert done.returncode == 0 and b"herald" not in done.stdout, done.stdout.decode()


@pytest.mark.slow
def test_start_serve_reload_stop(container):
    """Type=notify: started means ready.  All three services work inside the sandbox, and the journal shows it."""
    container.write(container.conffile, body())
    container.run("systemctl", "start", "herald.service", check=True)
    assert active(container)
    assert greet(container) == TEXT
    assert container.run(container.find("herald"), "quote", "127.0.0.1:3000", "x", check=True).stdout == b"a quote\n"
    sink = subprocess.Popen(container.inside(need("smtp-sink"), "-u", "nobody", "127.0.0.1:2626", "100", network_only=True),
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        container.run(need("smtp-source"), "-m", "5", "-f", "ann@example.org", "-t", "bob@example.net", "127.0.0.1:2525",
                      check=True, network_only=True)
        wait_until(lambda: container.journal().count("status=sent") == 5, "five messages sent, as the journal says")
    finally:
        sink.kill()
        sink.wait()
    main = container.run("systemctl", "show", "-P", "MainPID", "herald.service").stdout.strip().decode()
    user = container.run("stat", "-c", "%U", f"/proc/{main}").stdout.strip()
    assert user == b"herald"
    container.write(container.conffile, body("another text"))
    container.run("systemctl", "reload", "herald.service", check=True)
    wait_until(lambda: greet(container) == "another text", "the new text")
    assert re.search(r"reload: generation \d+ in force", container.journal())
    assert container.run("systemctl", "show", "-P", "MainPID", "herald.service").stdout.strip().decode() == main
    container.write(container.conffile, body("third text") + "nonsense = 1\n")
    container.run("systemctl", "reload", "herald.service")
    wait_until(lambda: "nonsense" in container.journal(), "the fault in the journal")
    assert greet(container) == "another text" and active(container)
    container.write(container.conffile, body())
    container.run("systemctl", "stop", "herald.service", check=True)
    assert container.run("systemctl", "show", "-P", "Result", "herald.service").stdout.strip() == b"success"
    assert not active(container)


@pytest.mark.slow
def test_bad_conffile_fails_the_start_for_good(container):
    """78 is not tried again: the unit has failed, and its status names the line."""
    container.write(container.conffile, body() + "nonsense = 1\n")
    done = container.run("systemctl", "start", "herald.service")
    assert done.returncode != 0
    assert container.run("systemctl", "show", "-P", "ExecMainStatus", "herald.service").stdout.strip() == b"78"
    assert re.search(rf"{re.escape(container.conffile)}:\d+: .*nonsense", container.journal())
    container.run("systemctl", "reset-failed", "herald.service")


@pytest.mark.slow
def test_crash_is_followed_by_a_restart(container):
    container.write(container.conffile, body())
    container.run("systemctl", "start", "herald.service", check=True)
    before = container.run("systemctl", "show", "-P", "MainPID", "herald.service").stdout.strip()
    container.run("systemctl", "kill", "-s", "KILL", "herald.service", check=True)

    def restarted():
        now = container.run("systemctl", "show", "-P", "MainPID", "herald.service").stdout.strip()
        return active(container) and now not in (before, b"0")
    wait_until(restarted, "the restart")
    assert greet(container) == TEXT
    container.run("systemctl", "stop", "herald.service", check=True)


@pytest.mark.slow
def test_socket_activation(container):
    """The sockets are there before the daemon: the first client starts it, and restarts refuse nobody."""
    container.write(container.conffile, body(greeting="systemd:greeting", quotes="systemd:quotes", submission="systemd:submission"))
    sockets = ["herald-greeting.socket", "herald-quotes.socket", "herald-submission.socket"]
    container.run("systemctl", "start", *sockets, check=True)
    assert not active(container)
    assert greet(container) == TEXT
    assert active(container)
    assert container.run(container.find("herald"), "quote", "127.0.0.1:3000", "x", check=True).stdout == b"a quote\n"
    for _ in range(5):
        restart = subprocess.Popen(container.inside("systemctl", "restart", "herald.service"), stdin=subprocess.DEVNULL)
        assert greet(container) == TEXT
        assert restart.wait(60) == 0
    container.run("systemctl", "stop", *sockets, "herald.service", check=True)


@pytest.mark.slow
def test_mail_on_failure(container):
    """The example unit: systemd itself starts it when another unit fails, and the mail is in the queue."""
    example = os.path.join(os.path.dirname(__file__), "..", "..", "etc", "mail-on-failure@.service")
    with open(example, encoding="utf-8") as file:
        container.write("/etc/systemd/system/mail-on-failure@.service", file.read())
    container.write("/etc/systemd/system/bad-job.service", "[Unit]\nOnFailure=mail-on-failure@%n.service\n"
                    "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo the reason; exit 3'\n")
    container.run("ln", "-sf", container.find("herald-sendmail"), "/usr/sbin/sendmail", check=True)
    container.write(container.conffile, body().replace('"127.0.0.1:2525"', '"unix:submit.sock"'))
    container.run("systemctl", "daemon-reload", check=True)
    container.run("systemctl", "start", "herald.service", check=True)
    assert container.run("systemctl", "start", "bad-job.service").returncode != 0
    wait_until(lambda: "(queue active)" in (container.journal().rsplit("uid=0 from=", 1) + [""])[1], "the mail in the queue")
    show = container.run("systemctl", "show", "-P", "Result", "mail-on-failure@bad-job.service.service").stdout.strip()
    assert show == b"success"
    identity = re.findall(r"pickup\S* (\w+): uid=0 from=", container.journal())[-1]
    content = container.run(container.find("heraldctl"), "queue", "show", identity, "--content", check=True).stdout.decode()
    assert re.search(r"^Subject: \S+: bad-job\.service failed", content, re.M) and "code=exited, status=3" in content, content
    assert "the reason" in content
    container.run("systemctl", "stop", "herald.service", check=True)
