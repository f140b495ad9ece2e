#!/bin/sh
# Make an instance's root in its new namespaces, and become its first process.
#   aws_boot.sh IMAGE DISK NAME CHANNEL PORT FIRST
set -eu
image=$1 disk=$2 name=$3
shift 3
root=$disk/root
mkdir -p "$disk/upper" "$disk/work" "$root"
hostname "$name"
ip link set lo up
ip addr add 169.254.169.254/32 dev lo
mount -t overlay instance -o "lowerdir=$image:/,upperdir=$disk/upper,workdir=$disk/work" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
# The kernel counts for all machines together; what is told here is this one's own (init.py), its disk at rest.
cat /proc/stat >"$root/run/stat"
echo "   8       0 xvda 100 0 800 10 100 0 800 10 0 20 20 0 0 0 0 0 0" >"$root/run/diskstats"
for name in stat diskstats; do mount --bind "$root/run/$name" "$root/proc/$name"; done
# What root may write there reaches the machine below.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
[ ! -e "$root/proc/sysrq-trigger" ] || mount --bind "$root/dev/null" "$root/proc/sysrq-trigger"
cd "$root"
pivot_root . .
umount -l .
cd /
exec /usr/bin/python3 -I -S /opt/emulator/init.py "$@"
