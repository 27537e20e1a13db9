"""common.py - what the lints share: the files of a tree, C without comments, one line per fault."""
import os
import re
import sys

# Folders and files of a tree that people write; what a build leaves beside them is none of ours.
FOLDERS = (".ci", "bench", "etc", "man", "scripts", "src", "systemd", "tests")
TOP_FILES = (".clang-format", ".gitignore", "LICENSE", "Makefile.am", "NEWS", "README.md",
             "autogen.sh", "configure.ac", "m4/herald.m4")
BUILT = re.compile(r"(\.(o|lo|la|a|log|trs|pyc|gcda|gcno)|~)$")


class Lint:
    """One run of one lint over the tree in argv[1], its build in argv[2]."""

    def __init__(self):
        own = os.path.dirname(os.path.abspath(__file__))
        args = sys.argv[1:]
        self.root = os.path.abspath(args[0] if args else os.path.join(own, "..", ".."))
        self.build = os.path.abspath(args[1] if len(args) > 1 else os.getcwd())
        self.faults = 0

    def fault(self, path, line, what):
        print(f"{path}:{line}: {what}")
        self.faults += 1

    def end(self):
        sys.exit(1 if self.faults else 0)

    def skip(self, why):
        print(why)
        sys.exit(77)

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="surrogateescape") as f:
            return f.read()

    def files(self, *suffixes, under=FOLDERS):
        """The files below the folders `under`, relative to the root, sorted."""
        found = []
        for folder in under:
            for where, folders, names in os.walk(os.path.join(self.root, folder)):
                folders[:] = [f for f in folders
                              if f not in ("__pycache__", ".deps", ".libs", ".dirstamp")]
                for name in names:
                    if name.endswith(suffixes or "") and not BUILT.search(name):
                        found.append(os.path.relpath(os.path.join(where, name), self.root))
        return sorted(found)

    def all_text(self):
        top = [f for f in TOP_FILES if os.path.isfile(os.path.join(self.root, f))]
        return top + self.files()


TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(text):
    """C with comments blank and the insides of strings blank, every line and column kept."""
    def blank(match):
        token = match.group(0)
        if token[0] == "/":
            return re.sub(r"[^\n]", " ", token)
        return token[0] + re.sub(r"[^\n]", "_", token[1:-1]) + token[-1]
    return TOKEN.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def arguments(code, opening):
    """The arguments of a call, as text, from the offset of its opening parenthesis."""
    depth, start, found = 0, opening + 1, []
    for at in range(opening, len(code)):
        char = code[at]
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                found.append(code[start:at].strip())
                return found
        elif char == "," and depth == 1:
            found.append(code[start:at].strip())
            start = at + 1
    return found
