#!/bin/sh
# The bootstrap: one attempt on one instance, from its pack to the shutdown. Started by `boot` in first.sh, as root.
#
#   sh ROOT/pack/bootstrap/bootstrap.sh
#
# What runs the work is the runner that runs it everywhere; this prepares for it, lets guards watch, uploads logs while
# they grow, and when the work has ended, or was ended, uploads what it left, reports how it went, and shuts down. The
# report is the last word: an engine that reads it knows that everything else is in the bucket. Only where a spot notice
# leaves no time it goes first, and again at the end.

here=$SPAWN_ROOT/pack/bootstrap
. "$SPAWN_ROOT/first.sh"
. "$here/guards.sh"

main=$$ tick=${SPAWN_TICK:-1}
started='' work='' guards='' logger='' dir='' said='' end='' message='' died='' unsent=0 lost=0

# Whoever sends TERM (systemd at a shutdown somebody else ordered) gets what there is time for.
trap 'verdict term "the instance was told to end"' TERM INT HUP
trap : USR1

born() { # PID: $start, when that process was started (proc(5)); fails if it is gone, or a zombie
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	start=${20}
	case $1 in [ZX]) return 1 ;; esac
}

# Only one at a time: the user data may have been run again by hand.
read -r boot_id </proc/sys/kernel/random/boot_id
if { read -r pid was there <"$root/running"; } 2>/dev/null && [ "$there" = "$boot_id" ] && born "$pid" &&
	[ "$start" = "$was" ]; then
	say "process $pid is at it already"
	exit 0
fi
born $$
echo "$$ $start $boot_id" >"$root/running"
# A task that takes all memory must not take us along; the work starts as everybody else does.
{ echo -900 >/proc/$$/oom_score_adj; } 2>/dev/null

# --- before the work -------------------------------------------------------------------------------------------------

fail() { # WHY: the attempt cannot begin
	say "$1"
	if { read -r flag message <"$root/verdict"; } 2>/dev/null; then finish 143 "$flag" "$message"; fi
	finish 125 setup "$1"
}

unpack() { # URL SHA256 INTO: an archive that was made at home
	fetch "$1" "$root/archive" "$2" "$(($(now) + 1800))" && tar -xzf "$root/archive" -C "$3" 2>>"$log" && rm -f "$root/archive"
}

prepare() {
	chmod 711 "$root"
	mkdir -p "$root/said" "$dir" "$root/project" "$bin" "$profiles" "$tmp" || fail "$root cannot be written"
	chmod 711 "$root/attempts" && chmod 755 "$root/project"
	# Scripts may go on as another user (`su - ec2-user`), whose results belong here too.
	chmod 1777 "$root/said" "$dir"
	# Room for the report, should the task fill the disk.
	head -c 1048576 /dev/zero >"$root/ballast" || :
	setting "$mine/settings" on_complete
	printf 'attempt: %s\ninstance: %s\nthen: %s\n' "$name" "$instance" "$value" >"$root/identity"
	chmod 644 "$root/identity" && chmod 644 "$root/deadline" 2>/dev/null
	cp "$here/spored.sh" "$bin/spored" && chmod 755 "$bin/spored" || fail "spored cannot be installed in $bin"
	{ cat "$mine/env" && settled; } >"$profiles/spawn-sweep.sh" && chmod 644 "$profiles/spawn-sweep.sh" ||
		fail "$profiles/spawn-sweep.sh cannot be written"
	if [ -d "$mine/files" ]; then cp -R "$mine/files/." "$dir/" || fail "$dir cannot be written"; fi
	setting "$mine/settings" project_url && url=$value
	if [ -n "$url" ]; then
		setting "$mine/settings" project_sha256
		unpack "$url" "$value" "$root/project" || fail "the project could not be fetched: $why"
		chmod -R a+rX "$root/project"
	fi
	[ ! -f "$mine/previous" ] || previous
}

settled() { # where this is, for programs that do not ask the instance itself; the task's own environment goes first
	setting "$root/config" region
	! imds meta-data/placement/region || value=$body # the bucket may stand elsewhere
	printf 'export AWS_REGION="${AWS_REGION:-%s}" AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-%s}"\n' "$value" "$value"
	setting "$root/config" endpoint || :
	[ -z "$value" ] ||
		printf 'export AWS_ENDPOINT_URL="${AWS_ENDPOINT_URL:-%s}"\n' "$value"
}

