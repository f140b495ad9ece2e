#!/bin/sh
# What the runner runs where the user gave a script: the script, then the command, if the sweep has one.
#
#   sh boot_work.sh SCRIPT [COMMAND [ARGUMENT]...]
#
# Alone, the script is the task and its status the task's. Before a command it prepares: what it fails with is left in
# ROOT/unprepared, and the command is not begun.

script=$1
shift
chmod 700 "$script"
case $(head -c 2 "$script") in
'#!') "$script" ;; # the kernel finds its interpreter
*) sh "$script" ;;
esac
status=$?
[ "$#" != 0 ] || exit "$status"
if [ "$status" != 0 ]; then
	echo "user_data ended with status $status; the command was not begun" >&2
	echo "$status" >"$SPAWN_ROOT/unprepared"
	exit "$status"
fi
case $1 in
-*) exec env -- "$@" ;; # else an option of exec itself
*) exec "$@" ;;
esac
