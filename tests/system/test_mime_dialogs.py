"""The mails of tests/dialog/mime, which the unit tests hold herald against, read by Python's email.

Same types, names, octets and texts, but where a mail says "Not as email" and why.
"""
import email
import email.header
import email.utils
import os
import re
import pytest

FOLDER = os.path.join(os.path.dirname(__file__), "..", "dialog", "mime")
NAMES = sorted(name for name in os.listdir(FOLDER) if name.endswith(".dlg"))
ESCAPES = {b"r": b"\r", b"n": b"\n", b"0": b"\0", b"t": b"\t", b"\\": b"\\"}


def unescaped(text):
    return re.sub(rb"\\(x..|.)", lambda found: bytes.fromhex(found[1][1:].decode())
                  if found[1][:1] == b"x" else ESCAPES[found[1]], text)


def read(name):
    """The mail, what must come of it, and why email has another answer."""
    mail, wanted, reason = b"", [], None
    with open(os.path.join(FOLDER, name), "rb") as file:
        for line in file.read().split(b"\n"):
            octets = unescaped(line[3:] if line[:1] == b"S" else line[2:])
            if line.startswith(b"S:"):
                mail += octets + b"\r\n"
            elif line.startswith(b"S-"):
                mail += octets
            elif line.startswith(b"="):
                wanted.append(octets)
            elif line.startswith(b"# Not as email: "):
                reason = line[16:].decode()
    return mail, wanted, reason


def leaves(message):
    """All but multiparts; what is within a message is not opened."""
    if message.get_content_maintype() != "multipart" or not message.is_multipart():
        return [message]
    return [leaf for part in message.get_payload() for leaf in leaves(part)]


def decoded(value):
    text = str(email.header.make_header(email.header.decode_header(value)))
    return re.sub(r"\r\n|[\r\n]", "", text).strip()


def name_of(leaf):
    name = leaf.get_filename()
    return decoded(name) if name else None


def content_of(leaf, is_shown):
    octets = leaf.get_payload(decode=True)
    if not is_shown:
        return octets
    text = octets.decode(leaf.get_content_charset() or "utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").encode()


def local_part(value):
    found = [address for _, address in email.utils.getaddresses([value]) if address]
    return found[0].split("@")[0].strip('"') if found else None


def answer(mail, shown):
    """What email makes of it, as lines of a dialogue; without faults."""
    message = email.message_from_bytes(mail)
    lines = [f"{field.lower()} {decoded(message[field])}".encode()
             for field in ("From", "To", "Cc", "Subject", "Date", "Message-ID")
             if message[field] is not None]
    lines += [f"{word} {local_part(message[field])}".encode()
              for word, field in (("sender", "From"), ("recipient", "To"))
              if message[field] is not None and local_part(message[field])]
    for number, leaf in enumerate(leaves(message), 1):
        lines.append(f"part {number} {leaf.get_content_type()}".encode())
        if name_of(leaf):
            lines.append(b"name " + name_of(leaf).encode())
        if leaf["Content-ID"]:
            lines.append(b"id " + leaf["Content-ID"].strip("<>").encode())
        if leaf.get_content_maintype() == "message":
            lines.append(b"content")
        else:
            lines.append(b"content " + content_of(leaf, number in shown))
    return lines


def comparable(wanted):
    """Without what email does not say; and the numbers of the parts that are shown."""
    lines, shown, is_message = [], set(), False
    for line in wanted:
        if line.startswith(b"fault "):
            continue
        if line.startswith(b"part "):
            words = line.split()
            is_message = words[2].startswith(b"message/")
            if b"shown" in words:
                shown.add(int(words[1]))
            line = b" ".join(words[:3])
        elif line.startswith(b"content ") and is_message:
            line = b"content"
        lines.append(line)
    return lines, shown


@pytest.mark.parametrize("name", NAMES)
def test_as_email_has_it(name):
    mail, wanted, reason = read(name)
    lines, shown = comparable(wanted)
    try:
        found = answer(mail, shown)
    except (LookupError, UnicodeError, AttributeError) as error:
        found = [repr(error).encode()]
    assert (found == lines) == (reason is None), (reason, found, lines)


def test_most_are_read_alike():
    same = sum(read(name)[2] is None for name in NAMES)
    assert same >= 50 and same >= len(NAMES) * 2 // 3
