"""Mail straight to the exchangers of the recipients' domains (RFC 5321 5.1): a real name server, hosts on their own network."""

import os
import re
import types

import pytest

from lib import conf
from lib.dns import OWN4, OWN6, NameServer, World
from lib.net import wait_until
from lib.smtp import message, message_id, submit

HOSTS = {name: f"192.0.2.{number}" for name, number in
         {"one": 11, "two": 12, "three": 13, "dead": 14, "last": 35}.items()}
SIX = "2001:db8::11"

# dead: a host without an SMTP server.  far: addresses without a route to them.
RECORDS = f"""
one A {HOSTS["one"]}
two A {HOSTS["two"]}
three A {HOSTS["three"]}
dead A {HOSTS["dead"]}
last A {HOSTS["last"]}
six AAAA {SIX}
both A {HOSTS["one"]}
both AAAA {SIX}
far A {HOSTS["two"]}
far AAAA 2001:db8:ffff::1
www CNAME two

home MX 10 one
order MX 20 two
order MX 10 one
failover MX 10 dead
failover MX 20 two
equal MX 10 one
equal MX 10 two
equal MX 10 three
address A {HOSTS["two"]}
address6 AAAA {SIX}
v6 MX 10 six
twofold MX 10 both
unreachable MX 10 far
alias CNAME order
mxalias MX 10 www
null MX 0 .
empty TXT "nothing here"
lost MX 10 gone
late MX 10 host.broken
self MX 10 herald.example.org.
self MX 20 one
me MX 10 this
this A {OWN4}
this6 MX 10 this6
this6 AAAA {OWN6}
backup MX 10 two
backup MX 20 three
backup MX 20 this
backup MX 30 one
local MX 10 loop
loop A 127.0.0.1
loop AAAA ::1
zero MX 10 none
none A 0.0.0.0
xn--bcher-kva MX 10 one
"""


def crowd():
    """Domains with more exchangers than are tried: 19 hosts without a server, then a living one, then others."""
    lines = [f"dead{n} A 192.0.2.{100 + n}\nmany MX {n} dead{n}\ntoomany MX {n} dead{n}" for n in range(1, 20)]
    lines += ["many MX 20 last", "many MX 21 one", "toomany MX 20 dead", "toomany MX 21 one"]
    lines += [f"big{n} A {HOSTS['one']}\nthousand MX {n} big{n}" for n in range(1, 1001)]
    return "\n".join(lines) + "\n"


class Hosts:
    """The world, its name server, a Python sink on each host, and heralds in it."""

    def __init__(self, start):
        self.start = start
        self.world = World(start.directory)
        start.running.append(self.world)
        for address in [*HOSTS.values(), SIX, *(f"192.0.2.{100 + n}" for n in range(1, 20))]:
            self.world.host(address)
        self.server = NameServer(self.world, RECORDS + crowd()).start()
        start.running.append(self.server)
        self.sinks = {name: self.sink(HOSTS[name]) for name in ("one", "two", "three", "last")}
        self.sinks["six"] = self.sink(SIX)

    def sink(self, address, **keywords):
        with self.world.outside():
            return self.start.py_sink(address=address, port=25, **keywords)

    def herald(self, starter, host="mx", **relay):
        body = (conf.block("queue", retry_min="1s", retry_max="2s")
                + conf.block("submission", "local", listen=["unix:submit.sock"])
                + conf.block("identity", local_names=[])    # else localhost would not be asked for
                + conf.block("relay", "direct", host=[host], tls="none", connect_timeout="5s", **relay))
        one = starter.herald(body, default_relay="direct", prefix=self.world.prefix)
        return types.SimpleNamespace(herald=one, endpoint=os.path.join(one.runtime, "submit.sock"))


@pytest.fixture(scope="module")
def hosts(start_module):
    return Hosts(start_module)


@pytest.fixture(scope="module")
def direct(hosts, start_module):
    """One herald for all domains: what one domain does must not matter to another."""
    return hosts.herald(start_module)


def send(relay, domain, count=1, sender="ann@home.example"):
    """Hands in messages for a domain; their Message-IDs."""
    idents = []
    for _ in range(count):
        idents.append(message_id())
        submit(relay.endpoint, message(idents[-1]), sender=sender, recipients=[f"bob@{domain}"])
    return idents


