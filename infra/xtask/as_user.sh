#!/bin/sh
# as_user.sh USER ENTRIES COMMAND…
# Runs a command as an ordinary user. ENTRIES are the folders, one a line, that the user may see of those in root's home,
# which is closed to others. Call it in a mount namespace of its own (`unshare --mount`): nothing of the machine changes.
set -eu
user=$1 entries=$2
shift 2
IFS="
"
home=$(getent passwd root | cut -d: -f6)
held=$(mktemp -d)
number=0
for entry in $entries; do
    number=$((number + 1))
    mkdir "$held/$number"
    mount --bind "$entry" "$held/$number"
done
mount -t tmpfs -o mode=755 tmpfs "$home"
number=0
for entry in $entries; do
    number=$((number + 1))
    mkdir -p "$entry"
    mount --bind "$held/$number" "$entry"
    umount "$held/$number"
    rmdir "$held/$number"
done
rmdir "$held"
exec setpriv --reuid "$user" --regid "$user" --init-groups --inh-caps=-all "$@"
