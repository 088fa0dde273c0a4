"""Shell functions for root in folders that are not root's alone, in the tools of EL7 (bash 4.2, coreutils 8.22).

Whoever owns a folder may swap what is in it at any moment, for a link too, so nothing here trusts a path
twice. The shell goes into the folder once, asks the kernel where it is, and works from there by relative
names. A new file is made in a folder inside it that only root may enter, and renamed from there: a rename
replaces a link and follows none, and is atomic because both are of one file system.
"""

import hashlib
import shlex

PLACES = r"""
refuse() { echo "$1; nothing was written there" >&2; exit 1; }
where() { readlink /proc/self/cwd; }
gone() { exit 0; }
is_roots() { # whether only root may change what is in this folder
  case $(stat -c '%u:%A' .) in 0:?????w* | 0:????????w*) return 1 ;; 0:*) return 0 ;; *) return 1 ;; esac
}
enter() { # folder, what to do about one that is missing: the shell is in it, wherever its name leads now
  if cd "${1:-/}" 2>/dev/null && [ "$(where)" = "${1:-/}" ]; then return; fi
  cd / || exit 1
  rest=${1#/} links=0
  while [ -n "$rest" ]; do
    name=${rest%%/*}
    case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
    case $name in '' | .) continue ;; ..) cd -P .. || exit 1; continue ;; esac
    here=$(where)
    if [ -L "./$name" ]; then
      is_roots && [ $((links += 1)) -le 20 ] || refuse "${here%/}/$name is a link that others than root may have made"
      target=$(readlink "./$name")
      rest=$target/$rest
      case $target in /*) cd / ;; esac
      continue
    fi
    [ -d "./$name" ] || $2 "./$name" || refuse "${here%/}/$name is no folder"
    cd -P "./$name" && [ "$(where)" = "${here%/}/$name" ] || refuse "${here%/}/$name became a link"
  done
}
into() { # name of a folder here: the shell is in it, and it is root's alone
  here=$(where)
  cd -P "./$1" && [ "$(where)" = "${here%/}/$1" ] || refuse "${here%/}/$1 became a link"
  case $(stat -c '%u:%a' .) in 0:700 | 0:2700) ;; *) refuse "${here%/}/$1 was swapped" ;; esac
}
aside() { # folder, name: the shell is in a new folder of root's own inside it
  enter "$1" 'mkdir -m 0755'
  rm -rf "./$2"
  mkdir -m 0700 "./$2"
  into "$2"
}
label() { # path, file: it has the SELinux context of what is at that path
  command -v matchpathcon >/dev/null || return 0
  context=$(matchpathcon -n "$1" 2>/dev/null) && chcon "$context" "$2" 2>/dev/null || true
}
appear() { # path: what is `new` in the folder aside, in which the shell is, is there; the folder is left empty
  label "$1" new
  mv -fT new "../${1##*/}"
}
discard() ( # folder, name: no folder aside is left
  enter "$1" gone
  rm -rf "./$2"
)
remove_file() ( # path
  enter "${1%/*}" gone
  rm -f "./${1##*/}"
)
remove_folder() ( # path: one that is empty
  enter "${1%/*}" gone
  [ ! -d "./${1##*/}" ] || rmdir "./${1##*/}"
)
make_folder() ( # mode, owner:group, path
  enter "$3" 'mkdir -m 0755'
  chown "$2" .
  chmod "$1" .
)
fetch() { # URL, file: one that refuses connections is asked again, which EL7's curl (7.29) does not by itself
  tries=0
  until curl -fsSL --retry 3 --connect-timeout 10 -o "$2" --url "$1"; do
    [ $? -eq 7 ] && [ $((tries += 1)) -lt 4 ] || return 1
    sleep 2
  done
}
"""


def aside_of(path: str) -> str:
    """The name of the folder in which a file waits before it appears at its path."""
    return f".rekindle-{hashlib.sha256(path.encode()).hexdigest()[:16]}"


def line(*words: str) -> str:
    """One quoted line of shell."""
    return shlex.join(words) + "\n"
