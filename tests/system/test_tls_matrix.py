"""RULES V1-V24, TARGETS R8: each certificate under each policy, through the daemon; one relay a cell, one message a relay."""

import re
import warnings

import pytest

from lib import certs_matrix, conf, daemon
from lib.certs_matrix import ROWS
from lib.net import free_port, wait_until
from lib.smtp import message, submit

# Name, keys of the relay, whether the certificate is judged.
POLICIES = [
    ("opportunistic", {"tls": "opportunistic"}, False),
    ("unverified", {"tls": "starttls", "tls_verify": False}, False),
    ("starttls", {"tls": "starttls"}, True),
    ("implicit", {"tls": "implicit"}, True),
]


def cell(row, policy):
    return f"{row.ident}-{policy}"


def relay_block(matrix, row, policy, keys, judged, port):
    keys = dict(keys)
    if judged and row.pin:
        keys["tls_fingerprint"] = matrix.fingerprint(row)
    elif judged:
        keys["tls_ca_file"] = matrix.ca
    return conf.block("relay", cell(row, policy), host=[f"{row.host}:{port}"], connect_timeout="10s", **keys)


@pytest.fixture(scope="module")
def log(start_module):
    """The log once every cell has had its attempt, and the sinks by cell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")      # TLS 1.0 and SHA-1 are what is tested
        matrix = certs_matrix.Matrix(start_module.directory)
        sinks = {(row.ident, mode): start_module.py_sink(tls=mode, context=matrix.context(row))
                 for row in ROWS for mode in ("starttls", "implicit")}
    port = free_port()
    body = (conf.block("queue", retry_min="1h", retry_max="1h")
            + conf.block("submission", "local", listen=[f"127.0.0.1:{port}"]))
    for row in ROWS:
        for policy, keys, judged in POLICIES:
            mode = "implicit" if policy == "implicit" else "starttls"
            body += relay_block(matrix, row, policy, keys, judged, sinks[row.ident, mode].port)
            body += conf.block("route", recipient=[f"{cell(row, policy)}@example.net"], relay=cell(row, policy))
    herald = start_module.herald(body, default_relay=cell(ROWS[0], "implicit"))
    names = [cell(row, policy) for row in ROWS for policy, _, _ in POLICIES]
    for name in names:
        submit(("127.0.0.1", port), message(recipient=f"{name}@example.net"), recipients=[f"{name}@example.net"])
    wait_until(lambda: all(f"to=<{name}@example.net>" in herald.log() for name in names), "an attempt for each cell", 180)
    herald.sinks = sinks
    return herald


def outcome(herald, name):
    """(status, tls, text) of the one line of a cell; tls is "" in the clear."""
    lines = re.findall(rf"to=<{name}@example\.net>, .*?(?:tls=(\S+), )?dsn=\S+, status=(\w+) \((.*)\)$", herald.log(), re.M)
    assert len(lines) == 1, f"{name}: {lines}"
    return lines[0][1], lines[0][0], lines[0][2]


@pytest.mark.parametrize("policy,judged", [(name, judged) for name, _, judged in POLICIES])
@pytest.mark.parametrize("row", ROWS, ids=[f"{row.ident} {row.what}" for row in ROWS])
def test_cell(log, row, policy, judged):
    expected = row.verified if judged else row.unverified
    status, tls, text = outcome(log, cell(row, policy))
    if expected in ("encrypted", "verified"):
        assert (status, tls.split("/")[-1]) == ("sent", expected), text
        assert re.match(r"TLSv1\.[23]/", tls)
    elif policy == "opportunistic":
        assert (status, tls) == ("sent", ""), text
    else:
        assert status == "deferred" and expected in text, text


def test_nothing_came_where_nothing_should(log):
    """What the peers saw is what the log says: mail in the clear for the opportunistic policy alone."""
    for (ident, _), sink in log.sinks.items():
        for session in sink.sessions:
            for secure, line in session.commands:
                if line.split(b" ")[0] in (b"MAIL", b"RCPT", b"DATA") and not secure:
                    assert b"RCPT" not in line or f"{ident}-opportunistic@".encode() in line
    assert "status=bounced" not in log.log()


def test_bad_fingerprint_is_refused(start):
    """-t names the line."""
    one = start.herald("", start=False, default_relay="smarthost")
    one.configure(conf.mail(free_port(), "localhost:25", tls="starttls", tls_fingerprint="sha256:12"))
    done = daemon.run("heraldd", "-t", "-c", one.conffile)
    assert done.returncode == 78 and b"tls_fingerprint" in done.stderr
