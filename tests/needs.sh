#!/bin/sh
# Checks for the programs that the tests call. A missing one is installed if this is root on Debian; otherwise its
# package is named and the check fails.
set -eu

missing=""
need() { # command package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

command -v cargo >/dev/null 2>&1 || {
    echo "missing: cargo (Rust; install it with rustup, the version is rust-version in Cargo.toml)" >&2
    exit 1
}
need cc gcc
need python3 python3
need bash bash
need curl curl
need sha256sum coreutils
need git git

[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing" >&2
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
else
    echo "missing system packages (Debian's names):$missing" >&2
    exit 1
fi
