#!/usr/bin/env bash
# Gradescope runs this once, as root, when the autograder is built: it installs the kit into source/.venv.
set -euo pipefail
source="${CHATLAB_AUTOGRADER:-/autograder}/source"

find_python() {
    local name
    for name in python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
}

python="$(find_python)"
if [ -z "$python" ]; then
    apt-get update
    apt-get install -y python3.12 python3.12-venv || apt-get install -y python3.11 python3.11-venv
    python="$(find_python)"
fi
if [ -z "$python" ]; then
    echo "There is no Python 3.11 or later in this base image: choose a newer one, such as Ubuntu 24.04." >&2
    exit 1
fi

"$python" -m venv "$source/.venv"
"$source/.venv/bin/python" -m pip install --disable-pip-version-check --constraint "$source/kit/constraints.txt" @editable@"$source/kit"
@node@
# Submissions are judged as this user, who can write no results.
useradd --system --no-create-home --shell /usr/sbin/nologin @user@ 2>/dev/null || true
"$source/.venv/bin/chatlab" --version
