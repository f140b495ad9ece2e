# What a copy of the project is asked, POSIX sh: functions that the lines sent behind them use (`far.py`).
#
# It is fed to `sh -s`, so nothing here may read stdin: the rest of the questions comes from there.
# An answer begins with `spawn-project 1` (what a login script printed before is not ours) and ends with `end`.

set -u
LC_ALL=C GIT_OPTIONAL_LOCKS=0
export LC_ALL GIT_OPTIONAL_LOCKS
echo "spawn-project 1"

summer=
for tool in sha256sum shasum openssl; do
	if command -v "$tool" >/dev/null 2>&1; then
		summer=$tool
		break
	fi
done

sum() { # FILE…: SHA-256, a line each
	case $summer in
	shasum) shasum -a 256 "$@" ;;
	openssl) openssl dgst -sha256 -r "$@" ;;
	*) "$summer" "$@" ;;
	esac
}

there() { # PATH: go there
	printf "home=%s\n" "$HOME"
	echo "summer=$summer"
	for tool in git rsync tar gzip; do
		command -v "$tool" >/dev/null 2>&1 && echo "tool=$tool"
	done
	if ! cd "$1" 2>/dev/null; then
		if [ -e "$1" ]; then
			printf "closed=%s\n" "$1"
		else
			printf "absent=%s\n" "$1"
		fi
		echo end
		exit 0
	fi
	printf "path=%s\n" "$(pwd -P)"
}

commit() { # where git stands, and how many of its files are not as committed
	command -v git >/dev/null 2>&1 || return 0
	head=$(git rev-parse --verify --quiet 'HEAD^{commit}' </dev/null 2>/dev/null) || return 0
	printf "prefix=%s\n" "$(git rev-parse --show-prefix </dev/null)"
	changed=$(git status --porcelain --untracked-files=no -- . </dev/null) || return 0
	flagged=$(git ls-files -v </dev/null | grep -c '^[a-zS] ')
	echo "flagged=$flagged"
	if [ -z "$changed" ]; then echo changed=0; else echo "changed=$(echo "$changed" | wc -l)"; fi
	echo "head=$head"
}

record() { # what `spawn-tui sync` has put here: lines that begin with [
	[ -n "$summer" ] || return 0
	key=$(pwd -P | sum)
	key=${key%% *}
	echo "key=$key"
	[ -f "$HOME/.spawn/sync/$key/files" ] && cat "$HOME/.spawn/sync/$key/files"
	return 0
}

folders() { # NUMBER FOLDER…: those that are no folders, or lead elsewhere, by their number
	i=$1
	shift
	for f; do
		if [ -L "$f" ] || { [ -e "$f" ] && [ ! -d "$f" ]; }; then echo "D $i"; fi
		i=$((i + 1))
	done
}

look() { # NUMBER NAME…: `L NUMBER SUM` of links, then `K NUMBER KINDS`, a letter each, then sums of the files, then `.`
	i=$1 first=$1 kinds=
	shift
	for f; do
		shift
		if [ -L "$f" ]; then
			kinds=${kinds}l
			echo "L $i $(readlink "$f" | sum)"
		elif [ -f "$f" ]; then
			if [ ! -r "$f" ]; then
				kinds=${kinds}u
			elif [ -x "$f" ]; then
				kinds=${kinds}x
				set -- "$@" "$f"
			else
				kinds=${kinds}f
				set -- "$@" "$f"
			fi
		elif [ -e "$f" ]; then
			kinds=${kinds}o
		else
			kinds=${kinds}-
		fi
		i=$((i + 1))
	done
	echo "K $first $kinds"
	[ $# -eq 0 ] || sum "$@" </dev/null 2>/dev/null
	echo .
}
