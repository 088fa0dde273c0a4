# Nothing is frozen any more, nor will be, and the timer that would have run this is gone. It waits until no attempt to
# freeze is pending: the lock is held by the unit that freezes, and by an fsfreeze that outlived it.
# $1 its files, $2 the lock, $3 the timer, $4 the path, escaped for printf %b
export LC_ALL=C
files=$1 lock=$2 timer=$3 path=$(printf %b "$4")

watch() { # with the lock in 8
  flock 8
  case $(cat "$files.state" 2>/dev/null) in
    begun | frozen) ;; # what should have thawed it was killed
    *) return 0 ;;
  esac
  until error=$(fsfreeze --unfreeze "$path" 2>&1); do
    case $error in *'Invalid argument'* | *'No such file'*) break ;; esac
    sleep 1
  done
  echo "over: thawed by the host's timer" >"$files.new" && mv -f "$files.new" "$files.state"
}

: >"$files.release"
watch 8>"$lock" && systemctl stop --no-block "$timer" 2>/dev/null
exit 0
