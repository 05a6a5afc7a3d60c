#!/usr/bin/env bash
# Runs the end-to-end and interop tests against one program: tools/e2e.sh PROGRAM RESULTS.xml [pytest options].  As many at a
# time as there are processors: most of their time they wait.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=$1 results=$2
shift 2
export PORTUNUS_BIN=$program PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 -m pytest -q -p no:cacheprovider -n "$(nproc)" --junitxml="$results" "$@" tests/e2e tests/interop
