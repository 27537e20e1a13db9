"""The mails of herald send on real ways: through the queue of a heraldd and a Postfix, and to the Postfix itself; they arrive as they were made."""

import os

import pytest

from lib.daemon import run
from lib.mails import MAILS, check, prepare
from lib.net import wait_until
from lib.postfix import Postfix
from lib.sending import OK, subject


@pytest.fixture(scope="module")
def way(start_module):
    """A heraldd whose smarthost is a Postfix, which has the domains of the table at home."""
    postfix = Postfix(start_module.directory)
    start_module.running.append(postfix)
    port = postfix.listen()
    relay = start_module.relay(host=f"127.0.0.1:{port}")
    relay.postfix, relay.servers = postfix.start(), {"queue": [], "server": ["--server", f"smtp://127.0.0.1:{port}"]}
    return relay


@pytest.mark.parametrize("name", [name for name in MAILS if name != "20 MiB"])
@pytest.mark.parametrize("where", ["queue", "server"])
def test_delivered(way, tmp_path, where, name):
    """Nothing of it is changed: lines, encodings, names, SMTPUTF8; only fields of servers come before it."""
    mail, ident = MAILS[name], subject()
    done = run("herald", "send", *prepare(mail, str(tmp_path)), "--header", f"X-Ident: {ident}", *way.servers[where], cwd=tmp_path, input=mail.stdin,
               env={**os.environ, "HERALD_SUBMIT_SOCKET": os.path.join(way.herald.runtime, "submit.sock")})
    assert (done.returncode, done.stdout, done.stderr) == (OK, b"", b"")
    octets = wait_until(lambda: way.postfix.delivered(ident), "the message in the mailbox").replace(b"\n", b"\r\n")
    check(mail, octets[octets.index(b"\r\nFrom:") + 2:])
