"""Header and envelope injection through herald-sendmail, and its argument list (RULES H1 to H5, H7, X2)."""

import os
import re
import subprocess

import pytest

from lib.daemon import program, sanitized
from lib.net import TIMEOUT, wait_until
from lib.smtp import message, message_id, submit

EX_OK, EX_USAGE, EX_DATAERR, EX_TEMPFAIL = 0, 64, 65, 75


@pytest.fixture(scope="module")
def relay(start_module):
    return start_module.relay()


def sendmail(relay, *arguments, text=b"", name="sendmail", **keywords):
    """herald-sendmail under a name, to its end."""
    environment = {"PATH": os.environ["PATH"], "HERALD_SUBMIT_SOCKET": os.path.join(relay.herald.runtime, "submit.sock"),
                   "HERALD_CONTROL_SOCKET": relay.herald.control}
    return subprocess.run([name, *arguments], executable=program("herald-sendmail"), input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=TIMEOUT, env=environment, **keywords)


def came(relay, before):
    """What has been delivered since, once a message behind it is through."""
    ident = message_id()
    submit(relay.endpoint, message(ident))
    wait_until(lambda: ident in relay.sink.idents(), "the closing message")
    relay.herald.wait_empty()
    return [one for one in relay.sink.messages[before:] if one.ident != ident]


@pytest.fixture
def before(relay):
    relay.herald.wait_empty()
    return len(relay.sink.messages)


def head(one):
    return one.content.split(b"\r\n\r\n", 1)[0]


@pytest.mark.parametrize("text", [b"To: a@b.example\n\tBcc: c@d.example\n\nx", b"To: a@b.example\r\n Bcc: c@d.example\r\n\r\nx\r\n",
                                  b"To: a@b.example,\n\n Bcc: c@d.example\n\nx", b"To: a@b.example\nSubject: x\n Bcc: c@d.example\n\nx",
                                  b"Subject: x\n\tTo: c@d.example\nTo: a@b.example\n\nBcc: c@d.example\n",
                                  b'To: "Bcc: c@d.example" <a@b.example>\n\nx', b"To: (c@d.example) a@b.example\n\nx",
                                  b"To: =?utf-8?q?c=40d.example=2C?= <a@b.example>\n\nx"],
                         ids=["folded", "folded-crlf", "blank-line", "in-subject", "in-body", "quoted", "comment", "encoded"])
def test_h1_a_field_within_a_field_is_none(relay, before, text):
    """Only a@b.example may be a recipient; what is no address list may be refused."""
    done = sendmail(relay, "-t", "-i", "-f", "ann@example.org", text=text)
    assert done.returncode in (EX_OK, EX_USAGE, EX_DATAERR), done.stderr
    taken = came(relay, before)
    assert len(taken) == (done.returncode == EX_OK)
    for one in taken:
        assert one.recipients == ["a@b.example"]


EVIL = ["a@b.example\nRCPT TO:<c@d.example>", "a@b.example\r\nRCPT TO:<c@d.example>", "a@b.example\r", "a@b.example>\r\nDATA", "a@b.example\n", "\na@b.example",
        "<a@b.example>\nx", "a@b.example> RCPT TO:<c@d.example", "a@b.example\x0b", "a@b.example\x7f"]


@pytest.mark.parametrize("address", EVIL, ids=lambda text: repr(text)[:30])
@pytest.mark.parametrize("place", ["sender", "recipient"])
def test_h2_line_end_in_an_address(relay, before, place, address):
    """Refused as wrong data or use; nothing is queued."""
    words = ("-f", address, "bob@example.net") if place == "sender" else ("-f", "ann@example.org", address)
    done = sendmail(relay, "-i", *words, text=b"Subject: x\n\nx\n")
    taken = came(relay, before)
    assert "c@d.example" not in [address for one in taken for address in one.recipients]
    assert done.returncode in (EX_USAGE, EX_DATAERR), (done.returncode, done.stderr)
    assert taken == []


@pytest.mark.parametrize("name", ["x\r\nBcc: y@d.example", "x\nBcc: y@d.example", "x\r\n\r\nbody", "x\rBcc: y@d.example", "\n", "Ann \"\\\n <c@d.example>"],
                         ids=lambda text: repr(text)[:24])
def test_h3_line_end_in_the_full_name(relay, before, name):
    """It is encoded, made harmless or refused: no field and no body comes of it."""
    done = sendmail(relay, "-i", "-F", name, "-f", "ann@example.org", "bob@example.net", text=b"Subject: x\nTo: bob@example.net\n\nbody\n")
    taken = came(relay, before)
    if done.returncode == EX_OK:
        assert len(taken) == 1 and taken[0].recipients == ["bob@example.net"]
        assert not re.search(rb"(?im)^bcc:", taken[0].content)
        assert taken[0].content.endswith(b"\r\n\r\nbody\r\n") and taken[0].content.count(b"\r\n\r\n") == 1
        assert len(re.findall(rb"(?m)^From:", head(taken[0]))) == 1 and b"<ann@example.org>" in head(taken[0]).replace(b"\r\n ", b" ")
    else:
        assert done.returncode in (EX_USAGE, EX_DATAERR) and taken == []


