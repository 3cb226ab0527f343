#!/bin/sh
# Installs NanoGridBot, or takes it away.
#
#   sh install.sh                   the executable beside this file, as in an unpacked archive
#   sh install.sh ARCHIVE           of a file, e.g. nanogridbot-1.2.0-x86_64-linux.tar.gz; its sum is in ARCHIVE.sha256
#   sh install.sh ADDRESS           the same of an address
#   sh install.sh --remove          takes the executable away; settings and chats stay
#
#   --to DIR     into this folder; default /usr/local/bin as root, else ~/.local/bin
#
# Nothing else is changed: no service, no settings, no shell.
set -eu

die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

from=
to=
remove=no
while [ $# -gt 0 ]; do
    case $1 in
        --remove) remove=yes ;;
        --to) to=${2:?"--to needs a folder"}; shift ;;
        -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) die "unknown option \`$1\`; \`sh install.sh --help\` names them" ;;
        *) [ -z "$from" ] || die "one archive, not two: \`$from\` and \`$1\`"; from=$1 ;;
    esac
    shift
done
if [ -z "$to" ]; then
    if [ "$(id -u)" -eq 0 ]; then
        to=/usr/local/bin
    else
        to=${HOME:?is not set; name a folder with --to}/.local/bin
    fi
fi
exe=$to/nanogridbot

if [ "$remove" = yes ]; then
    if [ ! -e "$exe" ] && [ ! -L "$exe" ]; then
        echo "there is no $exe"
        exit 0
    fi
    home=$("$exe" --json config 2>/dev/null >/dev/null && echo yes || echo no)
    rm -f "$exe" "$exe.previous"
    echo "removed $exe"
    [ "$home" = no ] || echo "settings and chats stay in the home (${NGB_HOME:-${XDG_DATA_HOME:-~/.local/share}/nanogridbot}); delete it to forget them"
    exit 0
fi

[ "$(uname -s)" = Linux ] || die "this is for Linux, and here is $(uname -s)"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM

# fetch ADDRESS FILE
fetch() {
    if command -v curl >/dev/null; then
        curl --fail --silent --show-error --location --output "$2" "$1" || die "could not fetch $1"
    elif command -v wget >/dev/null; then
        wget --quiet --output-document="$2" "$1" || die "could not fetch $1"
    else
        die "neither curl nor wget is here: fetch $1 and $1.sha256 by other means, then: sh install.sh FILE"
    fi
}

case $from in
    '')
        new=$(dirname "$0")/nanogridbot
        [ -f "$new" ] || die "there is no executable beside this file; name an archive or an address"
        ;;
    *)
        archive=$scratch/archive.tar.gz
        case $from in
            *://*)
                fetch "$from" "$archive"
                fetch "$from.sha256" "$scratch/sum"
                ;;
            *)
                [ -f "$from" ] || die "there is no file \`$from\`"
                [ -f "$from.sha256" ] || die "there is no \`$from.sha256\` to hold the archive against; it is beside each release"
                cp "$from" "$archive"
                cp "$from.sha256" "$scratch/sum"
                ;;
        esac
        want=$(cut -d ' ' -f 1 "$scratch/sum")
        have=$(sha256sum "$archive" | cut -d ' ' -f 1)
        [ "$want" = "$have" ] || die "\`$from\` is damaged or another one: its SHA-256 is $have, and should be $want"
        mkdir "$scratch/unpacked"
        tar -xzf "$archive" -C "$scratch/unpacked" --strip-components=1 || die "could not unpack \`$from\`"
        new=$scratch/unpacked/nanogridbot
        [ -f "$new" ] || die "there is no executable in \`$from\`"
        ;;
esac

mkdir -p "$to" || die "could not make $to"
# Beside its place, so that there is always a whole one.
cp "$new" "$exe.new" || die "could not write into $to"
chmod 755 "$exe.new"
version=$("$exe.new" --version 2>/dev/null) || { rm -f "$exe.new"; die "it does not run here: is it of this kind of processor ($(uname -m))?"; }
mv "$exe.new" "$exe"

echo "$version is $exe"
case :${PATH:-}: in
    *":$to:"*) echo "start it:       nanogridbot" ;;
    *)
        echo "start it:       $exe"
        echo "                ($to is not in PATH: export PATH=\"$to:\$PATH\")"
        ;;
esac
echo "as a service:   $exe service install"
echo "take it away:   $exe service remove; rm $exe"