def where(hosts, ident):
    """The name of the sink that has a message."""
    return next((name for name, sink in hosts.sinks.items() if ident in sink.idents()), None)


def delivered(hosts, ident):
    return wait_until(lambda: where(hosts, ident), f"{ident} at a sink")


def bounced(hosts, ident):
    """The report of a message, as it came back to its sender."""
    def found():
        with hosts.sinks["one"].lock:
            return [one for one in hosts.sinks["one"].messages if one.sender == "" and ident.encode() in one.content]
    report = wait_until(found, f"a report of {ident}")[0]
    assert report.recipients == ["ann@home.example"]
    return report.content.decode()


@pytest.mark.parametrize("domain, host, place", [
    ("order.example", "one", "one.example[192.0.2.11]:25"),
    ("ORDER.Example", "one", "one.example[192.0.2.11]:25"),
    ("failover.example", "two", "two.example[192.0.2.12]:25"),
    ("address.example", "two", "address.example[192.0.2.12]:25"),
    ("address6.example", "six", "address6.example[2001:db8::11]:25"),
    ("v6.example", "six", "six.example[2001:db8::11]:25"),
    ("twofold.example", "six", "both.example[2001:db8::11]:25"),
    ("unreachable.example", "two", "far.example[192.0.2.12]:25"),
    ("alias.example", "one", "one.example[192.0.2.11]:25"),
    ("mxalias.example", "two", "www.example[192.0.2.12]:25"),
    ("backup.example", "two", "two.example[192.0.2.12]:25"),
    ("thousand.example", "one", "big1.example[192.0.2.11]:25"),
    ("many.example", "last", "last.example[192.0.2.35]:25"),
    ("[192.0.2.12]", "two", "192.0.2.12[192.0.2.12]:25"),
    ("[IPv6:2001:db8::11]", "six", "2001:db8::11[2001:db8::11]:25"),
])
def test_way_of_a_domain(hosts, direct, domain, host, place):
    """The best exchanger that takes it; what is dead or out of reach is passed over."""
    ident, = send(direct, domain)
    assert delivered(hosts, ident) == host
    direct.herald.wait_log(rf"(?i)to=<bob@{re.escape(domain)}>, relay={re.escape(place)}, .*status=sent")


@pytest.mark.parametrize("domain, dsn, words", [
    ("gone.example", "5.1.2", "no such domain"),
    ("null.example", "5.1.10", "takes no mail"),
    ("empty.example", "5.4.4", "no address"),
    ("lost.example", "5.4.4", "host gone.example: no such host"),
    ("self.example", "5.4.6", "its mail comes to this host"),
    ("me.example", "5.4.6", "its mail comes to this host"),
    ("this6.example", "5.4.6", "its mail comes to this host"),
    ("this.example", "5.4.6", "its mail comes to this host"),
    ("local.example", "5.4.4", "no address that mail can be sent to"),
    ("zero.example", "5.4.4", "no address that mail can be sent to"),
    ("localhost", "5.4.4", "no address that mail can be sent to"),
    (f"[{OWN4}]", "5.4.6", "its mail comes to this host"),
    ("[127.0.0.1]", "5.4.4", "no address that mail can be sent to"),
])
def test_no_way_for_good(hosts, direct, domain, dsn, words):
    """The sender is told at once, and why."""
    ident, = send(direct, domain)
    direct.herald.wait_log(rf"to=<bob@{re.escape(domain)}>, .*dsn={re.escape(dsn)}, status=bounced \(.*{re.escape(words)}")
    report = bounced(hosts, ident)
    assert f"Status: {dsn}\r\n" in report
    assert "Action: failed\r\n" in report


@pytest.mark.parametrize("domain, words", [
    ("broken.example", "domain broken.example: the DNS lookup failed"),       # SERVFAIL
    ("elsewhere.org", "domain elsewhere.org: the DNS lookup failed"),         # REFUSED
    ("late.example", "host host.broken.example: the DNS lookup failed"),
])
def test_no_way_for_now(hosts, start, domain, words):
    """The mail stays, whatever the name server's trouble is."""
    relay = hosts.herald(start)
    ident, = send(relay, domain)
    relay.herald.wait_log(rf"to=<bob@{re.escape(domain)}>, .*dsn=4\.4\.3, status=deferred \(.*{re.escape(words)}")
    assert relay.herald.status()["queue"]["messages"] == 1
    assert where(hosts, ident) is None


