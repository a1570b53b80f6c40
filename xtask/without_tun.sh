#!/bin/sh
# Replaces slirp4netns, which connects rootless containers to the network through /dev/net/tun.
# Without that device, containers can be reached on their published ports but cannot open
# connections to the outside.
while [ $# -gt 0 ]; do
    case $1 in
        --help) echo "Usage: slirp4netns [--mtu] [--enable-ipv6] [--netns-type]"; exit ;;
        --version) echo "slirp4netns version 1.2.0"; exit ;;
        -r | --ready-fd) ready=$2; shift ;;
        --ready-fd=*) ready=${1#*=} ;;
    esac
    shift
done
# Podman waits for this byte.
eval "printf 1 >&${ready:?}; exec $ready>&-"
exec sleep infinity
