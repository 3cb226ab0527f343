#!/bin/sh
# enter.sh ROOT UID COMMAND...: runs a command as another machine would: ROOT is its file system, there is no network but
# its own loopback device, and no process but its own. As root.
#
# Not by chroot: whoever is in one may make no user namespace (user_namespaces(7)).
set -eu
if [ "${1:-}" != --inside ]; then
    exec unshare --mount --pid --fork --net --uts --ipc "$0" --inside "$@"
fi
root=$2
uid=$3
shift 3

ip link set lo up
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mkdir -p .old
pivot_root . .old
mount -t proc proc /proc
mount -t tmpfs -o mode=1777 tmpfs /tmp
umount -l /.old
cd /
exec env -i PATH=/usr/local/bin:/usr/bin:/bin setpriv --reuid="$uid" --regid="$uid" --clear-groups "$@"
