"""Thousands of SMTP sessions that say nothing, or little."""
import contextlib
import multiprocessing
import socket
import sys
import time

from lib import machine

PER_SOURCE = 5000               # connections from one loopback address: far from the end of its ports
PAUSE = 5                       # seconds between two octets of a slow client
COMMAND = b"NOOP " + b"x" * 400 + b"\r\n"


def hold(port, count, slow, pipe):
    """A process of its own: opens sessions, keeps them until told to end, and says how many have lasted."""
    held = []
    for number in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_IP, 24, 1)            # IP_BIND_ADDRESS_NO_PORT: the port is chosen at connect
        sock.bind((f"127.0.3.{1 + number // PER_SOURCE}", 0))
        sock.connect(("127.0.0.1", port))
        if not sock.recv(512).startswith(b"220 "):
            sys.exit("bench: no banner")
        held.append(sock)
    pipe.send("ready")
    sent = 0
    start = time.monotonic()
    while not pipe.poll(0.005 if slow else 60):
        # As many octets as are due by now, evenly over all of the clients.
        due = int((time.monotonic() - start) * count / PAUSE) if slow else 0
        while sent < due:
            held[sent % count].send(COMMAND[sent // count % len(COMMAND):][:1])
            sent += 1
    lasted = 0
    for sock in held:
        sock.setblocking(False)
        try:
            lasted += sock.recv(512) != b""
        except BlockingIOError:
            lasted += 1
        except OSError:
            pass
    pipe.send(lasted)
    for sock in held:
        sock.close()


@contextlib.contextmanager
def crowd(port, count, slow=False):
    """While it lasts, none of them may be closed."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=hold, args=(port, count, slow, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.recv()
        yield
        ours.send("end")
        lasted = ours.recv()
    except EOFError:
        raise machine.Fault(f"{count} sessions were not to be had") from None
    finally:
        if process.is_alive() and sys.exc_info()[0]:
            process.terminate()
        process.join()
    if lasted != count:
        raise machine.Fault(f"{count - lasted} of {count} sessions were closed before the end")
