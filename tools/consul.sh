#!/usr/bin/env bash
# Puts the program `consul` into FOLDER, for the tests (--check: only says whether it is there).  Debian 12 has no package
# of it, Debian 11 has: only the program is taken out of that package, so nothing is installed and no service starts.
#
#   tools/consul.sh [--check] FOLDER
set -euo pipefail
# shellcheck source=tools/other_suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/other_suite.sh"

# The suites to look in, best first, for each release that has no package of its own.
declare -rA OTHER_SUITES=([bookworm]="bullseye" [trixie]="bullseye")

main() {
  local only_checks="" folder dir suite
  if [[ ${1:-} == --check ]]; then
    only_checks=yes
    shift
  fi
  folder=$1
  if works "$folder/consul" || works "$(command -v consul || true)"; then return 0; fi
  [[ -z $only_checks ]] || return 1
  dir=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder's name is wanted as it is now
  trap "rm -rf '$dir'" EXIT
  for suite in ${OTHER_SUITES[$(own_codename)]:-}; do
    if open_suite "$dir" "$suite" && download_packages "$dir" consul && take_program "$dir" "$folder"; then return 0; fi
  done
  echo "consul: found no package of it; its tests are skipped" >&2
  return 1
}

works() { [[ -n $1 && -x $1 ]] && "$1" version >/dev/null 2>&1; }

take_program() {
  local dir=$1 folder=$2
  dpkg -x "$dir"/debs/consul_*.deb "$dir/tree" || return 1
  mkdir -p "$folder"
  install -m 755 "$dir/tree/usr/bin/consul" "$folder/consul.new" && mv "$folder/consul.new" "$folder/consul"
  works "$folder/consul"
}

main "$@"
