#!/usr/bin/env bash
# Installs llhttp 9.2.1 or newer (--check: only says whether it is there).  Older ones have request-smuggling bugs, and
# Debian 12 packages none at all.
#
# Where the distribution's own package is new enough, that one.  Else the two packages of a newer suite, which need
# only libc: just these are fetched, by apt and checked by its signatures, through a private copy of the system's own
# package sources with the suite replaced.  The system's sources, lists and preferences stay as they are.
set -euo pipefail

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

# Both print the system's base-suite sources with the suite replaced; updates, security and backports are left out.
rewrite_deb822() {
  local old=$1 new=$2
  shift 2
  awk -v old="$old" -v new="$new" 'BEGIN { RS = ""; FS = "\n" }
    /(^|\n)Enabled:[ \t]*no/ { next }
    {
      keep = 0; out = ""
      for (i = 1; i <= NF; i++) {
        line = $i
        if (line ~ /^Suites:/) {
          count = split(line, words, /[ \t]+/)
          for (j = 2; j <= count; j++) if (words[j] == old) keep = 1
          line = "Suites: " new
        }
        if (line ~ /^Types:/) line = "Types: deb"
        out = out line "\n"
      }
      if (keep) print out
    }' "$@"
}

rewrite_one_line() {
  local old=$1 new=$2
  shift 2
  awk -v old="$old" -v new="$new" '$1 == "deb" {
      for (i = 2; i <= NF; i++) if ($i == old) { $i = new; print; next }
    }' "$@"
}

write_private_sources() {
  local dir=$1 old=$2 new=$3 etc=/etc/apt files
  rm -rf "${dir:?}/etc"
  mkdir -p "$dir/etc"
  shopt -s nullglob
  files=("$etc"/sources.list.d/*.sources)
  if ((${#files[@]})); then rewrite_deb822 "$old" "$new" "${files[@]}" >"$dir/etc/newer.sources"; fi
  files=("$etc"/sources.list.d/*.list)
  if [[ -e $etc/sources.list ]]; then files+=("$etc/sources.list"); fi
  if ((${#files[@]})); then rewrite_one_line "$old" "$new" "${files[@]}" >"$dir/etc/newer.list"; fi
  shopt -u nullglob
  find "$dir/etc" -type f -empty -delete
  [[ -n $(find "$dir/etc" -type f) ]]
}

install_from_newer_suite() {
  local dir codename suite
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  dir=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder's name is wanted as it is now
  trap "rm -rf '$dir'" EXIT
  for suite in ${NEWER_SUITES[$codename]:-}; do
    if write_private_sources "$dir" "$codename" "$suite" && install_from "$dir"; then return 0; fi
  done
  echo "llhttp: found no package of version $MIN_VERSION or newer; install libllhttp-dev by hand" >&2
  return 1
}

install_from() {
  local dir=$1 runtime
  mkdir -p "$dir"/{lists/partial,cache/archives/partial,debs,none}
  local options=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$dir/etc" -o "Dir::State::lists=$dir/lists"
    -o "Dir::Cache=$dir/cache" -o "Dir::Etc::preferences=/dev/null" -o "Dir::Etc::preferencesparts=$dir/none"
    -o "APT::Sandbox::User=root" -o "Acquire::Languages=none" -o "APT::Default-Release=")
  apt_get "${options[@]}" -o "APT::Update::Error-Mode=any" update || return 1
  runtime=$(apt-cache "${options[@]}" depends libllhttp-dev | sed -n 's/^ *Depends: \(libllhttp[0-9.]*\)$/\1/p' | head -n1)
  (cd "$dir/debs" && apt_get "${options[@]}" download libllhttp-dev ${runtime:+"$runtime"}) || return 1
  apt_get install -y --no-install-recommends "$dir"/debs/*.deb && installed_is_good
}

main "$@"
