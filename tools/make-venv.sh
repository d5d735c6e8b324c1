#!/bin/sh
# Makes the virtual environment with everything for development: finds a Python, says in one line what is missing.
#
#   tools/make-venv.sh .venv [extras]
set -eu

VENV="${1:-.venv}"
EXTRAS="${2:-dev}"
CANDIDATES="python3 python3.14 python3.13 python3.12 python3.11"

fail() {
    echo "make: $*" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

version_of() {
    "$1" -c 'import platform; print("Python", platform.python_version())' 2>/dev/null
}

has_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

find_python() {
    found=""
    without=""
    for candidate in $CANDIDATES; do
        if is_new_enough "$candidate" && has_venv "$candidate"; then
            command -v "$candidate"
            return
        fi
        [ -n "$found" ] || found=$(version_of "$candidate" || true)
        ! is_new_enough "$candidate" || without=$(version_of "$candidate")
    done
    [ -z "$without" ] || fail "$without has no venv module: apt-get install python3-venv"
    fail "${found:-no Python} found, Python 3.11 or newer needed (tried $CANDIDATES)"
}

if ! is_new_enough "$VENV/bin/python"; then
    python=$(find_python)
    echo "making $VENV with $python"
    "$python" -m venv --clear "$VENV" || fail "$VENV could not be made with $python"
fi
echo "installing icepath[$EXTRAS] into $VENV (once, and when pyproject.toml changes)"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$EXTRAS]" ||
    fail "pip could not install icepath[$EXTRAS]: is a package index reachable?"