def test_no_more_than_twenty(hosts, start):
    """The twenty-first exchanger is alive, and is not tried."""
    relay = hosts.herald(start)
    ident, = send(relay, "toomany.example")
    relay.herald.wait_log(r"to=<bob@toomany\.example>, .*status=deferred")
    assert where(hosts, ident) is None


def test_equal_ones_share(hosts, start):
    """Exchangers of one preference all have their part (RFC 5321 5.1)."""
    relay = hosts.herald(start, max_messages_per_connection=1)
    idents = send(relay, "equal.example", 40)
    places = [delivered(hosts, ident) for ident in idents]
    assert {name: places.count(name) > 0 for name in ("one", "two", "three")} == {"one": True, "two": True, "three": True}, places


def test_a_domain_beyond_ascii(hosts, direct):
    """Looked up, and sent, as the DNS has it (RFC 5890); the exchanger need not know SMTPUTF8."""
    ident = message_id()
    submit(direct.endpoint, message(ident), sender="ann@home.example", recipients=["bob@bücher.example"], parameters=" SMTPUTF8")
    assert delivered(hosts, ident) == "one"
    taken = next(one for one in hosts.sinks["one"].messages if one.ident == ident)
    assert taken.recipients == ["bob@xn--bcher-kva.example"]


def test_domains_of_one_message(hosts, start):
    """Each recipient has its own domain's fate."""
    relay = hosts.herald(start)
    ident = message_id()
    submit(relay.endpoint, message(ident), sender="ann@home.example",
           recipients=["bob@order.example", "carol@address.example", "dave@gone.example", "eve@broken.example"])
    wait_until(lambda: ident in hosts.sinks["one"].idents() and ident in hosts.sinks["two"].idents(), "both copies")
    assert "dave@gone.example" in bounced(hosts, ident)
    relay.herald.wait_log(r"to=<eve@broken\.example>, .*dsn=4\.4\.3, status=deferred")


def test_a_dead_domain_delays_no_other(hosts, start):
    relay = hosts.herald(start)
    send(relay, "toomany.example", 20)
    ident, = send(relay, "order.example")
    wait_until(lambda: where(hosts, ident), "mail past a dead domain", 15)


def test_back_to_the_first(hosts, start):
    """A host that was dead is passed over without a try, and used again when it is back."""
    sink = hosts.sink(HOSTS["dead"], replies={"CONNECT": b"554 5.3.2 not today"})
    hosts.sinks["dead"] = sink
    try:
        relay = hosts.herald(start, max_messages_per_connection=1)
        ident, = send(relay, "failover.example")
        assert delivered(hosts, ident) == "two"
        tries = len(sink.sessions)
        assert tries >= 1
        for ident in send(relay, "failover.example", 3):
            assert delivered(hosts, ident) == "two"
        assert len(sink.sessions) == tries
        sink.replies.clear()

        def is_back():
            ident, = send(relay, "failover.example")
            return delivered(hosts, ident) == "dead"
        wait_until(is_back, "mail at the first exchanger again", 90, 1)
    finally:
        del hosts.sinks["dead"]
        sink.stop()


def test_servers_of_resolv_conf_change(hosts, start):
    """Without a reload: a machine that comes up late, or moves, has another file."""
    hosts.world.set_servers("192.0.2.99")
    try:
        relay = hosts.herald(start)
        ident, = send(relay, "order.example")
        relay.herald.wait_log(r"to=<bob@order\.example>, .*dsn=4\.4\.3, status=deferred")
    finally:
        hosts.world.set_servers("192.0.2.53")
    assert delivered(hosts, ident) == "one"


def test_a_domain_that_hosts_names(hosts, start):
    """hosts(5) knows addresses; the exchangers are the DNS's."""
    with open(hosts.world.hosts) as file:
        before = file.read()
    with open(hosts.world.hosts, "a") as file:
        file.write(f"{HOSTS['three']} order.example two.example\n")
    try:
        relay = hosts.herald(start)
        ident, = send(relay, "order.example")
        assert delivered(hosts, ident) == "one"
        ident, = send(relay, "mxalias.example")
        assert delivered(hosts, ident) == "two"
        ident, = send(relay, "backup.example")
        assert delivered(hosts, ident) == "three"
    finally:
        with open(hosts.world.hosts, "w") as file:
            file.write(before)
