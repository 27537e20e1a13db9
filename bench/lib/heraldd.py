"""A heraldd of the bench's own: its conffile, its process, its control socket."""
import json
import os
import pwd
import shutil
import socket

from lib import machine

USER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
QUOTES = ("A Tale of Two Cities", "The Left Hand of Darkness", "Moby-Dick")
GREETING = "Happy new year!"
DISCARD = 9                                 # the port of a relay that is never asked


def as_user():
    """For programs that make files for heraldd, or read them."""
    if os.geteuid() != 0:
        return {}
    found = pwd.getpwnam(USER)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def host(port, **options):
    """The options of a relay at that port."""
    return {"host": [f"127.0.0.1:{port}"], "tls": "none", "max_connections": 20, **options}


class Herald:
    """heraldd with submission and the relays given; the first one is the default.  It logs each message to a file."""

    def __init__(self, build, folder, relays=None, submission=None, queue=None, greeting=False, quotes=False, routes=(), prefix=()):
        self.build, self.folder, self.prefix = build, folder, list(prefix)
        self.state, self.control = folder / "state", folder / "run/control.sock"
        self.relays = relays or {"sink": host(DISCARD)}
        self.port = machine.free_port()
        self.greeting = machine.free_port() if greeting else None
        self.quotes = machine.free_port(socket.SOCK_DGRAM) if quotes else None
        self.child = None
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711)
        for name in ("state", "run"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
            if os.geteuid() == 0:
                shutil.chown(folder / name, USER)
        text = self.head() + self.block("queue", {"min_free_space": "1M", **(queue or {})})
        text += self.block("submission bench", {"listen": [f"127.0.0.1:{self.port}"], "max_connections": 5000,
                                                "max_connections_per_client": 5000, **(submission or {})})
        text += "".join(self.block(f"relay {name}", options) for name, options in self.relays.items())
        text += "".join(self.block("route", {"recipient": [pattern], "relay": name}) for pattern, name in routes)
        (folder / "herald.conf").write_text(text + self.services())

    def head(self):
        top = {"user": USER, "hostname": "bench.example.org", "state_directory": self.state, "runtime_directory": self.folder / "run",
               "default_relay": next(iter(self.relays))}
        return "".join(f'{key} = "{value}"\n' for key, value in top.items()) + self.block("log", {"target": "stderr", "level": "info"})

    def services(self):
        text = ""
        if self.greeting:
            text += self.block("greeting bench", {"listen": [f"127.0.0.1:{self.greeting}"], "text": GREETING,
                                                  "max_connections": 5000, "max_connections_per_client": 5000})
        if self.quotes:
            # Nobody is exempt, so that the rate table is asked for each datagram; the rate itself stops no one.
            text += self.block("quotes bench", {"listen": [f"127.0.0.1:{self.quotes}"], "quotes": QUOTES,
                                                "rate": "1000000/s", "burst": 1000000, "rate_exempt": []})
        return text

    @staticmethod
    def block(name, options):
        def value(one):
            if isinstance(one, (list, tuple)):
                return "{" + ", ".join(f'"{part}"' for part in one) + "}"
            return str(one) if isinstance(one, int) else f'"{one}"'
        return f"{name} {{\n" + "".join(f"    {key} = {value(one)}\n" for key, one in options.items()) + "}\n"

    def start(self):
        self.child = machine.Child(*self.prefix, self.build / "heraldd", "-d", "-c", self.folder / "herald.conf", log=self.folder / "log")
        try:
            self.child.wait_port(self.port)
            machine.until("the control socket answers", self.is_ready, 60)
        except machine.Fault as fault:
            raise machine.Fault(f"{fault}: {(self.folder / 'log').read_text()[-1000:]}") from None
        return self

    @property
    def pid(self):
        """heraldd's own, below what starts it."""
        if not self.prefix:
            return self.child.pid
        return next(pid for pid in machine.tree(self.child.pid) if (machine.PROC / str(pid) / "comm").read_text() == "heraldd\n")

    def stop(self):
        if self.child is not None:
            self.child.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder)

    # -- control

    def is_ready(self):
        with socket.socket(socket.AF_UNIX) as sock:
            return sock.connect_ex(str(self.control)) == 0

    def ask(self, verb, **arguments):
        """By the socket itself: a program started for each look at the queue would take what is measured."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.control))
            sock.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            text = b""
            while not text.endswith(b"\n"):
                part = sock.recv(1 << 20)
                if not part:
                    raise machine.Fault(f"heraldd closed the control socket after {verb}")
                text += part
        answer = json.loads(text)
        if not answer.get("ok"):
            raise machine.Fault(f"heraldd: {verb}: {answer.get('error')}")
        return answer["result"]

    def pause(self, *names):
        for name in names or self.relays:
            self.ask("relay pause", relay=name)
        return self

    def resume(self, *names):
        for name in names or self.relays:
            self.ask("relay resume", relay=name)

    def held(self):
        """Messages in the queue."""
        return self.ask("status")["queue"]["messages"]

    def wait_held(self, count):
        machine.until(f"{count} messages in the queue", lambda: self.held() <= count)

    def wait_empty(self):
        self.wait_held(0)

    def ctl(self, *arguments):
        return machine.output(self.build / "heraldctl", "-s", self.control, *arguments)
