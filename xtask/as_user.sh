#!/bin/sh
# as_user.sh USER MASKS ENTRIES COMMAND…
# Runs a command as an ordinary user. MASKS are folders, one a line, that are closed to other users.
# An empty, open folder is mounted over each. ENTRIES are the files and folders below them, one a
# line, that the user needs. Each is mounted again. Call this script in its own mount namespace
# (`unshare --mount`), so that nothing of the machine changes.
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
    # A link, or an entry that is mounted already, may lead to it.
    [ -e "$entry" ] || put "$held/$number" "$entry"
    umount "$held/$number"
    rmdir "$held/$number" 2>/dev/null || rm "$held/$number"
done
rmdir "$held"
exec setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups --inh-caps=-all "$@"
