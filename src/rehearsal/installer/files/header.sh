#!/bin/bash
# DC/OS advanced installer, rehearsal build: run it on the bootstrap host in the directory that holds genconf/.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tail -n +"$(($(grep -an -m1 '^#PAYLOAD$' "$0" | cut -d: -f1) + 1))" "$0" | tar -xf - -C "$work"
for package in python cluster; do
    mkdir -p "$work/$package"
    tar -xJf "$work"/packages/$package--*.tar.xz -C "$work/$package"
done
PYTHONPATH="$work/cluster/lib:$work/python/lib" \
    python3 -m rehearsal.installer.generate --archive "$work" --name "$(basename "$0")" "$@"
exit $?
#PAYLOAD
