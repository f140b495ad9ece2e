#!/bin/sh
# Uploads files of an attempt: sh boot_send.sh PREFIX UNTIL FILE..., FILE relative to the attempt's directory. Those that
# could not be sent are listed in ROOT/unsent.

LC_ALL=C
export LC_ALL
. "$SPAWN_ROOT/first.sh"
prefix=$1 until=$2
shift 2
for file; do
	path=${file#./}
	# "Uploading and copying objects": what one request may carry.
	if [ -n "$(find "$file" -size +5368709120c)" ]; then
		why='it has more than 5 GiB' && false
	else
		send "$file" "$prefix/$path" "$until"
	fi || {
		say "$path could not be uploaded: $why"
		echo "$path" >>"$root/unsent"
	}
done
