#!/bin/sh
# What answers at the other end: facts about attempts, and the few acts that must happen where they are. POSIX sh.
#
#   sh ROOT/scripts/agent.sh VERB [ARGUMENT]...       data on stdin, answer on stdout
#
# ROOT is the sweep's directory there; it has the form of a sweep's directory at home (attempts/, scripts/). An answer
# begins with the line `spawn-agent 1` (whatever a login script printed before it is not ours) and ends with `end`, so
# that a torn one is seen. What the facts mean is decided at home (`area.py`): here is nothing but looking and doing.
#
# Nothing runs once per attempt but builtins: a look at a thousand attempts costs a few processes.

set -u
umask 077
LC_ALL=C
export LC_ALL
root=${0%/scripts/agent.sh}
cd "$root" || exit 1
echo "spawn-agent 1"

# As the runner writes it into its claim. Machines may share this directory, and containers a boot.
here() { read -r boot </proc/sys/kernel/random/boot_id && read -r host </proc/sys/kernel/hostname; } 2>/dev/null

# First words of small files, or nothing. `read` fails on a line without its newline and keeps what it read.
claim() { claim='' && IFS= read -r claim; } 2>/dev/null <"attempts/$1/claim"
outcome() { outcome='' && IFS= read -r outcome && [ -n "$outcome" ]; } 2>/dev/null <"attempts/$1/exit"

verb=$1
shift
case $verb in

launch) # BATCH; stdin: a tar of attempts/*/start.sh, …, and scripts/batches/BATCH, the names of its attempts
	tar -xf - || exit 1
	# The launcher makes session and group; a shell without a terminal cannot. Not with `&` where it can be helped: what
	# a shell starts so ignores SIGINT for ever.
	if setsid -f true 2>/dev/null; then
		while IFS= read -r name; do
			setsid -f sh "attempts/$name/start.sh" </dev/null >/dev/null 2>&1
		done <"scripts/batches/$1"
	else
		while IFS= read -r name; do
			setsid sh "attempts/$name/start.sh" </dev/null >/dev/null 2>&1 &
		done <"scripts/batches/$1"
	fi
	;;

stage) # stdin: a tar, unpacked in ROOT
	tar -xf - || exit 1
	;;

batches) # the attempts of the batches that were staged: `B BATCH NAME NAME …`
	for file in scripts/batches/*; do
		[ -f "$file" ] || continue
		printf 'B %s' "${file##*/}"
		while IFS= read -r name; do printf ' %s' "$name"; done <"$file"
		echo
	done
	;;

