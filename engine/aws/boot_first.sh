# What an instance of a sweep can do before it has its pack: part of the user data, kept as ROOT/first.sh and sourced by
# every other script here. POSIX sh (dash, bash, busybox) with curl, tar, gzip, sha256sum and the core utilities.
#
# ROOT ($SPAWN_ROOT) holds, in the order they come:
#   config      `key=value` lines of the user data, read without eval; 0600, for it holds the right to upload
#   started     when it was written
#   deadline    seconds since 1970 at which the TTL ends; absent if there is none. Who changes it moves the TTL
#   moved       the deadline as the bucket has it; there once it was moved from the instance
#   timer       the process group of the timer, where the OS has none of its own
#   pack/       what `pack.py` packed
#   attempts/NAME/  SWEEP_TASK_DIR          project/, previous/
#   said/       what `spored` was told      verdict   `FLAG MESSAGE` of the guard that ended the work
#   sent        a byte for each file that was uploaded     unsent  names of those that could not be
#   by_role     there if the signed form was refused, and the role was not
#   report      as it was sent              reported  it was received, or nobody would take it
#
# A root elsewhere than at its place takes everything along: programs, profiles, the folder for temporary files.

root=${SPAWN_ROOT:-/var/lib/spawn}
if [ "$root" = /var/lib/spawn ]; then
	bin=/usr/local/bin profiles=/etc/profile.d per_boot=/var/lib/cloud/scripts/per-boot tmp=/tmp
else
	bin=$root/bin profiles=$root/profile.d per_boot=$root/per-boot tmp=$root/tmp
fi
log=${SPAWN_LOG:-$root/bootstrap.log}
umask 077
SPAWN_ROOT=$root HOME=${HOME:-/root}
export SPAWN_ROOT HOME
# Seconds. Only tests set any of these: how long the pack is tried for, how long after its deadline an instance may still
# be uploading, how long outputs, the bootstrap's log and the report are tried for, how long the work has between TERM and
# KILL, how long one that shall hibernate waits for it.
fetch_limit=${SPAWN_FETCH_LIMIT:-600} slack=${SPAWN_SLACK:-300}
upload_limit=${SPAWN_UPLOAD_LIMIT:-3600} report_limit=${SPAWN_REPORT_LIMIT:-300}
log_limit=${SPAWN_LOG_LIMIT:-15} kill_after=${SPAWN_KILL_AFTER:-10} hibernate_limit=${SPAWN_HIBERNATE_LIMIT:-900}
imds_url=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
imds_url=${imds_url%/} imds_token='' body='' value=''
instance='' index='' name='' by='' renew=''

now() { date +%s; }

say() { # to the console and to the log; never an URL, for it may be signed
	line="$(date -u +%Y-%m-%dT%H:%M:%SZ) $*"
	echo "spawn: $line"
	{ echo "$line" >>"$log"; } 2>/dev/null || :
}

setting() { # FILE KEY: its value in $value, empty if it is not there
	value=''
	while IFS= read -r line; do
		case $line in "$2="*) value=${line#*=} && return ;; esac
	done <"$1"
	return 1
}

# --- the instance metadata service (IMDSv2) ----------------------------------------------------------------------

imds() { # PATH: what it says in $body. 0: there; 1: there is no such thing; 2: no answer
	for round in 1 2; do
		if [ -z "$imds_token" ]; then
			imds_token=$(curl -sf --noproxy '*' --max-time 5 -X PUT \
				-H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' "$imds_url/latest/api/token") || return 2
		fi
		body=$(curl -s --noproxy '*' --max-time 5 -w '\n%{http_code}' \
			-H "X-aws-ec2-metadata-token: $imds_token" "$imds_url/latest/$1") || return 2
		code=${body##*"
"}
		body=${body%"
"*}
		case $code in
		200) return 0 ;;
		404) return 1 ;;
		401) imds_token='' ;;
		*) return 2 ;;
		esac
	done
	return 2
}

