#!/bin/sh
# Uploads files of an attempt: sh boot_send.sh PREFIX UNTIL FILE..., FILE relative to the attempt's directory. ROOT/sent
# gets a byte for each that has arrived, ROOT/unsent the names of the others, a line each.

LC_ALL=C
export LC_ALL
. "$SPAWN_ROOT/first.sh"
# Bytes ("Uploading and copying objects": what one request may carry; a part has at least 5 MiB, and there are at most
# 10,000). Only tests set them.
whole=${SPAWN_WHOLE:-5368709120} part=${SPAWN_PART:-16777216}
prefix=$1 until=$2
shift 2

# --- in parts, which only a role can sign -------------------------------------------------------------------------

parts() { # FILE KEY: 1: given up, $why
	[ -n "$by" ] || chosen
	[ "$by" = role ] || role ||
		{ why='it has more than 5 GiB, for which the instance needs a role that may write to the bucket' && return 1; }
	size=$(stat -c %s "$1") number=1 upload=''
	while [ "$((size / part))" -ge 9999 ]; do part=$((part * 2)); done
	setting "$root/config" upload_url && url=${value%/}
	encoded "$2" && url=$url/$value
	answer=$root/answer.$$
	echo '<CompleteMultipartUpload>' >"$answer.list"
	again "$until" begin_parts && all_parts "$1" && echo '</CompleteMultipartUpload>' >>"$answer.list" &&
		again "$until" end_parts && got=0 || got=1
	if [ "$got" = 1 ] && [ -n "$upload" ]; then
		refusal=$why
		# What is begun and not ended is paid for until somebody looks.
		again "$(($(now) + 15))" by_role -X DELETE "$url?uploadId=$upload" || say "its parts stay: $why"
		why=$refusal
	fi
	rm -f "$answer" "$answer".*
	answer=''
	return "$got"
}

by_role() { # OPTION...: as `request`
	role "$renew" || return 1
	request "$seconds" -K "$root/role" -g -H 'Content-Type: application/octet-stream' "$@"
}

element() { # NAME: of the answer, in $value
	value=$(tr -d '\n' <"$answer" | sed -n "s/.*<$1>\([^<]*\)<\/$1>.*/\1/p") && [ -n "$value" ]
}

begin_parts() {
	by_role -X POST --data-binary '' "$url?uploads=" || return
	element UploadId && encoded "$value" && upload=$value || { why='S3 gave the upload no name' && return 1; }
}

all_parts() { # FILE
	while [ "$(((number - 1) * part))" -lt "$size" ]; do
		again "$until" one_part "$1" || return 1
		number=$((number + 1))
	done
}

one_part() { # FILE: read anew for each try
	left=$((size - (number - 1) * part))
	why=$(dd if="$1" bs="$part" skip="$((number - 1))" count=1 2>/dev/null | {
		by_role -X PUT --data-binary @- -D "$answer.head" "$url?partNumber=$number&uploadId=$upload" && got=0 || got=$?
		[ "$got" != 0 ] || [ "$bytes" -eq "$((left < part ? left : part))" ] || { why='it cannot be read' && got=2; }
		echo "$why" && exit "$got"
	}) && got=0 || got=$?
	[ "$got" != 2 ] || renew=anew
	[ "$got" = 0 ] || return "$got"
	tag=$(tr -d '\r' <"$answer.head" | sed -n 's/^[Ee][Tt][Aa][Gg]: *//p')
	echo "<Part><PartNumber>$number</PartNumber><ETag>$tag</ETag></Part>" >>"$answer.list"
}

end_parts() {
	by_role -X POST --data-binary "@$answer.list" "$url?uploadId=$upload" || return
	# It may say 200 first, and then that it failed ("CompleteMultipartUpload").
	element ETag || { why='S3 could not put its parts together' && return 1; }
}

# --- each file ----------------------------------------------------------------------------------------------------

for file; do
	path=${file#./}
	if [ -n "$(find "$file" -size "+${whole}c")" ]; then
		parts "$file" "$prefix/$path"
	else
		send "$file" "$prefix/$path" "$until"
	fi && printf x >>"$root/sent" && continue
	path=$(printf %s "$path" | tr '\000-\037\177' '?')
	say "$path could not be uploaded: $why"
	printf '%s\n' "$path" >>"$root/unsent"
done
