#!/bin/sh
# Checks the prerequisites and names the line that installs what is missing.
python=${1:-python3}
missing=""
for tool in git make; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if ! command -v "$python" >/dev/null 2>&1; then
    missing="$missing python3 python3-venv"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "✗ $python is $("$python" -V 2>&1); FrameWorks needs Python 3.11 or newer." >&2
    echo "  Debian 12, Ubuntu 24.04: apt install python3 python3-venv    macOS: brew install python@3.12" >&2
    echo "  then: make up PYTHON=python3.12" >&2
    exit 1
elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    missing="$missing python3-venv"
fi
[ -z "$missing" ] && exit 0
echo "✗ Missing:$missing" >&2
if [ "$(uname)" = Darwin ]; then
    echo "  brew install$(echo "$missing" | sed 's/python3-venv//; s/python3/python@3.12/')" >&2
else
    echo "  apt install$missing    (as root, or with sudo)" >&2
fi
exit 1