imds_patiently() { # PATH: as `imds`, for at most a minute; the service may come up later than we do
	tries=0
	while ! imds "$1"; do
		tries=$((tries + 1))
		[ "$tries" -lt "${SPAWN_IMDS_TRIES:-60}" ] || return 1
		sleep 1
	done
}

identify() { # which attempt of the launch this instance runs: $instance, $index, $name
	imds_patiently meta-data/instance-id && instance=$body
	imds_patiently meta-data/ami-launch-index && index=$body
	setting "$root/config" attempts || :
	case $index in
	'' | *[!0-9]*)
		# Of one there is only one to be.
		case $value in *' '*) return 1 ;; *) index=0 ;; esac
		;;
	esac
	# shellcheck disable=SC2086
	set -- $value
	[ "$index" -ge "$#" ] || { shift "$index" && name=$1; }
}

# --- to and from the bucket --------------------------------------------------------------------------------------

fetch() { # URL FILE SHA256 (or -) UNTIL: get it, again and again until then; $why it is not there
	pause=1 why='there was no time to get it'
	while [ "$(now)" -lt "$4" ]; do
		# The URL is signed: `ps` shows arguments, so it goes by a file. In the background, for a trap must not wait for it.
		(umask 077 && printf 'url = "%s"\n' "$1" >"$2.url")
		curl -sL -K "$2.url" -o "$2.part" -w '%{http_code}' --connect-timeout 10 --speed-limit 1 --speed-time 60 \
			--max-time "$(($4 - $(now) + 1))" >"$2.code" 2>>"$log" &
		curl=$!
		wait "$curl" && status=0 || status=$?
		if [ -s "$root/verdict" ]; then
			kill "$curl" 2>/dev/null
			rm -f "$2.url" "$2.part" "$2.code"
			why='the instance had to end' && return 1
		fi
		code=$(cat "$2.code")
		rm -f "$2.url" "$2.code"
		if [ "$status" != 0 ]; then
			why="curl ended with status $status"
		elif [ "$code" != 200 ]; then
			why="the answer was $code"
		elif [ "$3" != - ] && ! echo "$3  $2.part" | sha256sum -c >/dev/null 2>&1; then
			why="its checksum is wrong"
		else
			mv "$2.part" "$2" && return
			why="it could not be written"
		fi
		rm -f "$2.part"
		say "not fetched yet: $why"
		sleep "$pause"
		pause=$((pause < 15 ? pause * 2 : 15))
	done
	return 1
}

encoded() { # KEY as a part of a URL, in $value: RFC 3986, as the signature of version 4 wants it
	case $1 in *[!A-Za-z0-9/._~-]*) ;; *) value=$1 && return ;; esac
	value=''
	for hex in $(printf %s "$1" | od -An -v -tx1); do
		case $hex in
		2[def] | 3[0-9] | 4[1-9a-f] | 5[0-9a] | 5f | 6[1-9a-f] | 7[0-9a] | 7e)
			# shellcheck disable=SC2059
			value=$value$(printf "\\$(printf %03o "0x$hex")")
			;;
		*) value=$value%$(echo "$hex" | tr a-f A-F) ;;
		esac
	done
}

json_text() { # KEY: the first text of that key in $body
	printf '%s' "$body" | tr -d '\n' | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"
}

role() { # the credentials of the instance's role, as options of curl in ROOT/role; asked for again after 10 minutes
	if [ "${1:-}" != anew ] && { read -r _ at <"$root/role"; } 2>/dev/null && [ "$(($(now) - at))" -lt 600 ]; then
		return
	fi
	why='the role of the instance has no credentials'
	imds meta-data/iam/security-credentials/ && [ -n "$body" ] || return 1
	imds "meta-data/iam/security-credentials/${body%%"
"*}" || return 1
	key=$(json_text AccessKeyId) && [ -n "$key" ] || return 1
	setting "$root/config" region
	(
		umask 077
		echo "# $(now)"
		echo "user = \"$key:$(json_text SecretAccessKey)\""
		echo "header = \"x-amz-security-token: $(json_text Token)\""
		echo "aws-sigv4 = \"aws:amz:$value:s3\""
		# What is sent is not hashed beforehand: a log may grow while it is on its way.
		echo 'header = "x-amz-content-sha256: UNSIGNED-PAYLOAD"'
	) >"$root/role.$$" && mv "$root/role.$$" "$root/role"
}

