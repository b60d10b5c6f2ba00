#!/bin/sh
# Installs the servers that stand for object stores in tests, Azurite (Azure Blob, from npm) and Moto (S3, from PyPI), and
# a client of tus that is not ours (tuspy, from PyPI).
# The folder is the argument. What is there is left alone; what cannot be installed is said, and its tests are skipped,
# unless STARLING_NEED_EMULATORS is set: then that is a failure.
set -eu

folder="${1:?usage: tests/emulators.sh FOLDER}"
# This Azurite runs with the Node.js of Debian 12 and later; the next one asks for Node.js 22.
azurite=3.35.0
moto=5.2.5
tuspy=1.1.0
failed=""

# Installs into a folder of its own and gives it its name when it is whole: a broken download is tried again next time.
install() { # name, command that installs into "$new"
    new="$folder/$1.new"
    rm -rf "$new"
    mkdir -p "$new"
    if (eval "$2") >"$folder/$1.log" 2>&1; then
        rm -rf "${folder:?}/$1"
        mv "$new" "$folder/$1"
    else
        echo "NOT INSTALLED: $1, see $folder/$1.log" >&2
        failed="$failed $1"
    fi
}

mkdir -p "$folder"
if [ ! -e "$folder/azurite/$azurite" ]; then
    install azurite 'npm install --prefix "$new" --no-audit --no-fund --no-save azurite@$azurite && touch "$new/$azurite"'
fi
if [ ! -e "$folder/moto/$moto" ]; then
    install moto 'python3 -m pip install --quiet --target "$new" "moto[server]==$moto" && touch "$new/$moto"'
fi
if [ ! -e "$folder/tuspy/$tuspy" ]; then
    install tuspy 'python3 -m pip install --quiet --target "$new" "tuspy==$tuspy" && touch "$new/$tuspy"'
fi

[ -z "$failed" ] || [ -z "${STARLING_NEED_EMULATORS:-}" ]
