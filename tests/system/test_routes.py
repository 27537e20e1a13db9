"""Routes and relays of the conffile (SPEC 3): which way mail takes, rates, and what a reload changes or refuses."""

import os
import shutil
import socket

from lib import conf
from lib.net import TIMEOUT, free_port, wait_until
from lib.smtp import message, message_id, submit

RELAYS = ("smarthost", "work", "lists")


def conffile(port, sinks, routes, **keys):
    """A relay for each sink, by name; `keys` are those of the relay work."""
    blocks = [conf.mail(port, sinks["smarthost"].host)]
    for name in RELAYS[1:]:
        blocks.append(conf.block("relay", name, host=[sinks[name].host], tls="none", **(keys if name == "work" else {})))
    return "".join(blocks) + "".join(conf.block("route", **route) for route in routes)


def routed(start, routes, **keys):
    sinks = {name: start.py_sink() for name in RELAYS}
    port = free_port()
    one = start.herald(conffile(port, sinks, routes, **keys), default_relay="smarthost")
    return one, port, sinks


def send(port, sender="ann@example.org", recipients=("bob@example.net",)):
    ident = message_id()
    submit(("127.0.0.1", port), message(ident), sender, recipients)
    return ident


def recipients_at(sink, ident):
    with sink.lock:
        return sorted(to for one in sink.messages if one.ident == ident.encode() or one.ident == ident for to in one.recipients)


def expect(sinks, ident, **where):
    for name, recipients in where.items():
        wait_until(lambda: len(recipients_at(sinks[name], ident)) == len(recipients), f"{ident} at {name}")
    for name in RELAYS:
        got = [to.decode() if isinstance(to, bytes) else to for to in recipients_at(sinks[name], ident)]
        assert got == sorted(where.get(name, [])), name


ROUTES = (
    {"sender": ["*@Work.example", "ann+*@example.org"], "relay": "work"},
    {"recipient": ["*@lists.example.net", "*@*.lists.example.net"], "relay": "lists"},
    {"sender": ["<>"], "relay": "work"},
)


def test_first_match_wins_for_each_recipient(start):
    one, port, sinks = routed(start, ROUTES)
    expect(sinks, send(port), smarthost=["bob@example.net"])
    expect(sinks, send(port, "eve@work.EXAMPLE", ["x@lists.example.net"]), work=["x@lists.example.net"])
    expect(sinks, send(port, "Ann+a@example.org"), work=["bob@example.net"])
    expect(sinks, send(port, "", ["bob@example.net"]), work=["bob@example.net"])
    expect(sinks, send(port, recipients=["a@lists.example.net", "b@a.lists.example.net", "c@example.net", "d@mylists.example.net"]),
           lists=["a@lists.example.net", "b@a.lists.example.net"], smarthost=["c@example.net", "d@mylists.example.net"])
    one.wait_empty()


def test_reload_changes_the_way_of_what_waits(start):
    one, port, sinks = routed(start, ({"relay": "work"},))
    sinks["work"].replies["MAIL"] = b"451 4.3.0 not now"
    ident = send(port)
    one.wait_log(r"status=deferred .*not now")
    lines = one.reload(conffile(port, sinks, ({"sender": ["*@example.org"], "relay": "lists"}, {"relay": "work"})))
    assert "in force: route changed" in lines
    expect(sinks, ident, lists=["bob@example.net"])
    expect(sinks, send(port), lists=["bob@example.net"])


def test_a_route_to_nowhere_is_refused_at_reload(start):
    one, port, sinks = routed(start, ROUTES)
    lines = one.reload(conffile(port, sinks, ({"relay": "nowhere"},)))
    assert 'relay: "nowhere" names no relay block' in lines and "reload refused" in lines
    expect(sinks, send(port, "eve@work.example"), work=["bob@example.net"])


def test_a_secret_for_all_eyes_is_refused_for_every_relay(start):
    one, port, sinks = routed(start, ())
    path = os.path.join(one.directory, "secret")
    with open(path, "w") as file:
        file.write("correct horse\n")
    shutil.chown(path, "nobody", "nogroup")
    os.chmod(path, 0o644)
    account = {"username": "ann", "password": f"file:{path}"}
    lines = one.reload(conffile(port, sinks, (), **account))
    assert "reload refused" in lines and "could be read by others" in lines and "correct horse" not in lines
    os.chmod(path, 0o600)
    lines = one.reload(conffile(port, sinks, (), **account))
    assert "relay.work.username" in lines and "refused" not in lines


def test_rate_holds_over_a_restart(start):
    """Five are waiting, three may go; neither a restart nor an administrator's hurry makes room, a reload without the limit does."""
    one, port, sinks = routed(start, ({"relay": "work"},), rate=["3/m", "100/d"])
    for _ in range(5):
        send(port)
    sinks["work"].wait_messages(3)

    def waiting():
        return len(one.queue()) == 2

    wait_until(waiting, "two messages left")
    one.stop()
    one.start()
    mark = one.mark()
    one.ctl("queue", "retry", "--all")
    send(port)
    one.wait_log(r"status=deferred \(the rate of relay work", since=mark)
    assert len(sinks["work"].messages) == 3
    one.reload(conffile(port, sinks, ({"relay": "work"},)))
    one.wait_empty(20)
    assert len(sinks["work"].messages) == 6


def test_source_address(start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT)
        relay = start.relay(host=f"127.0.0.1:{server.getsockname()[1]}", source_address="127.0.0.9")
        send(relay.port)
        sock, peer = server.accept()
        sock.close()
        assert peer[0] == "127.0.0.9"
