# What is sent to a host to hold its file systems still: each is frozen, and thawed, by a unit of its own (keep.sh), and
# by a timer of systemd's should that unit be killed (watch.sh). The timer comes first.
mark=rekindle-hold
echo
export LC_ALL=C
umask 077
mkdir -p "$run"
find "$run" -name 'rp-*' -mmin +1440 -delete

# As files: what systemd 219 keeps of a transient unit's words does not outlive a daemon-reload when they hold % or lines.
place() { printf '%s' "$2" >"$run/$1.$$" && mv -f "$run/$1.$$" "$run/$1"; }
place keep.sh "$keep" && place watch.sh "$watch" || exit 1

uptime() { cut -d. -f1 /proc/uptime; }
state() { cat "$run/$1.state" 2>/dev/null || echo unknown; }
end=$(($(uptime) + freeze_seconds))
is_open() { case $(state "$1") in begun | unknown) true ;; *) false ;; esac; }

# Each is called with the ID of a freeze, the NUMBER of its device, and its PATH, escaped for printf %b.
freeze() {
  echo begun >"$run/$1.state" &&
    systemd-run --quiet --unit="rekindle-thaw-$1" --on-active="${watch_seconds}s" --timer-property=AccuracySec=1s \
      sh "$run/watch.sh" "$run/$1" "$run/lock-$2" "rekindle-thaw-$1.timer" "$3" &&
    systemd-run --quiet --unit="rekindle-freeze-$1" sh "$run/keep.sh" "$run/$1" "$run/lock-$2" "$2" "$keep_seconds" "$3" ||
    release "$1"
}

frozen() { # or given up, because it takes too long
  while is_open "$1" && [ ! -e "$run/$1.release" ] && [ "$(uptime)" -lt "$end" ]; do sleep 0.1; done
  state=$(state "$1")
  [ "$state" = frozen ] || release "$1"
  echo "$mark $1 $state"
}

release() { : >"$run/$1.release"; }

thawed() {
  timeout "$thaw_seconds" sh "$run/watch.sh" "$run/$1" "$run/lock-$2" "rekindle-thaw-$1.timer" "$3"
  echo "$mark $1 $(state "$1")"
}
