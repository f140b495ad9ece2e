# What watches while the work runs: sourced by bootstrap.sh, each guard a loop in a process of its own, for as long as
# the bootstrap ($main) lives. A guard ends nothing itself: it leaves a verdict, and the first one counts.

every=${SPAWN_PAUSE:-5}          # seconds between two looks; only tests set it and the next
tag_every=${SPAWN_TAG_PAUSE:-30} # between two looks at the tag, and between two tries to tell of a deadline

verdict() { # FLAG MESSAGE
	# Written aside and linked: it is there whole or not at all, and only once.
	(umask 077 && printf '%s %s\n' "$1" "$2" >"$root/verdict.$1") &&
		ln "$root/verdict.$1" "$root/verdict" 2>/dev/null && say "$1: $2"
	# Whatever the bootstrap is waiting for, it looks up now.
	kill -USR1 "$main" 2>/dev/null
}

deadline_is() { # SECONDS since 1970
	echo "$1" >"$root/deadline.new" && chmod 644 "$root/deadline.new" && mv "$root/deadline.new" "$root/deadline"
}

tell_deadline() { # to the engine, which knows the TTL of the launch and the tag: ROOT/moved is what the bucket has of it
	{ read -r known <"$root/moved"; } 2>/dev/null || known=''
	[ "$deadline" != "$known" ] && [ "$(($(now) - tried))" -ge "$tag_every" ] || return 0
	tried=$(now)
	echo "$deadline" >"$root/moved.new"
	# Briefly, for the TTL may end meanwhile: what cannot be told now is told later.
	if send "$root/moved.new" "$prefix/deadlines/$name" "$((tried + 10))"; then
		mv "$root/moved.new" "$root/moved"
	else
		say "when the TTL ends could not be told: $why"
	fi
}

guard_ttl() { # the deadline: the file moves it, and so does the tag spawn:ttl (seconds since 1970)
	tag='' armed='' looked=0 tried=0
	{ read -r armed <"$root/deadline"; } 2>/dev/null
	while kill -0 "$main" 2>/dev/null; do
		if [ "$(($(now) - looked))" -ge "$tag_every" ]; then
			looked=$(now)
			# Only what has changed since: the file may have been moved from here meanwhile.
			if imds meta-data/tags/instance/spawn:ttl && [ "$body" != "$tag" ]; then
				tag=$body
				case $tag in
				*[!0-9]* | ????????? | ???????? | ??????? | ?????? | ????? | ???? | ??? | ?? | ? | '') ;;
				*) deadline_is "$tag" ;;
				esac
			fi
		fi
		if mv "$root/said/extend" "$root/extend" 2>/dev/null && read -r more <"$root/extend"; then
			{ read -r deadline <"$root/deadline"; } 2>/dev/null && deadline_is "$((deadline + more))"
		fi
		if { read -r deadline <"$root/deadline"; } 2>/dev/null; then
			if [ "$deadline" != "$armed" ]; then
				say "the TTL ends at $(date -u -d "@$deadline" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo "$deadline")"
				arm
				[ "$deadline" = "$tag" ] || : >>"$root/moved"
				armed=$deadline
			fi
			[ "$(now)" -lt "$deadline" ] || [ -e "$root/verdict" ] || verdict ttl "its TTL has ended"
			# Once it was moved from here, what the tag says later has to be told as well: the last word counts.
			[ ! -e "$root/moved" ] || tell_deadline
		fi
		sleep "$every"
	done
}

guard_spot() { # the notice comes two minutes before a spot instance is taken away
	# docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
	while kill -0 "$main" 2>/dev/null; do
		if imds meta-data/spot/instance-action && [ -n "$body" ]; then
			verdict spot "$(printf '%s' "$body" | tr -d '{}"' | tr '\n' ' ')"
			return
		fi
		sleep "$every"
	done
}

# --- idleness: what has been done since the last look, not since the machine came up -------------------------------

proc=${SPAWN_PROC:-/proc}

