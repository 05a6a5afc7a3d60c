#!/usr/bin/env bash
# Installs llhttp 9.2.1 or newer.  Older ones have request-smuggling bugs, and Debian 12 packages none at all.
#
# Debian 13 and later: the plain package.  Debian 12: the two packages of Debian 13 need only libc, so just these
# are fetched, by apt and checked by its signatures, through a private copy of the system's own package sources with
# the suite replaced.  The system's sources, lists and preferences stay as they are.
set -euo pipefail

readonly MIN_VERSION=9.2.1~  # Debian spells it 9.2.1~7.3.0+...; a tilde sorts before nothing
readonly SUITE=trixie

main() {
  if installed_is_good; then return 0; fi
  if candidate_is_good; then
    apt_get install -y --no-install-recommends libllhttp-dev
    return 0
  fi
  install_from_newer_suite
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@" </dev/null; }

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

# Prints the system's main Debian sources with the suite replaced, in the form ("sources" or "list") they have.
# Update, security and backport suites are dropped: the base suite holds the packages.
rewrite_deb822() {
  awk -v suite="$SUITE" 'BEGIN { RS = ""; ORS = "\n\n" }
    /(^|\n)Enabled:[ \t]*no/ { next }
    /(^|\n)Types:[^\n]*deb/ && /(^|\n)Suites:[^\n]*bookworm/ && !/debian-security/ {
      gsub(/\nSuites:[^\n]*/, "\nSuites: " suite); gsub(/^Suites:[^\n]*/, "Suites: " suite)
      gsub(/Types:[^\n]*/, "Types: deb"); gsub(/Components:[^\n]*/, "Components: main")
      print
    }' "$@"
}

rewrite_one_line() {
  awk -v suite="$SUITE" '$1 == "deb" && !/debian-security/ {
      for (i = 2; i <= NF; i++) if ($i == "bookworm") {
        line = ""; for (j = 1; j < i; j++) line = line $j " "
        if (!seen[line]++) print line suite " main"
      }
    }' "$@"
}

write_private_sources() {
  local dir=$1 etc=/etc/apt files
  shopt -s nullglob
  files=("$etc"/sources.list.d/*.sources)
  if ((${#files[@]})); then rewrite_deb822 "${files[@]}" >"$dir/etc/newer.sources"; fi
  files=("$etc"/sources.list.d/*.list)
  if [[ -e $etc/sources.list ]]; then files+=("$etc/sources.list"); fi
  if ((${#files[@]})); then rewrite_one_line "${files[@]}" >"$dir/etc/newer.list"; fi
  shopt -u nullglob
  find "$dir/etc" -type f -empty -delete
  if [[ -z $(find "$dir/etc" -type f) ]]; then
    echo "llhttp: no Debian source found in $etc to take $SUITE from; install libllhttp-dev $MIN_VERSION or newer" >&2
    return 1
  fi
}

install_from_newer_suite() {
  local dir
  dir=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder's name is wanted as it is now
  trap "rm -rf '$dir'" EXIT
  mkdir -p "$dir"/{etc,lists/partial,cache/archives/partial,debs}
  chmod -R a+rX "$dir"
  write_private_sources "$dir"
  local options=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$dir/etc" -o "Dir::State::lists=$dir/lists"
    -o "Dir::Cache=$dir/cache" -o "Dir::Etc::preferences=/dev/null" -o "Dir::Etc::preferencesparts=$dir/debs"
    -o "APT::Sandbox::User=root" -o "Acquire::Languages=none" -o "APT::Default-Release=")
  apt_get "${options[@]}" update
  local runtime
  runtime=$(apt-cache "${options[@]}" depends libllhttp-dev | sed -n 's/^ *Depends: \(libllhttp[0-9.]*\)$/\1/p' | head -n1)
  (cd "$dir/debs" && apt_get "${options[@]}" download libllhttp-dev ${runtime:+"$runtime"})
  apt_get install -y --no-install-recommends "$dir"/debs/*.deb
}

main "$@"