previous() { # the files of the attempt before, each a line `URL PATH`, PATH as printf %b reads it
	mkdir -p "$root/previous" && chmod 755 "$root/previous"
	while read -r url path; do
		path=$(printf '%b.' "$path") # it may end in a newline, which `$()` would take away
		path=$root/previous/${path%.}
		(umask 022 && mkdir -p -- "${path%/*}") && fetch "$url" "$root/archive" - "$(($(now) + 1800))" &&
			mv "$root/archive" "$path" && chmod 644 "$path" || fail "a file of the attempt before could not be fetched: $why"
	done <"$mine/previous"
}

# --- the work --------------------------------------------------------------------------------------------------------

begin() {
	started=$(now)
	# The launcher makes session and group. Not with `&` where it can be helped: what a shell starts so ignores SIGINT.
	(
		umask 022
		PATH=$PATH:$bin
		export PATH
		{ echo 0 >/proc/self/oom_score_adj; } 2>/dev/null
		settled >"$root/settled" && . "$root/settled"
		if setsid -f true 2>/dev/null; then
			setsid -f sh "$mine/start.sh" </dev/null >/dev/null 2>>"$log"
		else
			setsid sh "$mine/start.sh" </dev/null >/dev/null 2>>"$log" &
		fi
	)
	tries=0
	until claimed; do
		tries=$((tries + 1))
		[ "$tries" -lt 100 ] || fail "the runner did not begin; see bootstrap.log"
		sleep 0.1
	done
	say "begun"
}

claimed() { # the runner's group in $work, and when it was started
	{ IFS=: read -r work work_start _ <"$dir/claim"; } 2>/dev/null && [ -n "$work" ]
}

outcome() { # $status and $flag of the runner's exit file, once it is whole
	{ read -r status flag torn <"$dir/exit"; } 2>/dev/null && [ "$torn" = end ]
}

lives() { # the runner
	born "$work" && [ "$start" = "$work_start" ]
}

attend() { # until the work has ended; what ended it is in $said, $end and $message
	told_at='' ended_at='' full_at='' grace=$kill_after
	while ! outcome; do
		if ! lives; then
			outcome || { status=137 flag=- died='its runner was killed. '; }
			break
		fi
		# `completion_delay` for a script that goes on after it has said that it is complete.
		if [ -z "$told_at" ] && complete; then told_at=$(now); fi
		if [ -z "$end" ] && { read -r end guard_message <"$root/verdict"; } 2>/dev/null; then
			case $end in
			spot)
				# Two minutes in all: the report first.
				grace=30
				[ -n "$told_at" ] || { count_unsent && report 143 spot "$started" "$guard_message" "$(($(now) + 20))"; } || :
				;;
			esac
		fi
		# The runner waits for room to write its exit file; nobody will make any here.
		if [ -z "$full_at" ] && [ -f "$dir/exit" ]; then full_at=$(now); fi
		if [ -n "$full_at" ] && [ "$(($(now) - full_at))" -ge 30 ]; then
			status=137 flag=- died='its disk is full: the exit status could not be written. '
			break
		fi
		if [ -n "$ended_at" ]; then
			[ "$(($(now) - ended_at))" -lt "$grace" ] || kill -KILL "-$work" 2>/dev/null
		elif [ -n "$end" ] || { [ -n "$told_at" ] && [ "$(($(now) - told_at))" -ge "$delay" ]; }; then
			ended_at=$(now)
			kill -TERM "-$work" 2>/dev/null
		fi
		sleep "$tick"
	done
	# Said while it ended, or with its last breath.
	complete || :
	[ -n "$ended_at" ] || end=''
}

complete() { # what spored was told: $said, success or failed, and $told
	{ read -r said told <"$root/said/complete"; } 2>/dev/null
}

