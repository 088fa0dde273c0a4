# Keeps one file system frozen until it is released or its time is up, then thaws it. The main process of a transient
# unit, so that it outlives whoever asked.
# $1 its files, $2 the lock, $3 the device's number, $4 seconds, $5 the path, escaped for printf %b
trap '' HUP INT TERM
export LC_ALL=C
files=$1 lock=$2 number=$3 seconds=$4 path=$(printf %b "$5")

say() { echo "$1" >"$files.new" && mv -f "$files.new" "$files.state"; }
uptime() { cut -d. -f1 /proc/uptime; }
end=$(($(uptime) + seconds))
is_late() { [ "$(uptime)" -ge "$end" ]; }
is_released() { [ -e "$files.release" ]; }
is_its_mount() {
  at=$(stat -Lc %d /proc/self/fd/9)
  [ "$((at >> 8 & 4095)):$((at & 255 | at >> 12 & 1048320))" = "$number" ]
}

# The open folder keeps the mount: a frozen file system that nothing is mounted from can't be thawed by anybody.
keep() { # with the lock in 8 and the folder in 9
  flock 8
  is_its_mount || { say "over: $path is no mount of $number"; return 0; }
  ! is_released || { say "over: released before it was frozen"; return 0; }
  error=$(fsfreeze --freeze /proc/self/fd/9 2>&1)
  status=$?
  # Ended by a signal, it may have frozen all the same.
  [ $status -eq 0 ] || [ $status -gt 128 ] || { say "over: $error"; return 0; }
  verdict="over: thawed by the host itself: it was late, or what froze it was killed"
  if [ $status -eq 0 ] && ! is_released; then
    say frozen
    until is_released || is_late; do sleep 0.1; done
    is_late || verdict="thawed"
  fi
  until error=$(fsfreeze --unfreeze /proc/self/fd/9 2>&1); do
    case $error in *'Invalid argument'*) verdict="over: it was thawed by something else"; break ;; esac
    sleep 1
  done
  say "$verdict"
}

keep 8>"$lock" 9<"$path" || say "over: $path cannot be opened"
