# shellcheck shell=bash
# Single packages of another suite of the distribution: sourced by the scripts that need them.  They are fetched by apt
# and checked by its signatures, through a private copy of the system's own package sources with the suite replaced.
# The system's sources, lists and preferences stay as they are.

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@" </dev/null; }

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
  if ((${#files[@]})); then rewrite_deb822 "$old" "$new" "${files[@]}" >"$dir/etc/other.sources"; fi
  files=("$etc"/sources.list.d/*.list)
  if [[ -e $etc/sources.list ]]; then files+=("$etc/sources.list"); fi
  if ((${#files[@]})); then rewrite_one_line "$old" "$new" "${files[@]}" >"$dir/etc/other.list"; fi
  shopt -u nullglob
  find "$dir/etc" -type f -empty -delete
  [[ -n $(find "$dir/etc" -type f) ]]
}

own_codename() {
  # shellcheck source=/dev/null
  (. /etc/os-release && echo "${VERSION_CODENAME:-}")
}

# open_suite dir suite: reads that suite's lists into the folder; sets SUITE_OPTIONS, what apt needs to see them.
open_suite() {
  local dir=$1 suite=$2
  write_private_sources "$dir" "$(own_codename)" "$suite" || return 1
  mkdir -p "$dir"/{lists/partial,cache/archives/partial,debs,none}
  SUITE_OPTIONS=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$dir/etc" -o "Dir::State::lists=$dir/lists"
    -o "Dir::Cache=$dir/cache" -o "Dir::Etc::preferences=/dev/null" -o "Dir::Etc::preferencesparts=$dir/none"
    -o "APT::Sandbox::User=root" -o "Acquire::Languages=none" -o "APT::Default-Release=")
  apt_get "${SUITE_OPTIONS[@]}" -o "APT::Update::Error-Mode=any" update
}

# download_packages dir package...: into DIR/debs, after open_suite.
download_packages() {
  local dir=$1
  shift
  (cd "$dir/debs" && apt_get "${SUITE_OPTIONS[@]}" download "$@")
}
