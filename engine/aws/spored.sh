#!/bin/sh
# spored: what a script on an instance of a sweep can say of its own attempt, by the name that scripts written for spawn
# know.
#
#   spored complete [--status success|failed] [--message TEXT] [--file FILE]
#   spored extend DURATION        the TTL ends that much later: 90s, 30m, 2h, 1d
#   spored status

root=${SPAWN_ROOT:-/var/lib/spawn}

usage() {
	echo "spored: $1" >&2
	echo "usage: spored complete [--status success|failed] [--message TEXT] [--file FILE] | extend DURATION | status" >&2
	exit 2
}

publish() { # TEXT FILE: whole or not at all
	(umask 022 && printf '%s\n' "$1" >"$2.$$") && mv "$2.$$" "$2" && return
	echo "spored: $2 cannot be written" >&2
	exit 1
}

[ -d "$root/said" ] || {
	echo "spored: there is no sweep's attempt on this machine ($root)" >&2
	exit 1
}
verb=${1:-}
[ -z "$verb" ] || shift
case $verb in
complete)
	status=success message='' file=''
	while [ "$#" -gt 0 ]; do
		case $1 in
		--status=* | --message=* | --file=*)
			option=${1%%=*} value=${1#*=}
			shift
			;;
		-s | -m | -f | --status | --message | --file)
			[ "$#" -ge 2 ] || usage "$1 needs a value"
			option=$1 value=$2
			shift 2
			;;
		*) usage "no option $1" ;;
		esac
		case $option in
		-s | --status) status=$value ;;
		-m | --message) message=$value ;;
		-f | --file) file=$value ;;
		esac
	done
	case $status in
	success | failed) ;;
	*) usage "the status is success or failed, not '$status'" ;;
	esac
	if [ -n "$file" ]; then printf '%s\n' "$status" >"$file" || exit 1; fi
	publish "$status $(printf %s "$message" | tr '\000-\037\177' ' ')" "$root/said/complete"
	;;
extend)
	[ "$#" = 1 ] || usage "extend needs a duration"
	count=${1%[smhd]}
	case $count in '' | *[!0-9]* | 0*) usage "a duration is 90s, 30m, 2h or 1d, not '$1'" ;; esac
	case $1 in *m) count=$((count * 60)) ;; *h) count=$((count * 3600)) ;; *d) count=$((count * 86400)) ;; esac
	publish "$count" "$root/said/extend"
	;;
status)
	[ "$#" = 0 ] || usage "status takes no arguments"
	cat "$root/identity" 2>/dev/null
	{ read -r deadline <"$root/deadline"; } 2>/dev/null && echo "ttl: $((deadline - $(date +%s))) s left"
	if { read -r told <"$root/said/complete"; } 2>/dev/null; then echo "complete: $told"; else echo "running"; fi
	;;
*) usage "no such command: '$verb'" ;;
esac
