"""AUTH of a submission listener (RULES A): bad ones are refused, cost alike, hurt no other client and are not written down."""

import base64
import statistics
import time

import pytest

from lib.secure import PASSWORD, USER, offers, users_file
from lib.smtp import Client, message, stuffed


def base64_of(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


GOOD = base64_of(f"\0{USER}\0{PASSWORD}")


@pytest.fixture(scope="module")
def relay(start_module, certificates):
    return start_module.relay(submission=offers(certificates, users=users_file(start_module.directory)))


def served(relay):
    """The next client logs in."""
    with Client(relay.endpoint) as client:
        client.hello()
        assert client.code(f"AUTH PLAIN {GOOD}") == 235
        client.quit()


def challenge(client, command):
    code, texts = client.command(command)
    assert code == 334, texts
    return texts[0]


BAD = {
    "equals": "AUTH PLAIN =", "asterisk": "AUTH PLAIN *", "no-base64": "AUTH PLAIN !!!!", "length": "AUTH PLAIN AGFubgBz=", "pad-inside": "AUTH PLAIN AG=ubgBz",
    "trailing": f"AUTH PLAIN {GOOD}x", "no-nul": "AUTH PLAIN " + base64_of("ann"), "one-nul": "AUTH PLAIN " + base64_of("\0ann"),
    "three-nuls": "AUTH PLAIN " + base64_of(f"\0{USER}\0{PASSWORD}\0"), "nul-in-name": "AUTH PLAIN " + base64_of("\0an\0n\0x"),
    "other-authzid": "AUTH PLAIN " + base64_of(f"bob\0{USER}\0{PASSWORD}"), "empty-user": "AUTH PLAIN " + base64_of(f"\0\0{PASSWORD}"),
    "empty-password": "AUTH PLAIN " + base64_of(f"\0{USER}\0"), "wrong": "AUTH PLAIN " + base64_of(f"\0{USER}\0wrong"),
    "unknown": "AUTH PLAIN " + base64_of("\0nobody\0wrong"), "prefix": "AUTH PLAIN " + base64_of(f"\0{USER}\0{PASSWORD[:-1]}"),
    "newline": "AUTH PLAIN " + base64_of(f"\0{USER}\n\0{PASSWORD}"), "not-utf8": "AUTH PLAIN " + base64_of(b"\0\xff\xfe\0\xff"),
    "long-name": "AUTH PLAIN " + base64_of("\0" + "a" * 2000 + "\0x"), "long-password": "AUTH PLAIN " + base64_of(f"\0{USER}\0" + "x" * 8000),
    "mechanism": "AUTH DIGEST-MD5", "mechanism-odd": "AUTH " + "X" * 60, "none": "AUTH", "two-words": f"AUTH PLAIN {GOOD} x", "colon": "AUTH PLAIN " + base64_of("\0ann:x\0x"),
}


@pytest.mark.parametrize("name", BAD)
def test_a1_bad_response(relay, name):
    """Refused with a reply that says which kind, and the next client is unaffected."""
    with Client(relay.endpoint) as client:
        client.hello()
        code, texts = client.command(BAD[name])
        assert code in (500, 501, 504, 535), texts
        assert client.code("NOOP") == 250
        client.quit()
    served(relay)


@pytest.mark.parametrize("answer", ["*", "=", "", "!!!!", base64_of("ann"), "x" * 12286, "x" * 14000, base64_of("\0ann\0wrong")],
                         ids=["asterisk", "equals", "empty", "no-base64", "no-nul", "12288", "14000", "wrong"])
def test_a1_bad_answer_to_a_challenge(relay, answer):
    for first in ("AUTH PLAIN", "AUTH LOGIN"):
        with Client(relay.endpoint) as client:
            client.hello()
            challenge(client, first)
            code, texts = client.command(answer)
            if code == 334:                                  # LOGIN takes any name
                code, texts = client.command(base64_of("wrong"))
            assert code in (500, 501, 535), texts
            if answer != "x" * 14000:
                assert client.code("NOOP") == 250
                client.quit()
    served(relay)


def test_a1_authzid_that_is_the_user(relay):
    """RFC 4616: an authorization identity may be named when it is one's own."""
    with Client(relay.endpoint) as client:
        client.hello()
        assert client.code("AUTH PLAIN " + base64_of(f"{USER}\0{USER}\0{PASSWORD}")) in (235, 535)
        client.quit()


@pytest.mark.parametrize("initial", [False, True], ids=["two-challenges", "initial-response"])
def test_login(relay, initial):
    with Client(relay.endpoint) as client:
        client.hello()
        if initial:
            challenge(client, f"AUTH LOGIN {base64_of(USER)}")
        else:
            challenge(client, "AUTH LOGIN")
            challenge(client, base64_of(USER))
        assert client.code(base64_of(PASSWORD)) == 235
        client.quit()


def test_a2_three_failures_end_the_session(relay):
    with Client(relay.endpoint) as client:
        client.hello()
        codes = []
        for _ in range(3):
            codes.append(client.code(BAD["wrong"]))
            if codes[-1] == 421:
                break
        if codes[-1] != 421:
            codes.append(client.reply()[0])
        assert codes in ([535, 535, 421], [535, 535, 535, 421])
        assert client.rest() == []
    served(relay)


def test_a2_guesses_pipelined_are_no_more(relay):
    """All in one segment: three are judged, the rest is never read as anything."""
    with Client(relay.endpoint) as client:
        client.hello()
        client.send((BAD["wrong"] + "\r\n").encode() * 50 + f"AUTH PLAIN {GOOD}\r\n".encode())
        codes = client.rest()
    assert codes[-1] == 421 and codes.count(535) <= 3 and 235 not in codes
    served(relay)


def test_a3_unknown_user_costs_as_much_as_a_wrong_password(relay):
    """The hash of a user who does not exist is computed, too: the median times are alike."""
    times = {"unknown": [], "wrong": []}
    for _ in range(20):
        for name, taken in times.items():
            with Client(relay.endpoint) as client:
                client.hello()
                start = time.perf_counter()
                assert client.code(BAD[name]) == 535
                taken.append(time.perf_counter() - start)
                client.quit()
    unknown, wrong = (min(times[name]) for name in ("unknown", "wrong"))
    assert 0.5 < unknown / wrong < 2, times
    assert 0.4 < statistics.median(times["unknown"]) / statistics.median(times["wrong"]) < 2.5, times


def test_a4_another_mechanism_after_a_failure(relay):
    with Client(relay.endpoint) as client:
        client.hello()
        assert client.code(BAD["wrong"]) == 535
        challenge(client, "AUTH LOGIN")
        assert client.code("*") == 501
        challenge(client, "AUTH LOGIN")
        challenge(client, base64_of(USER))
        assert client.code(base64_of(PASSWORD)) == 235
        client.quit()


def test_again_and_in_a_transaction(relay):
    """D7 and RFC 4954 4: 503 both."""
    with Client(relay.endpoint) as client:
        client.hello()
        assert client.code("MAIL FROM:<ann@example.org>") == 250
        assert client.code(f"AUTH PLAIN {GOOD}") == 503
        assert client.code("RCPT TO:<bob@example.net>") == 250
        assert client.code("RSET") == 250
        assert client.code(f"AUTH PLAIN {GOOD}") == 235
        assert client.code(f"AUTH PLAIN {GOOD}") == 503
        client.quit()


def test_before_ehlo(relay):
    with Client(relay.endpoint) as client:
        assert client.code(f"AUTH PLAIN {GOOD}") == 503
        client.quit()


def test_a_slow_hash_keeps_nobody_waiting(relay):
    """Twenty guesses at once: mail goes on meanwhile, and each guess gets its own answer."""
    guessing = [Client(relay.endpoint) for _ in range(20)]
    for client in guessing:
        client.hello()
        client.send((BAD["wrong"] + "\r\n").encode())
    with Client(relay.endpoint) as client:
        client.transaction()
        client.send(stuffed(message()))
        assert client.reply()[0] == 250
        client.quit()
    for client in guessing:
        assert client.reply()[0] in (535, 454)
        client.quit()


def test_client_that_goes_while_its_password_is_checked(relay):
    for _ in range(20):
        with Client(relay.endpoint) as client:
            client.hello()
            client.send((BAD["wrong"] + "\r\n").encode())
    served(relay)


def test_credentials_are_not_logged(relay):
    served(relay)
    with Client(relay.endpoint) as client:
        client.hello()
        challenge(client, "AUTH LOGIN")
        challenge(client, base64_of(USER))
        assert client.code(base64_of(PASSWORD)) == 235
        client.transaction()
        client.send(stuffed(message()))
        assert client.reply()[0] == 250
    relay.herald.wait_log(rf"client=localhost\[127\.0\.0\.1\], sasl_method=LOGIN, sasl_username={USER}")
    log = relay.herald.log()
    for secret in (PASSWORD, base64_of(PASSWORD), GOOD, base64_of(f"\0{USER}\0wrong")):
        assert secret not in log