look) # [health]; stdin: names of attempts, one a line
	# N NAME (there|gone)     no claim
	# C NAME CLAIM            claimed (or revoked), no exit file
	# X NAME                  or an empty one: the runner waits for room to write it
	# E NAME TIMED_OUT ALIVE CLAIM / EXIT     ended; ALIVE: its group still has processes on this very host
	# P PID STAT…             /proc/PID/stat of the runners of this host
	# G GROUP                 where one of those groups is left: a group with a living member (a zombie is none)
	# W NAME TEXT             the last line of its stderr, where it failed
	# M SECONDS PATH          times of claim and exit of those that have ended
	# T SECONDS               the clock here
	boot='' host=''
	here || { boot=$(sysctl -n kern.bootsessionuuid) host=$(hostname); } 2>/dev/null
	pids='' ended='' left=0 complaints=0
	while IFS= read -r name; do
		if outcome "$name"; then
			claim "$name" || :
			alive=0 pid=${claim%%:*}
			case $claim in
			[0-9]*":$boot:$host") if kill -0 "-$pid" 2>/dev/null; then alive=1 left=1; fi ;;
			esac
			limit=-
			if [ -e "attempts/$name/timed_out" ]; then { read -r limit <"attempts/$name/timed_out"; } 2>/dev/null || limit=?; fi
			printf 'E %s %s %s %s / %s\n' "$name" "$limit" "$alive" "$claim" "$outcome"
			ended="$ended attempts/$name/claim attempts/$name/exit"
			case $outcome in
			'0 '*) ;;
			*)
				# A few processes each: of very many failures the first say enough.
				if [ "$complaints" -lt 100 ]; then
					complaints=$((complaints + 1))
					printf 'W %s %s\n' "$name" "$(tail -c 2000 "attempts/$name/stderr.log" 2>/dev/null | tr '\r\000' '\n\n' |
						tr '\001-\011\013-\037\177' ' ' | sed '/^[[:space:]]*$/d' | tail -n 1)"
				fi
				;;
			esac
		elif [ -e "attempts/$name/claim" ]; then
			claim "$name" || :
			printf 'C %s %s\n' "$name" "$claim"
			[ ! -e "attempts/$name/exit" ] || printf 'X %s\n' "$name"
			case $claim in [0-9]*":$boot:$host") pids="$pids ${claim%%:*}" ;; esac
		elif [ -d "attempts/$name" ]; then
			printf 'N %s there\n' "$name"
		else
			printf 'N %s gone\n' "$name"
		fi
	done
	# shellcheck disable=SC2086
	for pid in $pids; do
		{ read -r line <"/proc/$pid/stat" && echo "P $line"; } 2>/dev/null
	done
	if [ "$left" = 1 ]; then
		cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^.*) //' | awk '$1 != "Z" && $1 != "X" && $3 ~ /^[0-9]+$/ { print "G " $3 }' | sort -u
	fi
	# shellcheck disable=SC2086
	if [ -n "$ended" ]; then stat -c 'M %.3Y %n' $ended 2>/dev/null || stat -f 'M %Fm %N' $ended 2>/dev/null; fi
	date '+T %s'
	if [ "${1:-}" = health ]; then
		{ read -r line </proc/loadavg && echo "H load $line"; } 2>/dev/null
		{ read -r line </proc/stat && echo "H cpu $line"; } 2>/dev/null
		sed -n 's/^\(MemTotal\|MemAvailable\): */H \1 /p' /proc/meminfo 2>/dev/null
		echo "H cores $(getconf _NPROCESSORS_ONLN 2>/dev/null)"
		df -Pk . 2>/dev/null | sed -n '2s/^/H disk /p'
	fi
	;;

revoke) # stdin: names. `R NAME won`: nobody will ever begin it; `R NAME lost CLAIM`: somebody has the claim; `R NAME failed`:
	# nobody has it, and it cannot be made either (a full or read-only disk)
	while IFS= read -r name; do
		[ -d "attempts/$name" ] || mkdir -p "attempts/$name" 2>/dev/null
		if (set -C && : >"attempts/$name/claim") 2>/dev/null; then
			# It is ours, and keeps everybody else out, whether there is room for the word or not.
			{ echo "revoked by spawn-tui" >"attempts/$name/claim"; } 2>/dev/null || :
			echo "R $name won"
		elif claim "$name"; then
			case $claim in revoked*) echo "R $name won" ;; *) echo "R $name lost $claim" ;; esac
		elif [ -e "attempts/$name/claim" ]; then
			echo "R $name lost"
		else
			echo "R $name failed"
		fi
	done
	;;