clear_away() { # nothing that the work has started lives on: its group, and whoever carries its token
	kill -KILL "-$work" 2>/dev/null
	setting "$mine/settings" token && [ -n "$value" ] || return 0
	signal=TERM
	for round in 1 2 3 4 5 6 7 8; do
		found=''
		for file in /proc/[0-9]*/environ; do
			pid=${file#/proc/}
			pid=${pid%/environ}
			# A grep that reads NULs is not everywhere.
			[ -r "$file" ] && { tr '\0' '\n' <"$file" | grep -qxF "SWEEP_TOKEN=$value"; } 2>/dev/null || continue
			kill "-$signal" "$pid" 2>/dev/null && found=yes
		done
		[ -n "$found" ] || return 0
		[ "$round" -lt 3 ] || signal=KILL
		sleep "$tick"
	done
	say "something that the task has started does not end"
}

last_words() { # the last line that is not empty of what it complained about
	tail -c 2000 "$dir/stderr.log" 2>/dev/null | tr '\r\000' '\n\n' | tr '\001-\011\013-\037\177' ' ' |
		sed '/^[[:space:]]*$/d' | tail -n 1
}

killed_for_memory() {
	count=$(sed -n 's/^oom_kill //p' /proc/vmstat 2>/dev/null)
	[ "${count:-0}" -gt "${oom_before:-0}" ]
}

# --- after it --------------------------------------------------------------------------------------------------------

judge() { # $status, $flag and $message, from what was seen: spored's word, else the guard's, else the runner's
	if [ -n "$said" ]; then
		flag=- message=$told
		case $said in success) status=0 ;; *) status=1 ;; esac
	elif [ -n "$end" ]; then
		flag=$end message=$guard_message
	elif { read -r limit <"$dir/timed_out"; } 2>/dev/null; then
		flag=timeout message="ran longer than its timeout of $limit s"
	elif { read -r code <"$root/unprepared"; } 2>/dev/null; then
		flag=setup message="user_data ended with status $code: $(last_words)"
	elif [ "$status" != 0 ]; then
		message=$died$(last_words)
		if [ "$status" = 137 ] && killed_for_memory; then message="out of memory: the kernel ended it. $message"; fi
	fi
}

gather() { # what scripts written for spawn leave in /tmp is a result as well; a file of that name in its place wins
	for file in "$tmp"/result*.txt "$tmp"/result*.json "$tmp"/result*.csv "$tmp"/results.* "$tmp"/metrics.json; do
		[ -f "$file" ] && [ ! -L "$file" ] && [ -z "$(find "$root/started" -newer "$file")" ] || continue
		[ -e "$dir/${file##*/}" ] || cp -p "$file" "$dir/" && continue
		# A piece of it would look like all of it.
		rm -f "$dir/${file##*/}"
		say "$file could not be copied"
		lost=$((lost + 1))
		printf '%s\n' "${file##*/}" | tr '\001-\011\013-\037\177' '?' >>"$root/unsent"
	done
}

upload() { # UNTIL: all files of the attempt; the logs first, for they tell what else is missing
	cd "$dir" || return 1
	SPAWN_LOG=$log
	export SPAWN_LOG
	set -- "$prefix/attempts/$name" "$1"
	for file in exit stdout.log stderr.log; do
		[ ! -f "$file" ] || sh "$here/send.sh" "$1" "$2" "$file"
	done
	find . -type f ! -path ./exit ! -path ./stdout.log ! -path ./stderr.log ! -path ./bootstrap.log -print0 |
		xargs -0 -n 1 -P 8 sh "$here/send.sh" "$1" "$2"
	say "uploaded"
	# It tells what is missing, and has a little time of its own.
	sh "$here/send.sh" "$1" "$(($(now) + log_limit))" bootstrap.log
}

count_unsent() { # $unsent, files that have not arrived, whatever kept them: the upload itself may have been cut short
	unsent=$(find "$dir" -type f -print0 | tr -dc '\000' | wc -c)
	sent=0
	[ ! -f "$root/sent" ] || sent=$(wc -c <"$root/sent")
	unsent=$((unsent - sent + lost))
}

quit() { # PID...: ours, which have nothing to clear up
	[ "$#" = 0 ] || { kill -KILL "$@" && wait "$@"; } 2>/dev/null
	logger=''
}

