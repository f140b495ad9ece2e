#!/bin/sh
# The runner: one attempt, the same on every source. POSIX sh (dash, bash, busybox), no process but the command's own.
#
#   sh runner.sh DIRECTORY TIMEOUT WORKDIR COMMAND [ARGUMENT]...
#
# DIRECTORY is the attempt's own. TIMEOUT in seconds, 0 for none. It writes there
#   claim       pid:start:boot:host of this runner, created exclusively before anything else happens; `start` is empty
#               where SPAWN_PLACE (boot:host) was given by a launcher on this very host
#   stdout.log, stderr.log
#   timed_out   if the timeout ended the command
#   exit        "STATUS FLAG end": STATUS as the shell gives it (128+n for signal n), FLAG `term` if TERM reached the
#               runner, `workdir` if WORKDIR could not be entered, else `-`. A line without `end` is torn.
# Its own status is the command's; 121: somebody else holds the claim, or it could not be written; 122: no exit file.
#
# It must lead its process group. Its variables begin with spawn_, so that none of the command's environment changes.

set +eux
spawn_dir=$1 spawn_limit=$2 spawn_work=$3
shift 3

spawn_start() { spawn_start=${22}; }
if [ -n "$SPAWN_PLACE" ]; then
	# The launcher knows boot and host, and finds the start time of the process that carries the attempt's token. A
	# shell reads byte by byte: to ask /proc here would take a third of this runner's time.
	spawn_start='' spawn_boot=${SPAWN_PLACE%%:*} spawn_host=${SPAWN_PLACE#*:}
	unset SPAWN_PLACE
elif { read -r spawn_stat </proc/$$/stat && read -r spawn_boot </proc/sys/kernel/random/boot_id &&
	read -r spawn_host </proc/sys/kernel/hostname; } 2>/dev/null; then
	spawn_start $spawn_stat
else
	spawn_start=$(ps -o lstart= -p $$ | tr -s ' ' - | tr : . | sed 's/^-//;s/-$//')
	spawn_boot=$(sysctl -n kern.bootsessionuuid)
	spawn_host=$(hostname)
fi

set -C
{ echo "$$:$spawn_start:$spawn_boot:$spawn_host" >"$spawn_dir/claim"; } 2>/dev/null || exit 121
set +C

# A trapped TERM lets the runner live until the command has ended, and write what came of it.
spawn_flag=-
trap 'spawn_flag=term' TERM INT HUP

exec </dev/null >"$spawn_dir/stdout.log" 2>"$spawn_dir/stderr.log"

spawn_exit() {
	echo "$1 end" >"$spawn_dir/exit" && return
	# A full disk: the outcome waits here until there is room for it, unless nobody wants it any more.
	while [ -d "$spawn_dir" ] && [ "$spawn_flag" = - ]; do
		sleep 1
		{ echo "$1 end" >"$spawn_dir/exit"; } 2>/dev/null && return
	done
	exit 122
}

if ! cd -- "$spawn_work"; then
	spawn_exit "126 workdir"
	exit 126
fi

spawn_watch=
if [ "$spawn_limit" != 0 ]; then
	(
		sleep "$spawn_limit"
		echo "$spawn_limit" >"$spawn_dir/timed_out"
		trap '' TERM
		kill -TERM "-$$"
		sleep "${SPAWN_KILL_AFTER:-10}"
		kill -KILL "-$$"
	) >/dev/null 2>&1 &
	spawn_watch=$!
fi

case $spawn_flag$1 in
term*)
	# Ended before it began.
	spawn_status=143
	;;
-. | -: | -alias | -bind | -break | -builtin | -cd | -command | -continue | -declare | -enable | -eval | -exec | \
	-exit | -export | -fc | -getopts | -hash | -history | -let | -local | -logout | -mapfile | -printf | -read | \
	-readarray | -readonly | -return | -set | -shift | -shopt | -source | -spawn_* | -suspend | -times | -trap | \
	-typeset | -ulimit | -umask | -unalias | -unset | -wait)
	# Words that would change this shell: an argument vector means a program.
	env -- "$@"
	spawn_status=$?
	;;
*)
	"$@"
	spawn_status=$?
	;;
esac

if [ -z "$spawn_watch" ]; then
	spawn_exit "$spawn_status $spawn_flag"
	exit "$spawn_status"
fi

# KILL, for a TERM is lost on a shell that has just been forked. Its sleep is in our group.
kill -KILL "$spawn_watch" 2>/dev/null
wait "$spawn_watch" 2>/dev/null
spawn_exit "$spawn_status $spawn_flag"
trap '' TERM
if [ -e "$spawn_dir/timed_out" ]; then
	# Past its time nothing of the group may live on, this shell included.
	kill -KILL "-$$"
fi
kill -TERM "-$$"
exit "$spawn_status"
