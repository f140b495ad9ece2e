#!/bin/sh
# The runner: one attempt, the same on every source. POSIX sh (dash, bash, busybox), no process but the command's own.
#
#   sh runner.sh DIRECTORY TIMEOUT WORKDIR COMMAND [ARGUMENT]...
#
# DIRECTORY is the attempt's own. TIMEOUT in seconds, 0 for none. It writes there
#   claim       pid:start:boot:host of this runner, created exclusively before anything else happens
#   stdout.log, stderr.log
#   timed_out   if the timeout ended the command
#   exit        "STATUS FLAG end": STATUS as the shell gives it (128+n for signal n), FLAG `term` if TERM reached the
#               runner, `workdir` if WORKDIR could not be entered, else `-`. A line without `end` is torn.
# Its own status is the command's; 121: somebody else holds the claim, or it could not be written; 122: no exit file.

d=$1 limit=$2 work=$3
shift 3

spawn_start() { start=${22}; }
if { read -r stat </proc/$$/stat && read -r boot </proc/sys/kernel/random/boot_id &&
	read -r host </proc/sys/kernel/hostname; } 2>/dev/null; then
	spawn_start $stat
else
	start=$(ps -o lstart= -p $$ | tr -s ' ' - | tr : . | sed 's/^-//;s/-$//')
	boot=$(sysctl -n kern.bootsessionuuid)
	host=$(hostname)
fi

set -C
{ echo "$$:$start:$boot:$host" >"$d/claim"; } 2>/dev/null || exit 121
set +C

# A trapped TERM lets the runner live until the command has ended, and write what came of it.
t=-
trap 't=term' TERM INT HUP

if ! cd -- "$work" 2>"$d/stderr.log"; then
	echo "126 workdir end" >"$d/exit" || exit 122
	exit 126
fi

w=
if [ "$limit" != 0 ]; then
	(
		trap 'kill "$s" 2>/dev/null; exit 0' TERM
		sleep "$limit" &
		s=$!
		wait "$s"
		echo "$limit" >"$d/timed_out"
		trap '' TERM
		kill -TERM -- "-$$"
		sleep "${SPAWN_KILL_AFTER:-10}"
		kill -KILL -- "-$$"
	) </dev/null >/dev/null 2>&1 &
	w=$!
fi

case $1 in
. | : | alias | break | cd | continue | eval | exec | exit | export | local | read | readonly | return | set | shift | \
	times | trap | umask | unalias | unset | wait)
	# Words that would change this shell: an argument vector means a program.
	env -- "$@" </dev/null >"$d/stdout.log" 2>"$d/stderr.log"
	;;
*)
	"$@" </dev/null >"$d/stdout.log" 2>"$d/stderr.log"
	;;
esac
r=$?

if [ -n "$w" ] && ! [ -e "$d/timed_out" ]; then
	kill "$w" 2>/dev/null
	wait "$w" 2>/dev/null
fi
echo "$r $t end" >"$d/exit" || exit 122
if [ -e "$d/timed_out" ]; then
	# Past its time nothing of the group may live on, this shell included.
	kill -KILL -- "-$$"
fi
exit "$r"
