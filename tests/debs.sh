#!/usr/bin/env bash
# Builds the programs and packs them: Debian packages of agent, coordinator and agentctl, in target/package.
# With a version (debs.sh 0.0.9-1), the same programs as packages of that version, in target/package/VERSION.
# Nothing outside of target/ is written: dpkg-buildpackage works in a copy of what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-}
packages=$PWD/target/package${version:+/$version}
work=$PWD/target/package/.work$version

# The line of `make deploy`, the stand-in included: libraries that they share are compiled once, in the same way.
cargo build --release --locked -p warden-agent -p warden-coordinator -p bingo

rm -rf "$work"
mkdir -p "$work/warden/programs" "$packages"
cp -r debian units monitoring docs README.md CHANGELOG.md "$work/warden"
cp target/release/{warden-agent,warden-coordinator,agentctl} "$work/warden/programs"
if [ -n "$version" ]; then
    sed -i "1s/(.*)/($version)/" "$work/warden/debian/changelog"
fi
if ! (cd "$work/warden" && dpkg-buildpackage --build=binary --no-sign) >"$work/log" 2>&1; then
    tail -n 40 "$work/log" >&2
    echo "packing failed; all that was said: $work/log" >&2
    exit 1
fi
rm -f "$packages"/*.deb
mv "$work"/*.deb "$packages"
rm -rf "$work"
ls -1 "$packages"/*.deb
