"""bench/: its measures run, and its witness of syncs sees a message that is acknowledged too early."""

import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from lib.daemon import build_directory, work_directory

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
TOKEN, QUEUED = re.compile(r"token-(\d+)-"), re.compile(r"queued as (\w+)")

WRITE = r'10 pwrite64(5</q/queue.db-wal>, "\0\1token-{}-end\r\n", 4096, 32) = 4096'
SYNC = "10 fdatasync(5</q/queue.db-wal>) = 0"
SYNC_BEGINS, SYNC_ENDS = "10 fdatasync(5</q/queue.db-wal> <unfinished ...>", "10 <... fdatasync resumed>) = 0"
REPLY = r'11 writev(7<socket:[4711]>, [{{iov_base="250 2.0.0 queued as {}\r\n", iov_len=26}}], 1) = 26'


def module(name):
    """A module of bench/lib, whose name is that of our own lib."""
    spec = importlib.util.spec_from_file_location("bench_" + name, BENCH / "lib" / (name + ".py"))
    found = importlib.util.module_from_spec(spec)
    ours = {key: sys.modules.pop(key) for key in list(sys.modules) if key == "lib" or key.startswith("lib.")}
    sys.path.insert(0, str(BENCH))
    try:
        spec.loader.exec_module(found)
    finally:
        sys.path.remove(str(BENCH))
        for key in [key for key in sys.modules if key == "lib" or key.startswith("lib.")]:
            del sys.modules[key]
        sys.modules.update(ours)
    return found


@pytest.fixture
def folder():
    """One that heraldd may enter."""
    path = pathlib.Path(work_directory())
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("lines, early", [
    ([WRITE.format(1), SYNC, REPLY.format("A")], set()),
    ([WRITE.format(1), SYNC_BEGINS, SYNC_ENDS, REPLY.format("A")], set()),
    ([WRITE.format(1), REPLY.format("A"), SYNC], {"1"}),
    ([WRITE.format(1), SYNC_BEGINS, REPLY.format("A"), SYNC_ENDS], {"1"}),
    # A sync covers what was written before it began, not what comes while it waits.
    ([WRITE.format(1), SYNC_BEGINS, WRITE.format(2).replace("10 ", "12 ", 1), SYNC_ENDS, REPLY.format("A"), REPLY.format("B")], {"2"}),
    ([WRITE.format(1), SYNC.replace("= 0", "= -1 EIO (Input/output error)"), REPLY.format("A")], {"1"}),
    ([WRITE.format(1), SYNC.replace("queue.db-wal", "other"), REPLY.format("A")], {"1"}),
])
def test_witness(folder, lines, early):
    log = folder / "strace"
    log.write_text("\n".join(lines) + "\n")
    ids = {"A": "1", "B": "2"}
    witness = module("syncs").Witness(TOKEN, lambda text: [ids[one] for one in QUEUED.findall(text)]).read(log)
    assert witness.early == early
    assert witness.acknowledged == {ids[one] for line in lines for one in QUEUED.findall(line)}


def run(*arguments):
    return subprocess.run([sys.executable, BENCH / "run", "--build", build_directory(), "--silent", *arguments], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)


def test_measures_run(folder):
    """A few of them, with next to no load: rows, rounds and charts are there, and nothing is left behind."""
    names = ["single", "backlog", "tls"]
    done = run("--quick", "--directory", folder, "--json", folder / "run.json", "--plots", folder / "plots", *names)
    assert done.returncode == 0, done.stderr + done.stdout
    kept = json.loads((folder / "run.json").read_text())
    assert list(kept["measures"]) == names
    for measure in kept["measures"].values():
        assert len(measure["rounds"]) == 1
        assert all(row["median"] is not None for row in measure["rows"].values())
    row = kept["measures"]["single"]["rows"]["ratio"]
    assert row["reached"] == (row["median"] >= row["least"])
    assert (folder / "plots/rate-by-queue.svg").read_text().count("<circle") == 4
    assert not [name for name in os.listdir(folder) if name.startswith("herald-bench-")]
    readme = folder / "README.md"
    readme.write_text("above\n<!-- bench/run --readme writes what follows -->\nold\n<!-- up to here -->\nbelow\n")
    shown = run("--from", folder / "run.json", "--readme", readme)
    assert shown.returncode == 0 and shown.stdout == done.stdout
    assert re.fullmatch(r"above\n<!-- .* -->\n.*S3: heraldd : bare.*<!-- .* -->\nbelow\n", readme.read_text(), re.S)
    assert "old" not in readme.read_text()


def test_unknown_measure():
    done = run("fast")
    assert done.returncode == 2 and "no such measure: fast" in done.stderr
