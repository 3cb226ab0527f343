#!/bin/bash
# installed.sh ARCHIVE DEB: what install.sh and the .deb do on a bare system: install, install again, refuse what is damaged,
# take away. Runs inside of it (enter.sh), as root and as a user.
set -euo pipefail
archive=$1
deb=$2

die() {
    printf 'installed.sh: %s\n' "$*" >&2
    exit 1
}

HOME=$(mktemp -d /var/tmp/installed.XXXXXX)
export HOME
cd "$HOME"
tar --extract --strip-components=1 --file "$archive" --wildcards '*/install.sh' '*/NOTICES'
grep -q '^tokio ' NOTICES || die "NOTICES does not name what is linked in"
case $UID in
    0) to=/usr/local/bin ;;
    *) to=$HOME/.local/bin ;;
esac

said=$(sh install.sh "$archive") || die "$said"
[[ $said == *"is $to/nanogridbot"*"take it away:"* ]] || die "it does not say what it did: $said"
[[ $("$to/nanogridbot" --version) == nanogridbot\ * ]] || die "what was installed does not run"
"$to/nanogridbot" run -p 'echo hi' 2>log | grep -qx hi || die "what was installed does not answer: $(cat log)"

# Over itself, out of the unpacked archive.
mkdir unpacked
tar --extract --strip-components=1 --directory unpacked --file "$archive"
sh unpacked/install.sh >log || die "a second time: $(cat log)"

cp "$archive" damaged.tar.gz
printf x >>damaged.tar.gz
cp "$archive.sha256" damaged.tar.gz.sha256
before=$(sha256sum "$to/nanogridbot")
said=$(sh install.sh damaged.tar.gz 2>&1) && die "a damaged archive was installed"
[[ $said == *"is damaged or another one"* ]] || die "$said"
said=$(sh install.sh none.tar.gz 2>&1) && die "what is not there was installed"
said=$(sh install.sh http://127.0.0.1/x.tar.gz 2>&1) && die "there is no network here"
[[ $said == *"neither curl nor wget"* ]] || die "$said"
[ "$before" = "$(sha256sum "$to/nanogridbot")" ] || die "a refusal left another executable"

said=$(sh install.sh --remove) || die "$said"
[ ! -e "$to/nanogridbot" ] || die "it is still there"
[ -d "$HOME/.local/share/nanogridbot" ] || die "the home went with it"
[[ $said == *"settings and chats stay"* ]] || die "$said"
sh install.sh --remove >log || die "a second time: $(cat log)"

if [ "$UID" -eq 0 ]; then
    PATH=$PATH:/usr/sbin:/sbin
    dpkg --install "$deb" >log 2>&1 || die "dpkg: $(cat log)"
    [[ $(nanogridbot --version) == nanogridbot\ * ]] || die "the .deb's executable does not run"
    dpkg --verify nanogridbot || die "the .deb's sums are wrong"
    [ -s /usr/share/doc/nanogridbot/copyright ] || die "the .deb has no licences"
    dpkg --purge nanogridbot >log 2>&1 || die "dpkg: $(cat log)"
    [ ! -e /usr/bin/nanogridbot ] || die "the .deb left its executable"
fi
printf 'installed: as user %d from an archive%s, and away again\n' "$UID" "$([ "$UID" -ne 0 ] || echo ' and a .deb')"
