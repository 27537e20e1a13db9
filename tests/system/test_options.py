"""The command line of heraldd (SPEC 2): options, exit codes, the faults of -t with file and line."""

import glob
import os
import re
import socket
import stat

import pytest

from lib import conf, daemon
from lib.daemon import run
from lib.net import fetch, free_port

CONF = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "conf")


@pytest.fixture
def conffile(start):
    """Writes a conffile that takes no place outside the test's folder, and returns its path."""
    def write(body, **top):
        return start.herald(body, start=False, **top).conffile
    return write


def secret_file(directory, text="correct horse\n", mode=0o600):
    path = os.path.join(directory, "secret")
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    daemon.shutil.chown(path, "nobody")
    return path


@pytest.mark.parametrize("option", ["-V", "--version"])
@pytest.mark.parametrize("name", ["heraldd", "heraldctl", "herald"])
def test_version(name, option):
    done = run(name, option)
    assert done.returncode == 0
    assert re.search(rb"\d+\.\d+", done.stdout)
    assert done.stderr == b""


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("name", ["heraldd", "heraldctl", "herald"])
def test_help(name, option):
    done = run(name, option)
    assert done.returncode == 0
    assert name.encode() in done.stdout
    assert done.stderr == b""


def test_help_names_every_option_of_heraldd():
    text = run("heraldd", "--help").stdout.decode()
    for option in "ctTdupVh":
        assert re.search(rf"(?<!\w)-{option}\b", text), f"-{option} is not in --help"


@pytest.mark.parametrize("name", ["heraldd", "heraldctl", "herald"])
def test_unknown_option_is_a_usage_error(name):
    done = run(name, "--no-such-option")
    assert done.returncode == 64
    assert re.match(rf"(.*/)?{name}: ", done.stderr.decode())
    assert done.stdout == b""


@pytest.mark.parametrize("name,arguments", [("heraldctl", ()), ("heraldctl", ("no-such-verb",)), ("herald", ()),
                                            ("herald", ("no-such-verb",)), ("heraldd", ("surplus",)), ("heraldd", ("-c",))])
def test_wrong_use(name, arguments):
    done = run(name, *arguments)
    assert done.returncode == 64
    assert done.stderr


def test_missing_conffile(tmp_path):
    done = run("heraldd", "-t", "-c", str(tmp_path / "absent.conf"))
    assert done.returncode in (66, 78)
    assert b"absent.conf" in done.stderr


def test_good_conffile_is_silent(conffile):
    done = run("heraldd", "-t", "-c", conffile(conf.greeting("welcome", f"127.0.0.1:{free_port()}", text="hi")))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_test_binds_nothing_and_writes_nothing(start):
    """-t of a running daemon's own conffile is fine: nothing is opened."""
    port = free_port()
    one = start.herald(conf.greeting("welcome", f"127.0.0.1:{port}", text="hi"))
    before = sorted(os.listdir(one.state))
    assert run("heraldd", "-t", "-c", one.conffile).returncode == 0
    assert sorted(os.listdir(one.state)) == before


@pytest.mark.parametrize("text,line,word", [
    ('nonsense = "1"\n', 1, "nonsense"),
    ('greeting welcome {\n    text = "x"\n    colour = "red"\n}\n', 3, "colour"),
    ('stop_timeout = "soon"\n', 1, "stop_timeout"),
    ('queue {\n    max_message_size = "many"\n}\n', 2, "max_message_size"),
    ('quotes books {\n    listen = {"127.0.0.1:3000"}\n    quotes = {"a"}\n    order = "backwards"\n}\n', 4, "order"),
    ('metrics { listen = "127.0.0.1:9725" }\n', 1, "not yet supported"),
    ('queue {\n    delay_warning = "6d"\n}\n', 2, "not less than lifetime"),
])
def test_fault_names_file_and_line(conffile, text, line, word):
    path = conffile("")
    with open(path, "w") as file:
        file.write(text)
    done = run("heraldd", "-t", "-c", path)
    assert done.returncode == 78
    assert done.stdout == b""
    assert re.match(rf"{re.escape(path)}:{line}: .*{word}", done.stderr.decode()), done.stderr


