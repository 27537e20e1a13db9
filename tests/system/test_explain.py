"""The queue explains itself (SPEC 2): attempts, hold, release, bounce, reroute, trace, relays, route, probe."""

import base64
import json
import os
import socket
import ssl
import struct
import subprocess

import pytest

from lib import conf, daemon
from lib.net import free_port, wait_until
from lib.smtp import message, message_id, submit

SLOW = {"retry_min": "1h", "retry_max": "4h"}


@pytest.fixture
def stuck(start):
    """A herald whose peer refuses every recipient for now, with an hour until the next attempt."""
    relay = start.relay(queue=SLOW)
    relay.sink.replies["RCPT"] = b"451 4.3.0 not today"
    return relay


def deferred(relay, count=1, **keywords):
    idents = [submit(relay.endpoint, message(), **keywords) for _ in range(count)]
    wait_until(lambda: relay.herald.status()["queue"]["deferred"] >= count, "all deferred")
    return idents


def state(relay, ident):
    return [recipient["state"] for recipient in relay.herald.ask("queue", "show", ident)["recipients"]]


def test_show_tells_every_attempt(stuck):
    ident = deferred(stuck)[0]
    stuck.sink.replies["RCPT"] = b"450 4.2.1 mailbox busy"
    stuck.herald.ctl("queue", "retry", ident)
    wait_until(lambda: stuck.herald.ask("queue", "show", ident)["recipients"][0]["attempts"] == 2, "tried again")
    shown = stuck.herald.ask("queue", "show", ident)["recipients"][0]
    assert [one["reply"] for one in shown["history"]] == ["451 4.3.0 not today", "450 4.2.1 mailbox busy"]
    for one in shown["history"]:
        assert one["step"] == "RCPT TO" and one["charged"] and one["tls"] == ""
        assert one["relay"].startswith("smarthost/127.0.0.1[127.0.0.1]:")
        assert abs(one["at"] - shown["last_attempt"]) < 300
    assert shown["next_attempt"] > shown["last_attempt"] and shown["why"]
    text = stuck.herald.ctl("queue", "show", ident).stdout.decode()
    assert "451 4.3.0 not today" in text and "RCPT TO" in text and "why:" in text


def test_show_tells_what_was_not_charged(start):
    """A relay that cannot be reached: the mail waits, and says for what."""
    port = free_port()
    relay = start.relay(host=f"127.0.0.1:{port}", queue=SLOW)
    ident = submit(relay.endpoint, message())
    wait_until(lambda: relay.herald.ask("queue", "show", ident)["recipients"][0]["history"], "it is told")
    shown = relay.herald.ask("queue", "show", ident)["recipients"][0]
    assert shown["attempts"] == 0 and shown["state"] == "deferred"
    assert not shown["history"][0]["charged"] and "refused" in shown["history"][0]["reply"]
    assert "not charged" in relay.herald.ctl("queue", "show", ident).stdout.decode()


def test_hold_and_release(stuck):
    first, second = deferred(stuck, 2)
    assert stuck.herald.ctl("queue", "hold", first).stdout == b"1 changed\n"
    assert state(stuck, first) == ["held"] and state(stuck, second) == ["deferred"]
    stuck.sink.replies.clear()
    stuck.herald.ctl("queue", "retry", "--all")
    stuck.sink.wait_messages(1)
    wait_until(lambda: [one["id"] for one in stuck.herald.queue()] == [first], "the held one stays")
    assert stuck.herald.status()["queue"]["held"] == 1
    stuck.herald.stop()
    stuck.herald.start()
    assert state(stuck, first) == ["held"]
    assert stuck.herald.ctl("queue", "release", "--all").returncode == 0
    stuck.sink.wait_messages(2)
    stuck.herald.wait_empty()


def test_bounce_returns_mail_to_its_sender(stuck):
    ident = deferred(stuck)[0]
    stuck.sink.replies.clear()
    assert stuck.herald.ctl("queue", "bounce", ident).returncode == 0
    stuck.sink.wait_messages(1)
    stuck.herald.wait_empty()
    report = stuck.sink.messages[0]
    assert b"multipart/report" in report.content and b"Status: 5.7.0" in report.content
    assert b"bob@example.net" in report.content


@pytest.mark.parametrize("verb", ["hold", "release", "bounce", "remove", "retry"])
def test_dry_runs_change_nothing(stuck, verb):
    ident = deferred(stuck)[0]
    done = stuck.herald.ctl("queue", verb, "--all", "--dry-run")
    assert done.returncode == 0
    expected = b"0" if verb == "release" else b"1"
    assert done.stdout.splitlines()[-1].split()[0] == expected
    assert state(stuck, ident) == ["deferred"]


@pytest.fixture
def two(start):
    """Two relays; a route sends what is for example.com by the second one."""
    sinks = [start.py_sink(), start.py_sink()]
    port = free_port()
    body = (conf.mail(port, sinks[0].host, SLOW)
            + conf.block("relay", "other", host=[sinks[1].host], tls="none")
            + conf.block("route", recipient=["*@example.com"], relay="other"))
    one = start.herald(body, default_relay="smarthost")
    return one, ("127.0.0.1", port), sinks


