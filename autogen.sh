#!/bin/sh
# autogen.sh - makes ./configure from configure.ac in a fresh clone.
set -eu
cd "$(dirname "$0")"

for tool in autoreconf automake libtoolize pkg-config; do
	command -v "$tool" >/dev/null 2>&1 || {
		echo "autogen.sh: $tool not found; scripts/deps build installs what is needed" >&2
		exit 69
	}
done
exec autoreconf --install --warnings=all,no-obsolete "$@"
