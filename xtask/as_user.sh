#!/bin/sh
# as_user.sh USER MASKS ENTRIES COMMAND…
# Runs a command as an ordinary user. MASKS are the folders that are closed to other users, one per
# line. The script mounts an empty, open folder over each mask. ENTRIES are the files and folders
# below the masks that the user needs, one per line. The script mounts each entry again. Call the
# script in a mount namespace of its own (`unshare --mount`), so that the machine does not change.
set -efu
umask 022
user=$1 masks=$2 entries=$3
shift 3
IFS="
"
# put FROM TO
put() {
    if [ -d "$1" ]; then
        mkdir -p "$2"
    else
        mkdir -p "$(dirname "$2")"
        : >"$2"
    fi
    mount --bind "$1" "$2"
}
held=$(mktemp -d)
number=0
for entry in $entries; do
    number=$((number + 1))
    put "$entry" "$held/$number"
done
for mask in $masks; do
    mount -t tmpfs -o mode=755 tmpfs "$mask"
done
number=0
for entry in $entries; do
    number=$((number + 1))
    # The entry may exist already, through a link or through another mounted entry.
    [ -e "$entry" ] || put "$held/$number" "$entry"
    umount "$held/$number"
    rmdir "$held/$number" 2>/dev/null || rm "$held/$number"
done
rmdir "$held"
exec setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups --inh-caps=-all "$@"
