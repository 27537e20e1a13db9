"""A relay that is slow and has much to do keeps no mail of another one waiting."""

import time

import pytest

from lib import conf
from lib.net import free_port, wait_until
from lib.sink import smtp_source
from lib.smtp import message, message_id, submit


@pytest.mark.slow
def test_a_slow_relay_starves_no_other(start):
    slow = start.py_sink(replies={".": lambda session, message: time.sleep(0.2)})
    quick = start.py_sink()
    port = free_port()
    body = (conf.mail(port, slow.host, max_connections=2)
            + conf.block("relay", "other", host=[quick.host], tls="none")
            + conf.block("route", recipient=["*@other.example"], relay="other"))
    one = start.herald(body, default_relay="smarthost")
    one.ctl("relay", "pause", "smarthost")
    smtp_source(port, "-m", "3000", "-s", "4", "-l", "500", "-f", "ann@example.org", "-t", "bob@example.net")
    wait_until(lambda: one.status()["queue"]["deferred"] >= 3000, "all wait", 120)
    one.ctl("relay", "resume", "smarthost")
    slow.wait_messages(10)

    def later_once(session, line):
        quick.replies.pop("RCPT")
        return b"451 4.3.0 later"

    quick.replies["RCPT"] = later_once
    submit(("127.0.0.1", port), message(message_id()), "ann@example.org", ["bob@other.example"])
    quick.wait_messages(1, 60)
    assert len(slow.messages) < 2000
    one.ctl("relay", "pause", "smarthost")
    one.ctl("queue", "remove", "--all")