form() { # the fields of the signed form, as options of curl in ROOT/form
	[ ! -e "$root/form" ] || return 0
	(
		umask 077
		sed -n -e 's/[\\"]/\\&/g' -e 's/^field\.\([^=]*\)=\(.*\)$/form-string = "\1=\2"/p' "$root/config"
	) >"$root/form.$$" && mv "$root/form.$$" "$root/form"
}

chosen() { # who signs, in $by: as the user data says, or, where its form was refused since, the role
	setting "$root/config" role || :
	[ ! -e "$root/by_role" ] || value=yes
	case $value in yes) by=role ;; *) by=form ;; esac
}

request() { # SECONDS OPTION...: one of curl to the bucket. 0: done, with $bytes sent; 1: not now, 2: refused, and $why
	max=$1 renew=''
	shift
	code=$(curl -s -o "${answer:-/dev/null}" -w '%{http_code} %{size_upload}' --connect-timeout 10 --speed-limit 1 \
		--speed-time 60 --max-time "$max" "$@" 2>/dev/null) || code='000 0'
	bytes=${code#* } code=${code% *}
	case $code in
	2??) return 0 ;;
	000) why='no answer' && return 1 ;;
	5?? | 429 | 408) why="HTTP $code" && return 1 ;;
	*) why="HTTP $code" renew=anew && return 2 ;;
	esac
}

send_once() { # FILE KEY: as `request`
	[ -r "$1" ] || { why='it cannot be read' && return 2; }
	setting "$root/config" upload_url && url=$value
	[ -n "$by" ] || chosen
	if [ "$by" = role ]; then
		role "$renew" || return 1
		encoded "$2"
		set -- "$1" -K "$root/role" -g -T "$1" "${url%/}/$value"
	else
		form
		# From stdin, whose name needs no quoting.
		set -- "$1" -K "$root/form" -H 'Expect:' --form-string "key=$2" -F 'file=@-;filename=file' "$url"
	fi
	file=$1
	shift
	request "$seconds" "$@" <"$file" && got=0 || got=$?
	sign_next "$got"
}

sign_next() { # STATUS of a request, and again: a form dies with the credentials that made it, and a role does not
	setting "$root/config" role || :
	case "$value $got $by" in
	yes*) ;;
	*'2 form') refusal=$why && { ! role || by=role; } && why=$refusal ;;
	*'2 role') by='' ;;
	*'0 role') [ -e "$root/by_role" ] || { : >"$root/by_role" && say "the signed form is refused; the role signs"; } ;;
	esac
	return "$1"
}

again() { # UNTIL COMMAND...: a request, again and again until then. 1: given up, $why
	til=$1 pause=1 refusals=0 why='there was no time'
	shift
	while seconds=$((til - $(now))) && [ "$seconds" -gt 0 ]; do
		"$@" && return
		# What is refused thrice is refused; in between the role's credentials were asked for anew.
		[ "$?" = 1 ] || { refusals=$((refusals + 1)) && [ "$refusals" -lt 3 ] || return 1; }
		sleep "$pause"
		pause=$((pause < 15 ? pause * 2 : 15))
	done
	return 1
}

send() { # FILE KEY UNTIL: upload it. 1: given up, $why
	again "$3" send_once "$1" "$2"
}

report() { # STATUS FLAG STARTED MESSAGE UNTIL
	[ -n "$name" ] || { say "nobody to report for: $4" && return 1; }
	setting "$root/config" prefix
	{
		printf 'status %s\nflag %s\nstarted %s\nended %s\ninstance %s\nmessage %s\nunsent %s\n' "$1" "$2" "$3" "$(now)" \
			"$instance" "$(printf %s "$4" | tr '\000-\037\177' ' ' | head -c 400)" "${unsent:-0}"
		[ ! -f "$root/unsent" ] || head -n 5 "$root/unsent" | sed 's/^/left /'
		echo end
	} >"$root/report"
	send "$root/report" "$value/reports/$name" "$5" && return
	say "the report could not be uploaded: $why"
	return 1
}