TEXTS = {
    "no-colon": (b"this is no field\nSubject: x\n\nbody\n", [b"this is no field"]),
    "leading-blank": (b" Subject: x\n\nbody\n", [b"Subject: x"]),
    "leading-empty": (b"\nSubject: x\n\nbody\n", [b"Subject: x\r\n\r\nbody"]),
    "from-line": (b"From ann Mon Nov 23 10:00:00 2026\nSubject: x\n\nbody\n", [b"\r\nSubject: x\r\n"]),
    "escaped-from-line": (b"Subject: x\n\nFrom the start\n>From y\n", [b"\r\nFrom the start\r\n>From y\r\n"]),
    "lf": (b"Subject: x\n\na\nb\n", [b"\r\n\r\na\r\nb\r\n"]),
    "crlf": (b"Subject: x\r\n\r\na\r\nb\r\n", [b"\r\n\r\na\r\nb\r\n"]),
    "mixed": (b"Subject: x\r\n\na\r\nb\nc\n", [b"\r\n\r\na\r\nb\r\nc\r\n"]),
    "no-last-newline": (b"Subject: x\n\nbody", [b"\r\n\r\nbody\r\n"]),
    "header-only": (b"Subject: x", [b"Subject: x\r\n"]),
    "empty": (b"", []),
    "dots": (b"Subject: x\n\n..\n.a\n.. \n", [b"\r\n..\r\n.a\r\n.. \r\n"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_h4_forms_of_a_message(relay, before, name):
    """Each is taken whole and becomes canonical; what leaves has a header section with the text below it."""
    text, wanted = TEXTS[name]
    done = sendmail(relay, "-i", "-f", "ann@example.org", "bob@example.net", text=text)
    assert done.returncode == EX_OK, done.stderr
    taken = came(relay, before)
    assert len(taken) == 1
    for part in wanted:
        assert part in taken[0].content, taken[0].content
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", taken[0].wire)
    assert b"From ann Mon" not in taken[0].content
    assert re.search(rb"(?m)^Date: ", head(taken[0])) and re.search(rb"(?m)^Message-ID: <", head(taken[0]))


@pytest.mark.parametrize("end", [b".\n", b".\r\n", b"."])
@pytest.mark.parametrize("options", [("-i",), ("-oi",), ()], ids=["i", "oi", "none"])
def test_h4_lone_dot(relay, before, options, end):
    """Ends the input without -i; with it a line like any other."""
    done = sendmail(relay, *options, "-f", "ann@example.org", "bob@example.net", text=b"Subject: x\n\none\n" + end + b"two\n" * (end != b"."))
    assert done.returncode == EX_OK, done.stderr
    taken = came(relay, before)
    assert len(taken) == 1
    body = taken[0].content.split(b"\r\n\r\n", 1)[1]
    if options:
        assert body == b"one\r\n.\r\n" + b"two\r\n" * (end != b".")
    else:
        assert body == b"one\r\n"


@pytest.mark.parametrize("end", [b" .\n", b". \n", b".\t\n", b"..\n"])
def test_h4_what_is_no_lone_dot(relay, before, end):
    done = sendmail(relay, "-f", "ann@example.org", "bob@example.net", text=b"Subject: x\n\none\n" + end + b"two\n")
    assert done.returncode == EX_OK, done.stderr
    assert came(relay, before)[0].content.endswith(b"one\r\n" + end.replace(b"\n", b"\r\n") + b"two\r\n")


@pytest.mark.parametrize("text", [b"To: ann@example.net\nBcc: secret@example.net,\n\tother@example.net\nSubject: x\n\nBcc: stays\n",
                                  b"Bcc: secret@example.net, other@example.net\nTo: ann@example.net\n\nx\n",
                                  b"To: ann@example.net\nbcc:secret@example.net\nBCC :other@example.net\n\nx\n",
                                  b"To: ann@example.net\nBcc: secret@example.net\nBcc: other@example.net"],
                         ids=["folded", "first", "case", "no-body"])
def test_bcc_is_removed_with_its_folded_lines(relay, before, text):
    done = sendmail(relay, "-t", "-i", "-f", "ann@example.org", text=text)
    assert done.returncode == EX_OK, done.stderr
    taken = came(relay, before)
    recipients = [address for one in taken for address in one.recipients]
    assert sorted(recipients) == ["ann@example.net", "other@example.net", "secret@example.net"]
    for one in taken:
        assert b"secret@" not in one.content and b"other@" not in one.content and not re.search(rb"(?im)^bcc\s*:", head(one))
        assert (b"Bcc: stays" in one.content) == (b"stays" in text)


@pytest.mark.parametrize("address", ["a" * 1988 + "@example.net", "a@" + "b" * 1986 + ".example", "a" * 60 + "@" + ".".join(["b" * 60] * 30)])
@pytest.mark.parametrize("where", ["argument", "header"])
def test_h5_address_of_2000_octets(relay, before, where, address):
    """Refused as it is, never folded or cut into another one."""
    words = ("bob@example.net", address) if where == "argument" else ("-t",)
    done = sendmail(relay, "-i", "-f", "ann@example.org", *words, text=b"Subject: x\n" + b"To: bob@example.net, %s\n" % address.encode() + b"\nx\n")
    taken = came(relay, before)
    assert not [one for one in taken for recipient in one.recipients if recipient != "bob@example.net"]
    assert done.returncode in (EX_USAGE, EX_DATAERR, 67, 68, 69) or taken


def test_h7_a_hundred_thousand_addresses(relay, before):
    """Too many for one mail: an error, and not a part of them gets it; or all of them do."""
    count = 2000 if sanitized() else 100000                  # a sanitizer takes minutes
    addresses = b",\n ".join(b"user%d@example.net" % number for number in range(count))
    done = sendmail(relay, "-t", "-i", "-f", "ann@example.org", text=b"Subject: x\nTo: " + addresses + b"\n\nx\n")
    taken = came(relay, before)
    recipients = [address for one in taken for address in one.recipients]
    if done.returncode == EX_OK:
        assert len(recipients) == len(set(recipients)) == count
    else:
        assert recipients == [], f"{len(recipients)} got it, but the caller was told {done.returncode}"


# -- X2

def test_x2_operands_behind_two_dashes(relay, before):
    """-bs behind -- is no option: an address that is none."""
    done = sendmail(relay, "-i", "-f", "ann@example.org", "--", "-bs", text=b"Subject: x\n\nx\n")
    assert done.returncode in (EX_USAGE, EX_DATAERR) or [one.recipients for one in came(relay, before)] == [["-bs@herald.example.org"]]
    assert b"220" not in done.stdout


def test_x2_sender_that_looks_like_an_option(relay, before):
    done = sendmail(relay, "-i", "-f", "-x@example.org", "bob@example.net", text=b"Subject: x\n\nx\n")
    taken = came(relay, before)
    assert (done.returncode, [one.sender for one in taken]) in ((EX_OK, ["-x@example.org"]), (EX_USAGE, []), (EX_DATAERR, []))


@pytest.mark.parametrize("words", [("-C", "/etc/shadow"), ("-C/etc/shadow",), ("-O", "QueueDirectory=/tmp"), ("-OQueueDirectory=/tmp",), ("-oQ/tmp",),
                                   ("-X", "/etc/passwd"), ("-X/etc/passwd",), ("-d99",), ("-p", "smtp"), ("-M", "x")], ids=lambda words: " ".join(words)[:14])
def test_x2_options_of_others_do_nothing(relay, before, words):
    """No file is read or written for them; the mail is not lost."""
    done = sendmail(relay, "-i", *words, "-f", "ann@example.org", "bob@example.net", text=b"Subject: x\n\nx\n")
    taken = came(relay, before)
    assert (done.returncode == EX_OK) == (len(taken) == 1)
    assert b"root:" not in done.stdout + done.stderr
    assert done.returncode in (EX_OK, EX_USAGE), done.stderr


def test_x2_two_mib_of_arguments(relay, before):
    """As many as the kernel lets pass: refused or taken as a whole."""
    addresses = [f"user{number}@{'x' * 60}.example.net" for number in range(1500)]
    done = sendmail(relay, "-i", "-f", "ann@example.org", *addresses, text=b"Subject: x\n\nx\n")
    recipients = [address for one in came(relay, before) for address in one.recipients]
    assert (done.returncode == EX_OK and sorted(recipients) == sorted(addresses)) or (done.returncode != EX_OK and recipients == []), done.stderr


@pytest.mark.parametrize("name", ["mailq", "newaliases", "sendmail", "x"])
def test_x2_names(relay, name):
    done = sendmail(relay, name=name, text=b"")
    assert done.returncode in (EX_OK, EX_USAGE, EX_DATAERR), done.stderr


@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1 2"])
def test_x2_closed_descriptors(relay, before, closed):
    """None of the sockets becomes a standard stream: nothing that is printed goes into the dialogue."""
    script = f"exec {' '.join(one + '>&-' if one != '0' else '0<&-' for one in closed.split())}; exec \"$@\""
    environment = {"PATH": os.environ["PATH"], "HERALD_SUBMIT_SOCKET": os.path.join(relay.herald.runtime, "submit.sock")}
    done = subprocess.run(["sh", "-c", script, "sh", program("herald-sendmail"), "-v", "-i", "-f", "ann@example.org", "bob@example.net"],
                          input=b"Subject: x\n\nx\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT, env=environment)
    taken = came(relay, before)
    assert (done.returncode == EX_OK) == (len(taken) == 1), (done.returncode, taken)
    assert relay.herald.alive()


def test_x2_no_arguments_at_all(relay):
    """argc = 0, where the kernel lets it pass: no crash."""
    script = ("import ctypes, sys; libc = ctypes.CDLL(None); "
              "libc.execve(sys.argv[1].encode(), (ctypes.c_char_p * 1)(None), (ctypes.c_char_p * 1)(None)); sys.exit(99)")
    done = subprocess.run(["/usr/bin/python3", "-c", script, program("herald-sendmail")], input=b"", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=TIMEOUT)
    assert 0 <= done.returncode < 128, done
