# What puts sent files into a copy of the project, POSIX sh: functions that the lines behind them use (`push.py`).
#
#   sh FILE tar | staged | clean        `tar`: they come on stdin; `staged`: they are there; `clean`: give up
#
# They stand in a folder of their own inside the copy, so that each gets into its place by a rename: a task that runs
# there sees the old file or the new one.

set -u
LC_ALL=C
export LC_ALL
me=$0

room() { # how much there is: neither every tar nor rsync says that the disk is full
	df -Pk . | tail -n 1 | { read -r _ _ _ free _ && echo "$free kB are free there"; }
}

begin() { # FOLDER STAGE UNPACK: go there, and make sure that all files have come
	cd "$1" || exit 1
	stage=./$2
	trap 'rm -rf "$stage" "$me"' EXIT
	case $mode in
	clean)
		room
		exit 0
		;;
	tar)
		if ! said=$(tar "$3" - -C "$stage" 2>&1); then
			echo "$(echo "$said" | head -n 1) ($(room))" >&2
			exit 1
		fi
		if [ ! -f "$stage/complete" ]; then
			echo "the files were cut off on their way" >&2
			exit 1
		fi
		;;
	esac
}

keep() { # FOLDER NAME PARENT: a copy of a file that is about to be replaced, or deleted
	(umask 077 && mkdir -p "$1/$3") && cp -pP "./$2" "$1/$2" || exit 1
}

move() { # FOLDER NAME…: the files of one folder into their place
	folder=$1
	shift
	mv -f -- "$@" "./$folder/" || exit 1
}

gone() { # SUM NAME: delete it if it still is what we put there
	if [ -L "$2" ]; then
		now=$(readlink "$2" | sum)
	else
		now=$(sum <"$2") || exit 1
	fi
	if [ "${now%% *}" = "$1" ]; then rm -f -- "$2" || exit 1; fi
}