# --- the end, and the timer that needs nobody --------------------------------------------------------------------

go() { # away, for good: EC2 terminates or stops what shuts itself down, as the launch has asked for
	disarm
	for round in 1 2 3 4 5; do
		shutdown -h now && return
		sleep 5
	done
	say "shutdown does not work here"
	return 1
}

disarm() {
	if { read -r group <"$root/timer"; } 2>/dev/null; then
		kill -KILL "-$group" 2>/dev/null
		rm -f "$root/timer"
	fi
}

arm() { # the OS ends the instance `slack` seconds after the deadline, whatever becomes of everything here
	{ read -r deadline <"$root/deadline"; } 2>/dev/null || return 0
	left=$((deadline + slack - $(now)))
	left=$((left > 0 ? left : 0))
	# systemd's takes minutes, and a later one replaces the one before it; busybox and sysvinit know no such thing.
	shutdown -P "+$(((left + 59) / 60))" >/dev/null 2>&1 && return
	disarm
	setsid sh -c 'echo "$$" >"$1" && sleep "$2" && exec shutdown -h now' timer "$root/timer" "$left" \
		</dev/null >/dev/null 2>&1 &
}

give_up() { # WHY: nothing can be run here
	say "$1"
	[ -n "$name" ] || identify || :
	until=$(($(now) + report_limit))
	report 125 setup '' "$1" "$until" || :
	setting "$root/config" prefix
	[ -z "$name" ] || send "$log" "$value/attempts/$name/bootstrap.log" "$(($(now) + 30))" || :
	echo given up >"$root/reported"
	go
}

boot() { # from the user data, and again at every later boot of the same instance
	if [ -e "$root/reported" ]; then
		say "the attempt has been reported; nothing is run"
		return
	fi
	setting "$root/config" ttl || :
	[ -z "$value" ] || [ -s "$root/deadline" ] || echo "$(($(now) + value))" >"$root/deadline"
	arm
	if [ -d "$per_boot" ]; then
		# A user data script runs only once; after a reboot the timer is gone and nobody has reported.
		printf '#!/bin/sh\nSPAWN_ROOT=%s exec sh -c %s %s/first.sh\n' "$root" "'. \"\$0\"; boot'" "$root" \
			>"$per_boot/spawn-sweep" && chmod 755 "$per_boot/spawn-sweep"
	fi
	if [ ! -d "$root/pack" ]; then
		setting "$root/config" pack_url && url=$value
		setting "$root/config" pack_sha256
		fetch "$url" "$root/pack.tar.gz" "$value" "$(($(now) + fetch_limit))" ||
			{ give_up "the pack could not be fetched: $why" && return 1; }
		mkdir -p "$root/unpacked" && tar -xzf "$root/pack.tar.gz" -C "$root/unpacked" && mv "$root/unpacked" "$root/pack" ||
			{ give_up "the pack could not be unpacked; is the disk full?" && return 1; }
		rm -f "$root/pack.tar.gz"
	fi
	work="$root/pack/bootstrap/bootstrap.sh"
	# As a service it hears of a shutdown that somebody else ordered while the network is still there, and systemd neither
	# ends it because a task ran out of memory nor counts its processes.
	if [ -d "${SPAWN_SYSTEMD:-/run/systemd/system}" ] && systemd-run --quiet --collect --unit=spawn-sweep \
		-p After=network-online.target -p KillMode=mixed -p TimeoutStopSec=100 -p OOMPolicy=continue \
		-p TasksMax=infinity -p StandardOutput=journal+console --setenv="SPAWN_ROOT=$root" --setenv="HOME=$HOME" \
		--setenv="AWS_EC2_METADATA_SERVICE_ENDPOINT=$imds_url" sh "$work"; then
		return
	fi
	exec sh "$work"
}
