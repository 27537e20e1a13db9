"""Fixtures: heralds and peers that end with the test that started them."""

import resource
import socket
import types

import pytest

from lib import certs, conf, daemon, net, sink

# Both sides of thousands of connections need descriptors.
_, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (HARD, HARD))
# A peer that does nothing must not hang the run.
socket.setdefaulttimeout(net.TIMEOUT)


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails shows the logs of the heralds that it talked to."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.when in ("setup", "call"):
        for one in daemon.Herald.living:
            report.sections.append((f"log of {one.directory}", one.log()[-6000:]))


class Starter:
    """Starts heralds and peers, and ends them in the opposite order."""

    def __init__(self):
        self.running = []
        self.directory = daemon.work_directory()

    def herald(self, body, start=True, **keywords):
        one = daemon.Herald(body, **keywords)
        self.running.append(one)
        return one.start() if start else one

    def smtp_sink(self, *options, **keywords):
        one = sink.SmtpSink(self.directory, *options, **keywords)
        self.running.append(one)
        return one.start()

    def py_sink(self, *arguments, **keywords):
        one = sink.PySink(*arguments, **keywords)
        self.running.append(one)
        return one

    def relay(self, host=None, queue=None, submission=None, top=None, **relay):
        """A herald that takes mail on `port` and hands it to a sink (a new Python one, or the host given)."""
        peer = None
        if host is None:
            peer = self.py_sink()
            host = peer.host
        port = net.free_port()
        one = self.herald(conf.mail(port, host, queue, submission, **relay), default_relay="smarthost", **(top or {}))
        return types.SimpleNamespace(herald=one, port=port, endpoint=("127.0.0.1", port), sink=peer)

    def finish(self):
        faults = []
        for one in reversed(self.running):
            try:
                one.finish() if isinstance(one, daemon.Herald) else one.stop()
            except AssertionError as fault:
                faults.append(fault)
        for one in self.running:
            if isinstance(one, daemon.Herald):
                one.remove()
        daemon.shutil.rmtree(self.directory, ignore_errors=True)
        if faults:
            raise faults[0]


@pytest.fixture
def start():
    starter = Starter()
    yield starter
    starter.finish()


@pytest.fixture(scope="module")
def start_module():
    """As `start`, for what all tests of a file share."""
    starter = Starter()
    yield starter
    starter.finish()


@pytest.fixture(scope="session")
def certificates():
    """A CA and the certificates it made: good, expired, wrong name; and one of a CA nobody knows."""
    directory = daemon.work_directory()
    yield certs.Certificates(directory)
    daemon.shutil.rmtree(directory, ignore_errors=True)