signal) # SIGNAL; stdin: `PID START [left]` of runners as their claims name them. `K PID`: its group was signalled
	while read -r pid start left; do
		if ! { read -r stat <"/proc/$pid/stat"; } 2>/dev/null; then
			# A number is not given out again while a group bears it: what is left of the group is still its own.
			[ "$left" = left ] && kill "-$1" "-$pid" 2>/dev/null && echo "K $pid"
			continue
		fi
		stat=${stat##*) }
		# shellcheck disable=SC2086
		set -- "$1" $stat
		# Field 22 of the file, counted after the name (proc(5)); the pid alone may be somebody else's by now.
		[ "${21-}" = "$start" ] && kill "-$1" "-$pid" 2>/dev/null && echo "K $pid"
	done
	;;

clear) # SIGNAL (0: only look); stdin: tokens. Every process that carries one is signalled: `K PID TOKEN`
	found=$(sed 's/^/SWEEP_TOKEN=/' | grep -Hazx -F -f - /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n')
	printf '%s\n' "$found" | while IFS=: read -r file token; do
		pid=${file#/proc/}
		pid=${pid%/environ}
		[ -n "$pid" ] && [ "$pid" != "$$" ] && kill "-$1" "$pid" 2>/dev/null && echo "K $pid ${token#SWEEP_TOKEN=}"
	done
	;;

list) # stdin: names of attempts, one a line. What stands below them; paths end in NUL, for they may hold newlines.
	# G NAME                   there is no such directory (a link put in its place is none)
	# D COUNT, then paths      directories
	# F COUNT, then paths      files of up to 4 MiB; then `SIZE SECONDS MODE PATH` of each, then lines of sha256sum
	# B COUNT, then paths      bigger files; then `SIZE SECONDS MODE PATH` of each
	# L COUNT, then paths, each followed by what the symbolic link holds
	# O COUNT, then paths      pipes, sockets, devices
	# X                        something could not be looked at: stderr says what
	set --
	while IFS= read -r name; do
		if [ -d "attempts/$name" ] && [ ! -L "attempts/$name" ]; then set -- "$@" "attempts/$name"; else echo "G $name"; fi
	done
	paths='echo "$0 $#"; printf "%s\0" "$@"'
	facts='stat -c "%s %Y %a %n" -- "$@"'
	stat -c %s . >/dev/null 2>&1 || facts='stat -f "%z %m %Lp %N" -- "$@"'
	sums='sha256sum -- "$@"'
	command -v sha256sum >/dev/null || sums='shasum -a 256 -- "$@"'
	links='echo "$0 $#"; for path; do printf "%s\0" "$path"; readlink -n "$path"; printf "\0"; done'
	# One walk, and a few processes for as many names as a command line takes.
	[ "$#" = 0 ] || find "$@" -type d -exec sh -c "$paths" D {} + \
		-o -type f -size +8192 -exec sh -c "$paths; $facts; :" B {} + \
		-o -type f -exec sh -c "$paths; $facts; $sums; :" F {} + \
		-o -type l -exec sh -c "$links" L {} + \
		-o -exec sh -c "$paths" O {} + || echo X
	;;

sums) # stdin: paths below ROOT, each ended by NUL. Lines of sha256sum
	if command -v sha256sum >/dev/null; then xargs -0 sha256sum --; else xargs -0 shasum -a 256 --; fi
	:
	;;

pack) # [z]; stdin: paths below ROOT, each ended by NUL. A tar follows, or several in a row, with `z` compressed
	if [ "${1:-}" = z ]; then squeeze='gzip -1'; else squeeze=cat; fi
	# GNU's reads `\n` in a name as a newline unless told not to; the others do not know the option.
	case $(tar --version 2>/dev/null) in *GNU*) set -- --no-unquote ;; *) set -- ;; esac
	xargs -0 tar "$@" -cf - | $squeeze
	exit
	;;

part) # OFFSET COUNT [z]; stdin: one path below ROOT. Its bytes follow, with `z` compressed
	path=$(cat && echo .) # a path may end in a newline, which `$()` would take away
	path=${path%.}
	[ -r "$path" ] || exit 1
	if [ "${3:-}" = z ]; then
		tail -c "+$(($1 + 1))" -- "$path" | head -c "$2" | gzip -1
	else
		tail -c "+$(($1 + 1))" -- "$path" | head -c "$2"
	fi
	exit
	;;

tails) # stdin: `OFFSET COUNT PATH`, one a line. For each: `F SIZE SENT PATH`, and SENT bytes; SIZE is -1 if it is not there
	while IFS=' ' read -r offset count path; do
		size=-1 send=0
		[ -f "$path" ] && size=$(($(wc -c <"$path")))
		[ "$size" -gt "$offset" ] && send=$((size - offset))
		[ "$send" -le "$count" ] || send=$count
		printf 'F %s %s %s\n' "$size" "$send" "$path"
		if [ "$send" -gt 0 ]; then tail -c "+$((offset + 1))" -- "$path" | head -c "$send"; fi
	done
	;;

remove) # stdin: names of attempts whose files are home and verified. `R NAME`: it is gone
	while IFS= read -r name; do
		case $name in */* | . | .. | '') exit 1 ;; esac
		rm -rf -- "attempts/$name" || exit 1
		echo "R $name"
	done
	;;

*)
	echo "agent: no verb $verb" >&2
	exit 2
	;;
esac
echo end
