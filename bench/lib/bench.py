"""One run of the bench: options, folders, rounds."""
import argparse
import importlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from lib import machine, report
from measures import ORDER

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Debian's packages of the tools that measures name.
PACKAGES = {"smtp-source": "postfix", "smtp-sink": "postfix", "postfix": "postfix", "nginx": "nginx libnginx-mod-stream",
            "strace": "strace", "openssl": "openssl"}
QUICK = 0.02                                # part of the load


class Bench:
    """What a measure is given."""

    def __init__(self, options, top):
        self.options, self.top, self.build = options, top, options.build
        self.notes, self.made = [], 0

    def count(self, number, least=1):
        """A number of messages, as large as this run wants it."""
        return number if not self.options.quick else max(least, int(number * QUICK))

    def seconds(self, number):
        return number if not self.options.quick else 0.3

    def folder(self, name):
        """A path for something new; who makes it removes it."""
        self.made += 1
        return self.top / f"{self.made}-{name}"

    def rounds(self, most=None):
        count = min(self.options.rounds, most or self.options.rounds)
        for number in range(count):
            self.say(f"  round {number + 1} of {count}")
            yield number

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def say(self, text):
        if not self.options.silent:
            print(text, file=sys.stderr, flush=True)


def read_options():
    parser = argparse.ArgumentParser(prog="bench/run", description="Measures herald beside what would be run instead.",
                                     epilog="NAME is one of: " + ", ".join(ORDER) + ".  bench/README.md says what each is.")
    parser.add_argument("names", metavar="NAME", nargs="*", help="a measure; none: all of them")
    parser.add_argument("--rounds", type=int, help="of each measure, one side after the other (5)")
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the load and one round: whether it runs")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="all values of all rounds")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE", help="what is printed, in a file, too")
    parser.add_argument("--plots", type=pathlib.Path, metavar="DIR", help="SVG charts of what grows")
    parser.add_argument("--from", dest="source", type=pathlib.Path, metavar="FILE",
                        help="measure nothing: show what --json left, for --markdown, --plots and --readme")
    parser.add_argument("--readme", type=pathlib.Path, metavar="FILE", help="put the main rows between the marks in FILE")
    parser.add_argument("--build", type=pathlib.Path, metavar="DIR", default=os.environ.get("HERALD_BUILD", ROOT / "build"),
                        help="where heraldd and bench/*'s programs are ($HERALD_BUILD, or build)")
    parser.add_argument("--directory", type=pathlib.Path, metavar="DIR", default=os.environ.get("TMPDIR", "/var/tmp"),
                        help="for queues; on a disk, not in memory ($TMPDIR, or /var/tmp)")
    parser.add_argument("--install", action="store_true", help="first install what is missing, with scripts/deps")
    parser.add_argument("--silent", action="store_true", help="no progress on standard error")
    options = parser.parse_args()
    unknown = set(options.names) - set(ORDER)
    if unknown:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}; there are {', '.join(ORDER)}")
    options.names = [name for name in ORDER if name in options.names or not options.names]
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.build = options.build.resolve()
    return options


def check(options, modules):
    if options.install:
        subprocess.run([ROOT / "scripts/deps", "bench"], check=True)
    wanted = sorted({name for module in modules for name in module.NEEDS})
    missing = [name for name in wanted if shutil.which(name, path=machine.PATH) is None]
    if missing:
        packages = sorted({PACKAGES[name] for name in missing})
        raise machine.Fault(f"{', '.join(missing)} missing: apt-get install {' '.join(packages)}, or bench/run --install")
    if os.geteuid() != 0 and any("postfix" in module.NEEDS for module in modules):
        raise machine.Fault("Postfix starts as root only; measures without it: " + ", ".join(
            name for name in ORDER if "postfix" not in load_measure(name).NEEDS))
    for name in ("heraldd", "heraldctl", "bench/smtp_load"):
        if not os.access(options.build / name, os.X_OK):
            raise machine.Fault(f"{options.build / name} is not there: make bench-programs, and HERALD_BUILD or --build names the folder")
    if not options.quick and machine.file_system(options.directory) in ("tmpfs", "ramfs"):
        raise machine.Fault(f"{options.directory} is on no disk: a sync would cost nothing; --directory names another")


def load_measure(name):
    return importlib.import_module(f"measures.{name}")


def take(bench, name, module):
    bench.say(name)
    bench.notes = []
    start, rounds = time.monotonic(), []
    for values in module.measure(bench):
        rounds.append(values)
    took = time.monotonic() - start
    bench.say(f"  {took:.0f} s")
    rows = module.ROWS(bench) if callable(module.ROWS) else module.ROWS
    return report.Result(name, module.ABOUT, rows, rounds, bench.notes, took)


def write(options, about, kept, results):
    """`kept`: how many rounds, and whether quick."""
    text = report.heading(about, kept) + "\n\n" + "\n".join(one.markdown() for one in results)
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    if options.json:
        whole = {"machine": about, **kept, "measures": {one.name: one.json() for one in results}}
        options.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.readme:
        old = options.readme.read_text(encoding="utf-8")
        options.readme.write_text(report.readme(old, about, kept, results), encoding="utf-8")
    if options.plots:
        draw(options.plots, results)


def draw(folder, results):
    folder.mkdir(parents=True, exist_ok=True)
    for one in results:
        for chart in getattr(load_measure(one.name), "PLOTS", ()):
            svg = one.svg(chart)
            if svg:
                (folder / f"{chart.name}.svg").write_text(svg, encoding="utf-8")


def show(options):
    kept = json.loads(options.source.read_text(encoding="utf-8"))
    results = [report.Result.read(name, kept["measures"][name]) for name in options.names if name in kept["measures"]]
    write(options, kept["machine"], {key: kept[key] for key in ("rounds", "quick")}, results)


def end(*_):
    sys.exit(1)                             # so that peers are stopped on the way out


def measure_all(options, modules, results):
    with tempfile.TemporaryDirectory(prefix="herald-bench-", dir=options.directory) as top:
        os.chmod(top, 0o755)
        bench = Bench(options, pathlib.Path(top))
        try:
            for name, module in zip(options.names, modules):
                results.append(take(bench, name, module))
        finally:
            machine.Child.stop_all()


def main():
    options = read_options()
    if options.source:
        show(options)
        return
    signal.signal(signal.SIGTERM, end)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    modules = [load_measure(name) for name in options.names]
    results, fault = [], None
    try:
        check(options, modules)
        about = machine.describe(options.directory, ROOT)
        measure_all(options, modules, results)
    except machine.Fault as found:
        fault = f"bench/run: {found}"
    except KeyboardInterrupt:
        fault = "bench/run: interrupted"
    # What was measured before a fault stays worth reading.
    if results:
        write(options, about, {"rounds": options.rounds, "quick": options.quick}, results)
    sys.exit(fault)