counters() { # $cpu (hundredths of a second), $net, $disk (bytes) since boot; fails where even the CPU says nothing
	cpu='' net=0 disk=0
	{ read -r _ user nice system _ _ irq soft _ <"$proc/stat"; } 2>/dev/null || return 1
	cpu=$((user + nice + system + irq + soft))
	while IFS=' :' read -r device in _ _ _ _ _ _ _ out _; do
		case $device in lo | Inter-* | face*) ;; *) net=$((net + in + out)) ;; esac
	done <"$proc/net/dev"
	while read -r _ _ device _ _ in _ _ _ out _; do
		case $device in
		loop* | ram* | dm-* | zram* | md* | sr* | nvme*p[0-9]* | [sxv]*[0-9]) ;; # parts of others, or not of this world
		*) disk=$((disk + (in + out) * 512)) ;;
		esac
	done <"$proc/diskstats"
} 2>/dev/null

gpu_works() { # any of them, by a twentieth; the driver says the share of time of its last sample
	command -v nvidia-smi >/dev/null || return 1
	timeout 20 nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null | {
		while read -r share; do
			case $share in '' | *[!0-9]*) ;; *) [ "$share" -lt 5 ] || exit 0 ;; esac
		done
		exit 1
	}
}

guard_idle() { # TIMEOUT: nothing worth an instance for that long
	step=${SPAWN_IDLE_EVERY:-$(($1 / 10 < 5 ? 5 : $1 / 10 > 60 ? 60 : $1 / 10))}
	counters || { say "idleness cannot be seen here: $proc/stat cannot be read" && return; }
	at=$(now) quiet=$(now) was_cpu=$cpu was_net=$net was_disk=$disk
	while kill -0 "$main" 2>/dev/null; do
		sleep "$step"
		span=$(($(now) - at))
		[ "$span" -gt 0 ] && counters || continue
		# A tenth of one core (on many cores, a share of all would hide a task that uses one), 5 kB/s, 100 kB/s: more than an
		# idle system with these guards does.
		if [ "$((cpu - was_cpu))" -ge "$((span * 10))" ] || [ "$((net - was_net))" -ge "$((span * 5000))" ] ||
			[ "$((disk - was_disk))" -ge "$((span * 100000))" ] || gpu_works; then
			quiet=$(now)
		fi
		at=$(now) was_cpu=$cpu was_net=$net was_disk=$disk
		if [ "$((at - quiet))" -ge "$1" ]; then
			verdict idle "it was idle for $1 s"
			return
		fi
	done
}

# --- logs, while they grow -----------------------------------------------------------------------------------------

watch_log() { # FILE KEY LAST SEEN: $last, the size that was uploaded, $seen, the size at the last look
	last=$3 seen=$4
	[ -f "$1" ] && size=$(wc -c <"$1") || return 0
	# A big one travels again only when it has grown by a tenth, or has come to rest.
	if [ "$size" -ne "$last" ] &&
		{ [ "$size" -lt 1048576 ] || [ "$size" -eq "$seen" ] || [ "$size" -ge "$((last + last / 10))" ]; }; then
		send "$1" "$2" "$(($(now) + 60))" && last=$size
	fi
	seen=$size
}

guard_logs() { # SECONDS between two looks
	out=-1 out_seen=0 err=-1 err_seen=0 boot=-1 boot_seen=0
	while kill -0 "$main" 2>/dev/null; do
		watch_log "$dir/stdout.log" "$prefix/attempts/$name/stdout.log" "$out" "$out_seen"
		out=$last out_seen=$seen
		watch_log "$dir/stderr.log" "$prefix/attempts/$name/stderr.log" "$err" "$err_seen"
		err=$last err_seen=$seen
		watch_log "$dir/bootstrap.log" "$prefix/attempts/$name/bootstrap.log" "$boot" "$boot_seen"
		boot=$last boot_seen=$seen
		sleep "$1"
	done
}