def test_reroute(two):
    one, endpoint, (first, second) = two
    first.replies["RCPT"] = b"451 4.3.0 not today"
    ident = submit(endpoint, message())
    wait_until(lambda: one.status()["queue"]["deferred"] == 1, "deferred")
    done = one.ctl("queue", "reroute", "nobody", ident)
    assert done.returncode == 65 and b"relay" in done.stderr
    assert one.ctl("queue", "reroute", "other", ident).returncode == 0
    second.wait_messages(1)
    one.wait_empty()
    assert not first.messages


def test_routes_and_what_route_says(two):
    one, endpoint, (first, second) = two
    submit(endpoint, message(), recipients=["a@example.com"])
    submit(endpoint, message(), recipients=["b@example.net"])
    second.wait_messages(1)
    first.wait_messages(1)
    by_route = one.ask("route", "--recipient", "a@example.com", "--sender", "x@example.org")
    assert by_route["relay"] == "other" and "herald.conf:" in by_route["rule"]
    assert one.ask("route", "--recipient", "b@example.net")["relay"] == "smarthost"
    assert b"other" in one.ctl("route", "--recipient", "a@example.com").stdout
    assert one.ctl("route").returncode == 64
    assert one.ctl("route", "--recipient", "no address").returncode == 65


def test_one_message_to_both_relays(two):
    one, endpoint, (first, second) = two
    submit(endpoint, message(), recipients=["a@example.com", "b@example.net"])
    first.wait_messages(1)
    second.wait_messages(1)
    one.wait_empty()


def test_pause_and_resume(stuck):
    """Nothing is sent, over a restart too; then at once."""
    stuck.sink.replies.clear()
    assert stuck.herald.ctl("relay", "pause", "smarthost").returncode == 0
    for _ in range(5):
        submit(stuck.endpoint, message())
    assert stuck.herald.ask("relays")[0]["paused"] is True
    stuck.herald.stop()
    stuck.herald.start()
    assert stuck.herald.ask("relays")[0]["paused"] is True
    assert stuck.herald.status()["queue"]["messages"] == 5 and not stuck.sink.messages
    assert b"paused" in stuck.herald.ctl("relays").stdout
    assert stuck.herald.ctl("relay", "resume", "smarthost").returncode == 0
    stuck.sink.wait_messages(5)
    stuck.herald.wait_empty()
    assert stuck.herald.ctl("relay", "pause", "nobody").returncode == 65


def test_trace_finds_what_was_delivered(stuck):
    stuck.sink.replies.clear()
    ident = message_id()
    queue_id = submit(stuck.endpoint, message(ident), recipients=["bob@example.net", "carol@example.net"])
    stuck.herald.wait_empty()
    for what in (queue_id, ident, ident.strip("<>"), "ann@example.org"):
        rows = stuck.herald.ask("trace", what)
        assert {row["recipient"] for row in rows} == {"bob@example.net", "carol@example.net"}, what
        for row in rows:
            assert row["id"] == queue_id and row["fate"] == "sent" and row["finished"] >= row["arrived"]
            assert row["reply"].startswith("250") and row["relay"].startswith("smarthost/")
    assert [row["recipient"] for row in stuck.herald.ask("trace", "CAROL@example.net")] == ["carol@example.net"]
    assert stuck.herald.ask("trace", "stranger@example.net") == []
    assert b"nothing is known" in stuck.herald.ctl("trace", "stranger@example.net").stdout


def test_trace_finds_what_is_queued_refused_or_removed(stuck):
    queue_id = deferred(stuck)[0]
    assert [row["fate"] for row in stuck.herald.ask("trace", queue_id)] == ["queued"]
    stuck.herald.ctl("queue", "remove", queue_id)
    assert [row["fate"] for row in stuck.herald.ask("trace", queue_id)] == ["removed"]
    stuck.sink.replies["RCPT"] = b"550 5.1.1 no such user"
    refused = submit(stuck.endpoint, message())
    wait_until(lambda: [row["fate"] for row in stuck.herald.ask("trace", refused)] == ["bounced"], "bounced is told")
    stuck.herald.stop()
    stuck.herald.start()
    assert [row["fate"] for row in stuck.herald.ask("trace", refused)] == ["bounced"]


def test_history_can_be_off(start):
    relay = start.relay(queue={**SLOW, "history": "0s"})
    queue_id = submit(relay.endpoint, message())
    relay.herald.wait_empty()
    assert relay.herald.ask("trace", queue_id) == []


def test_relays(stuck):
    deferred(stuck)
    relay = stuck.herald.ask("relays")[0]
    assert relay["name"] == "smarthost" and relay["paused"] is False and relay["suspended_seconds"] == 0
    assert relay["deferred"] == 1


