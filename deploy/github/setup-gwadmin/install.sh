#!/usr/bin/env bash
# Installs the release GWADMIN_VERSION of gwadmin from GWADMIN_BASE_URL below RUNNER_TOOL_CACHE,
# unless it is there, and adds it to GITHUB_PATH. Nothing is installed unless the checksum is
# that in the release's checksums.txt.
set -euo pipefail

fail() { echo "::error title=setup-gwadmin::$*"; exit 1; }

version=${GWADMIN_VERSION#v}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "version \"$GWADMIN_VERSION\" is no release, such as 0.1.0"

exe=""
format=tar.gz
case ${RUNNER_OS:-$(uname -s)} in
  Linux) os=linux ;;
  macOS | Darwin) os=darwin ;;
  Windows | MINGW* | MSYS*) os=windows exe=.exe format=zip ;;
  *) fail "there is no release for ${RUNNER_OS:-$(uname -s)}" ;;
esac
case ${RUNNER_ARCH:-$(uname -m)} in
  X64 | x86_64 | amd64) arch=amd64 ;;
  ARM64 | arm64 | aarch64) arch=arm64 ;;
  *) fail "there is no release for ${RUNNER_ARCH:-$(uname -m)}" ;;
esac

tools=${RUNNER_TOOL_CACHE//\\//} # a path of Windows
dir=$tools/gwadmin/$GWADMIN_VERSION/$arch
if [ ! -x "$dir/gwadmin$exe" ]; then
  archive=gwadmin_${version}_${os}_$arch.$format
  base=${GWADMIN_BASE_URL%/}/v$version
  temporary=$(mktemp -d)
  trap 'rm -rf "$temporary"' EXIT
  for file in checksums.txt "$archive"; do
    curl --fail --silent --show-error --location --retry 3 --output "$temporary/$file" "$base/$file" ||
      fail "cannot download $base/$file"
  done
  want=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$temporary/checksums.txt")
  [[ $want =~ ^[0-9a-f]{64}$ ]] || fail "checksums.txt of $version does not have $archive"
  if command -v sha256sum >/dev/null; then sum=(sha256sum); else sum=(shasum -a 256); fi
  got=$("${sum[@]}" <"$temporary/$archive")
  got=${got%% *}
  [ "$got" = "$want" ] || fail "$base/$archive has the checksum $got, and checksums.txt says $want: nothing was installed"
  mkdir "$temporary/unpacked"
  case $format in
    zip) unzip -q "$temporary/$archive" "gwadmin$exe" -d "$temporary/unpacked" ;;
    *) tar -xzf "$temporary/$archive" -C "$temporary/unpacked" gwadmin ;;
  esac
  mkdir -p "$dir"
  mv "$temporary/unpacked/gwadmin$exe" "$dir/"
fi
said=$("$dir/gwadmin$exe" version)
echo "$said"
echo "version=${said%%$'\n'*}" >>"$GITHUB_OUTPUT"
if command -v cygpath >/dev/null; then dir=$(cygpath -w "$dir"); fi
echo "$dir" >>"$GITHUB_PATH"