finish() { # STATUS FLAG MESSAGE: never returns
	say "ended: status $1, $2${3:+: $3}"
	set -- "$1" "$2" "$(printf %s "$3" | tr '\000-\037\177' ' ' | head -c 300)"
	quit $logger
	rm -f "$root/ballast"
	limit=$upload_limit
	case $2 in
	spot) limit=75 ;;
	term) limit=70 ;;
	esac
	until=$(($(now) + limit))
	# The timer of the OS ends it all; by then the report has to be there.
	if { read -r deadline <"$root/deadline"; } 2>/dev/null && [ "$((deadline + slack - 60))" -lt "$until" ]; then
		until=$((deadline + slack - 60))
		[ "$until" -gt "$(($(now) + 30))" ] || until=$(($(now) + 30))
	fi
	rm -f "$root/unsent" "$root/sent"
	gather
	(trap - TERM INT HUP && upload "$until") &
	sender=$!
	hurried=''
	[ "$2" != spot ] || hurried=yes
	while kill -0 "$sender" 2>/dev/null && [ "$(now)" -lt "$((until + 30))" ]; do
		# Taken away while it uploads: what has ended well must not be run again.
		if [ -z "$hurried" ] && { read -r why_now _ <"$root/verdict"; } 2>/dev/null && [ "$why_now" = spot ]; then
			hurried=yes
			count_unsent
			report "$1" "$2" "$started" "$3" "$(($(now) + 20))" || :
		fi
		sleep "$tick"
	done
	kill -KILL "$sender" 2>/dev/null
	count_unsent
	words=$3
	[ "$unsent" -le 0 ] || words="$3${3:+; }$unsent of its files could not be uploaded; see bootstrap.log"
	report "$1" "$2" "$started" "$words" "$(($(now) + report_limit))" || :
	echo "$1 $2" >"$root/reported"
	# shellcheck disable=SC2086
	quit $guards
	setting "$mine/settings" on_complete || :
	case "$value $2" in
	*' spot' | *' term') ;; # it is on its way
	hibernate*) await_hibernation ;;
	esac
	go
	exit 0
}

await_hibernation() { # which only EC2 can do: the engine asks it to when it has read the report
	trap 'exit 0' TERM INT HUP
	last=$(now)
	until=$((last + hibernate_limit))
	if { read -r deadline <"$root/deadline"; } 2>/dev/null && [ "$((deadline + slack))" -lt "$until" ]; then
		until=$((deadline + slack))
	fi
	say "it waits to be hibernated"
	# A timer that is overdue would end what somebody has woken up.
	disarm
	shutdown -c >/dev/null 2>&1
	while sleep "$tick" && at=$(now) && [ "$((at - last))" -lt 60 ]; do
		[ "$at" -lt "$until" ] || { say "nobody has hibernated it" && return; }
		last=$at
	done
	# Who wakes it wants to look at it, as who starts a stopped one.
	say "it was hibernated, and is awake again"
	exit 0
}

# --- from first to last ----------------------------------------------------------------------------------------------

identify || { give_up "the instance metadata does not say which attempt this is" && exit 1; }
mine=$root/pack/$index
[ -d "$mine" ] || { give_up "the pack has nothing for launch index $index" && exit 1; }
setting "$mine/settings" attempt && name=$value
setting "$root/config" prefix && prefix=$value
dir=$root/attempts/$name
mkdir -p "$dir" || { give_up "$dir cannot be made" && exit 1; }
if [ "$log" != "$dir/bootstrap.log" ]; then
	cat "$log" >>"$dir/bootstrap.log" 2>/dev/null && rm -f "$log"
	log=$dir/bootstrap.log
fi
exec 2>>"$log"
say "$name on $instance; its files are in $dir"
mkdir -p "$root/said" && chmod 1777 "$root/said"
if [ -e "$dir/claim" ]; then
	claimed
	# A later boot: the task is not run twice, but what came of it has yet to be told.
	complete || :
	outcome || { status=137 flag=- died='the instance was started again while the task ran. '; }
	judge
	finish "$status" "$flag" "$message"
fi
guard_ttl &
guards="$guards $!"
guard_spot &
guards="$guards $!"
setting "$mine/settings" upload_every
guard_logs "${SPAWN_UPLOAD_EVERY:-$value}" & # from the start: a bootstrap.log in the bucket is the first sign of life
logger=$!
prepare
oom_before=$(sed -n 's/^oom_kill //p' /proc/vmstat)
[ ! -s "$root/verdict" ] || fail "it ended before it began"
setting "$mine/settings" completion_delay && delay=$value
begin
setting "$mine/settings" idle_timeout
if [ -n "$value" ]; then
	guard_idle "$value" &
	guards="$guards $!"
fi
attend
clear_away
judge
finish "$status" "$flag" "$message"
