#!/usr/bin/env bash
# Installs llhttp 9.2.1 or newer (--check: only says whether it is there).  Older ones have request-smuggling bugs, and
# Debian 12 packages none at all.
#
# Where the distribution's own package is new enough, that one.  Else the two packages of a newer suite, which need
# only libc (other_suite.sh).
set -euo pipefail
# shellcheck source=tools/other_suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/other_suite.sh"

readonly MIN_VERSION=9.2.1~  # Debian spells it 9.2.1~7.3.0+...; a tilde sorts before nothing

# The suites to look in, best first, for each release that needs one.
declare -rA NEWER_SUITES=([bookworm]="trixie" [noble]="resolute questing plucky")

main() {
  if [[ ${1:-} == --check ]]; then
    installed_is_good
    return
  fi
  if installed_is_good; then return 0; fi
  if candidate_is_good; then
    apt_get install -y --no-install-recommends libllhttp-dev
    return 0
  fi
  install_from_newer_suite
}

installed_is_good() {
  local version
  version=$(dpkg-query -W -f '${db:Status-Abbrev} ${Version}' libllhttp-dev 2>/dev/null) || return 1
  [[ $version == "ii "* ]] && dpkg --compare-versions "${version#ii }" ge "$MIN_VERSION"
}

candidate_is_good() {
  local version
  version=$(apt-cache policy libllhttp-dev 2>/dev/null | sed -n 's/^ *Candidate: //p')
  [[ -n $version && $version != "(none)" ]] && dpkg --compare-versions "$version" ge "$MIN_VERSION"
}

install_from_newer_suite() {
  local dir suite
  dir=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder's name is wanted as it is now
  trap "rm -rf '$dir'" EXIT
  for suite in ${NEWER_SUITES[$(own_codename)]:-}; do
    if open_suite "$dir" "$suite" && install_from "$dir"; then return 0; fi
  done
  echo "llhttp: found no package of version $MIN_VERSION or newer; install libllhttp-dev by hand" >&2
  return 1
}

install_from() {
  local dir=$1 runtime
  runtime=$(apt-cache "${SUITE_OPTIONS[@]}" depends libllhttp-dev | sed -n 's/^ *Depends: \(libllhttp[0-9.]*\)$/\1/p' | head -n1)
  download_packages "$dir" libllhttp-dev ${runtime:+"$runtime"} || return 1
  apt_get install -y --no-install-recommends "$dir"/debs/*.deb && installed_is_good
}

main "$@"