def test_probe(stuck):
    """Each step with its time, the dialogue, and no mail."""
    result = stuck.herald.ask("probe", "smarthost")
    assert result["ok"] and result["relay"] == "smarthost"
    assert [step["step"] for step in result["steps"]] == ["DNS", "connect", "greeting", "EHLO", "QUIT"]
    assert all(step["ok"] and step["milliseconds"] >= 0 for step in result["steps"])
    assert result["dialogue"][0].startswith("< 220 ") and result["dialogue"][1].startswith("> EHLO")
    assert not any("MAIL" in line for line in result["dialogue"] if line.startswith(">"))
    done = stuck.herald.ctl("probe", "smarthost", "-v")
    assert done.returncode == 0 and b"> EHLO" in done.stdout and b"takes mail" in done.stdout
    assert stuck.herald.ctl("probe", "nobody").returncode == 65
    assert stuck.herald.ctl("probe", "smarthost", "example.org").returncode == 64


def test_probe_of_a_relay_that_is_down(start):
    relay = start.relay(host=f"127.0.0.1:{free_port()}")
    done = relay.herald.ctl("probe", "smarthost")
    assert done.returncode == 69 and b"FAIL" in done.stdout and b"refused" in done.stdout


def test_probe_verifies_and_masks(start, certificates):
    """TLS, certificate and AUTH are steps of their own; the secret is in no answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.path("good"))
    peer = start.py_sink(tls="starttls", context=context, users={"ann": "secret-word"})
    path = os.path.join(start.directory, "secret")
    with open(path, "w") as file:
        file.write("secret-word\n")
    os.chmod(path, 0o600)
    daemon.shutil.chown(path, "nobody")
    relay = start.relay(host=f"localhost:{peer.port}", tls="starttls", tls_ca_file=certificates.ca, username="ann",
                        password=f"file:{path}")
    result = relay.herald.ask("probe", "smarthost")
    assert result["ok"], result
    assert [step["step"] for step in result["steps"] if step["ok"]][-9:] == [
        "DNS", "connect", "greeting", "EHLO", "STARTTLS", "TLS handshake", "EHLO", "AUTH", "QUIT"], result
    assert result["tls"].endswith("/verified") and "CN" in result["certificate"]
    assert "secret-word" not in str(result)
    assert base64.b64encode(b"\0ann\0secret-word").decode() not in str(result)


def test_probe_in_the_clear_says_no_secret(start):
    """What a session would not send where opportunistic TLS has failed, a probe does not send either."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("aNULL:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    peer = start.py_sink(tls="starttls", context=context, users={"ann": "secret-word"})
    path = os.path.join(start.directory, "secret")
    with open(path, "w") as file:
        file.write("secret-word\n")
    os.chmod(path, 0o600)
    daemon.shutil.chown(path, "nobody")
    relay = start.relay(host=f"localhost:{peer.port}", tls="opportunistic", username="ann", password=f"file:{path}")
    result = relay.herald.ask("probe", "smarthost")
    assert result["ok"] and [step["step"] for step in result["steps"] if not step["ok"]][-1] == "TLS handshake", result
    assert len(peer.sessions) > 1 and all("AUTH" not in session.verbs() for session in peer.sessions)


def test_probe_comes_from_the_source_address(start):
    """As mail does: a peer may know us by it."""
    listener = socket.create_server(("127.0.0.1", 0))
    relay = start.relay(host=f"localhost:{listener.getsockname()[1]}", source_address="127.0.0.2")
    asked = subprocess.Popen([daemon.program("heraldctl"), "-s", relay.herald.control, "probe", "smarthost"],
                             stdout=subprocess.PIPE)
    peer, address = listener.accept()
    peer.close()
    listener.close()
    assert address[0] == "127.0.0.2" and b"FAIL" in asked.communicate()[0]


def test_probe_shows_the_certificate_that_is_refused(start, certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.path("expired"))
    peer = start.py_sink(tls="starttls", context=context)
    relay = start.relay(host=f"localhost:{peer.port}", tls="starttls", tls_ca_file=certificates.ca)
    result = json.loads(relay.herald.ctl("--json", "probe", "smarthost").stdout)
    assert not result["ok"] and "expired" in result["text"], result
    assert result["certificate"].startswith("subject CN=") and "until " in result["certificate"], result


class Reset:
    """In the place of a context: the connection is reset in the handshake."""

    @staticmethod
    def wrap_socket(sock, server_side):
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        raise OSError("reset")


def test_probe_goes_on_where_the_handshake_is_cut(start):
    """As mail does, whichever way opportunistic TLS fails."""
    peer = start.py_sink(tls="starttls", context=Reset)
    relay = start.relay(host=f"127.0.0.1:{peer.port}", tls="opportunistic")
    result = relay.herald.ask("probe", "smarthost")
    assert result["ok"] and [step["step"] for step in result["steps"] if not step["ok"]] == ["TLS handshake"], result
