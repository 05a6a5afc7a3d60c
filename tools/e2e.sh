#!/usr/bin/env bash
# Runs the end-to-end and interop tests against one program: tools/e2e.sh PROGRAM RESULTS.xml [pytest options].  Exit status 77
# (skipped, for ctest) only while there are no such tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=$1 results=$2
shift 2
if ! compgen -G 'tests/e2e/test_*.py' >/dev/null; then
  echo "there are no end-to-end tests yet"
  exit 77
fi
export PORTUNUS_BIN=$program PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 -m pytest -q -p no:cacheprovider --junitxml="$results" "$@" tests/e2e tests/interop