def expected_fault(path):
    """`# expect: LINE: text` in the first line; without a line number the text is the whole complaint."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.readline().removeprefix("# expect: ").rstrip("\n")
    return f"bad/{os.path.basename(path)}:{text}" if text[:1].isdigit() else text


def bad_files():
    return sorted(glob.glob(os.path.join(CONF, "bad", "*.conf")))


def good_files():
    return sorted(glob.glob(os.path.join(CONF, "good", "*.conf")))


def names(paths):
    return [os.path.basename(path) for path in paths]


def test_there_are_bad_conffiles():
    assert len(bad_files()) >= 20


@pytest.mark.parametrize("path", bad_files(), ids=names(bad_files()))
def test_bad_conffile(path):
    """Each file of tests/conf/bad through the real program: exit 78 and the fault that its first line announces."""
    done = run("heraldd", "-t", "-c", f"bad/{os.path.basename(path)}", cwd=CONF)
    assert done.returncode == 78, done.stderr
    assert done.stdout == b""
    assert done.stderr.decode("utf-8", "replace") == expected_fault(path) + "\n"


@pytest.mark.parametrize("path", good_files(), ids=names(good_files()))
def test_good_conffiles(path):
    done = run("heraldd", "-t", "-c", f"good/{os.path.basename(path)}", cwd=CONF)
    assert (done.returncode, done.stderr) == (0, b"")


def relay_with_secret(directory, mode=0o600):
    path = secret_file(directory, mode=mode)
    return conf.mail(free_port(), "127.0.0.1:25", tls="implicit", username="ann", password=f"file:{path}", auth="plain")


def test_effective_configuration_masks_secrets(start):
    one = start.herald("", start=False, default_relay="smarthost")
    one.configure(relay_with_secret(one.directory))
    done = run("heraldd", "-T", "-c", one.conffile)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "***" in text
    assert "correct horse" not in text and "correct horse" not in done.stderr.decode()
    for key in ("stop_timeout", "retry_max", "max_recipients", "connect_timeout", "bare_newline"):
        assert key in text, f"default of {key} is not printed"


def keys_of(printed):
    """What -T printed, without the comment that names the file."""
    return [line for line in printed.splitlines() if not line.startswith(b"#")]


def test_effective_configuration_is_a_conffile(start):
    """What -T prints is accepted by -t again, but for the masked secrets."""
    one = start.herald(conf.greeting("welcome", f"127.0.0.1:{free_port()}", text="您好 \"100 %%\"\\n"), start=False)
    printed = run("heraldd", "-T", "-c", one.conffile)
    assert printed.returncode == 0
    again = os.path.join(one.directory, "again.conf")
    with open(again, "wb") as file:
        file.write(printed.stdout)
    twice = run("heraldd", "-T", "-c", again)
    assert twice.returncode == 0, twice.stderr
    assert keys_of(twice.stdout) == keys_of(printed.stdout)


@pytest.mark.parametrize("mode", [0o644, 0o604])
def test_secret_readable_by_others_is_refused(start, mode):
    one = start.herald("", start=False, default_relay="smarthost")
    one.configure(relay_with_secret(one.directory, mode))
    done = run("heraldd", "-t", "-c", one.conffile)
    assert done.returncode == 78
    assert re.match(rf"{re.escape(one.conffile)}:\d+: .*secret", done.stderr.decode())


def test_bare_secret_is_refused(start):
    one = start.herald("", start=False, default_relay="smarthost")
    one.configure(conf.mail(free_port(), "127.0.0.1:25", tls="implicit", username="ann", password="hunter2"))
    done = run("heraldd", "-t", "-c", one.conffile)
    assert done.returncode == 78
    assert b"hunter2" not in done.stderr


def test_include(start):
    """A fault in an included file names that file."""
    one = start.herald("", start=False)
    part = os.path.join(one.directory, "part.conf")
    one.configure(f'include("{part}")\n')
    with open(part, "w") as file:
        file.write(conf.greeting("welcome", f"127.0.0.1:{free_port()}", text="hi"))
    assert run("heraldd", "-t", "-c", one.conffile).returncode == 0
    with open(part, "a") as file:
        file.write("greeting other { wrong = 1 }\n")
    done = run("heraldd", "-t", "-c", one.conffile)
    assert done.returncode == 78
    assert done.stderr.decode().startswith(f"{part}:5: "), done.stderr


def test_start_with_a_bad_conffile_fails(start):
    one = start.herald("nonsense = 1\n", start=False)
    done = run("heraldd", "-d", "-c", one.conffile)
    assert done.returncode == 78
    assert f"{one.conffile}:5: ".encode() in done.stderr


def test_start_on_a_port_in_use_fails(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one = start.herald(conf.greeting("welcome", f"127.0.0.1:{port}", text="hi"), start=False)
        done = run("heraldd", "-d", "-c", one.conffile)
    assert done.returncode not in (0, 70)
    assert b"in use" in done.stderr.lower() and str(port).encode() in done.stderr


def test_second_daemon_with_the_same_conffile_fails(start):
    """Two on one queue would harm each other: the second says why and goes, the first is not disturbed."""
    port = free_port()
    one = start.herald(conf.greeting("welcome", f"127.0.0.1:{port}", text="hi"))
    done = run("heraldd", "-d", "-c", one.conffile)
    assert done.returncode not in (0, 70)
    assert done.stderr
    assert one.ctl("health").returncode == 0
    assert fetch(("127.0.0.1", port)) == b"hi"


def test_user_and_pidfile(start):
    """Started by root it runs as the user; -u outweighs the conffile; -p holds its pid."""
    one = start.herald(conf.greeting("welcome", f"127.0.0.1:{free_port()}", text="hi"), start=False, user="root")
    pidfile = os.path.join(one.runtime, "herald.pid")
    one.arguments += ["-u", "nobody", "-p", pidfile]
    one.start()
    with open(f"/proc/{one.pid}/status") as lines:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
    assert status["Uid"].split() == ["65534"] * 4
    assert status["Gid"].split() == ["65534"] * 4
    assert status["Groups"].split() in ([], ["65534"])
    assert int(status["CapEff"], 16) in (0, 1 << 10), "more than CAP_NET_BIND_SERVICE is left"
    assert status["NoNewPrivs"] == "1"
    with open(pidfile) as file:
        assert file.read().strip() == str(one.pid)


def test_files_of_the_daemon_are_private(start):
    one = start.relay().herald
    database = os.path.join(one.state, "queue.db")
    assert stat.S_IMODE(os.stat(database).st_mode) & 0o077 == 0
    assert os.stat(database).st_uid == 65534


def test_state_directory_open_to_others_is_refused(start):
    """It holds mail (RULES F): open to others it is not used."""
    one = start.herald(conf.greeting("welcome", f"127.0.0.1:{free_port()}", text="hi"), start=False)
    os.chmod(one.state, 0o755)
    done = run("heraldd", "-d", "-c", one.conffile)
    assert done.returncode not in (0, 70)
    assert one.state.encode() in done.stderr
