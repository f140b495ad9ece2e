# What a machine is asked before it gets tasks, POSIX sh: functions that the lines behind them use (`probe.py`).
#
# It is fed to `sh -s`, so nothing here may read stdin. An answer begins with `spawn-probe 1` and ends with `end`.

set -u
LC_ALL=C
export LC_ALL
echo "spawn-probe 1"

machine() { # what it is
	echo "now=$(date +%s)"
	echo "user=$(id -un 2>/dev/null || id -u)"
	echo "host=$(uname -n)"
	echo "system=$(uname -sr)"
	echo "login=${SHELL:-}"
	[ -r /proc/self/environ ] && echo tool=/proc
	printf 'a\0' | grep -qz a 2>/dev/null && echo tool=grep-z
	for tool in setsid tar gzip sha256sum shasum openssl stat find mv df awk git rsync sbatch squeue sacct scancel qsub qstat qdel; do
		command -v "$tool" >/dev/null 2>&1 && echo "tool=$tool"
	done
	return 0
}

writable() { # FOLDER TOKEN: make it, write a file there and read it again, and measure its disk
	made=
	[ -d "$1" ] || made=1
	if ! said=$( (umask 077 && mkdir -p "$1") 2>&1); then
		echo "unwritable=$said"
		return
	fi
	if said=$( (umask 077 && echo "$2" >"$1/.spawn-test-$2") 2>&1) && [ "$(cat "$1/.spawn-test-$2" 2>&1)" = "$2" ]; then
		echo "written=$(cd "$1" && pwd -P)"
	else
		echo "unwritable=${said:-what was written there is not what is read}"
	fi
	rm -f "$1/.spawn-test-$2"
	echo "disk=$(df -Pk "$1" 2>/dev/null | tail -n 1)"
	echo "inodes=$(df -Pi "$1" 2>/dev/null | tail -n 1)"
	[ -z "$made" ] || rmdir "$1" 2>/dev/null
	return 0
}

python() { # FOLDER NAME SETUP: the python that tasks get there, after the source's set-up script if there is one
	cd "$1" 2>/dev/null || cd || return
	if [ -n "$3" ]; then
		set -- sh "$3" sh -c 'command -v "$0"; "$0" --version' "$2"
	else
		set -- sh -c 'command -v "$0"; "$0" --version' "$2"
	fi
	said=$("$@" </dev/null 2>&1)
	echo "python_status=$?"
	echo "$said" | sed 's/^/python: /'
}

asked() { # NAME COMMAND…: what a command says, and its status
	name=$1
	shift
	if command -v timeout >/dev/null 2>&1; then set -- timeout 30 "$@"; fi
	said=$("$@" </dev/null 2>&1)
	echo "$name status=$?"
	echo "$said" | sed "s/^/$name: /"
}
