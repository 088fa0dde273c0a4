"""What the operating system refuses, as sentences: a full disk is no defect of Rekindle."""

import errno
from collections.abc import Mapping

from rekindle.errors import RekindleError

FULL = "Make room there (temporary files go where TMPDIR says), and run the same command again."
RIGHTS = "See who may read and write it, and run the same command again."
PLACE = "See whether the folder is there, and run the command in the folder of Pulumi.yaml."
LIMIT = "Raise the limit (ulimit -n), or end what else runs here, and run the same command again."
AGAIN = "Mend the cause, and run the same command again: it goes on from where it was."
NEXT: Mapping[int, str] = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EACCES: RIGHTS,
    errno.EPERM: RIGHTS,
    errno.EROFS: RIGHTS,
    errno.ENOENT: PLACE,
    errno.ENOTDIR: PLACE,
    errno.EISDIR: PLACE,
    errno.EMFILE: LIMIT,
    errno.ENFILE: LIMIT,
    errno.EAGAIN: LIMIT,
}
UTF8 = "Give it as text in UTF-8, and let the terminal be one that shows it (LANG=C.UTF-8)."


def told(error: Exception) -> RekindleError | None:
    """The sentences for what the machine refused or for text that is none; None for what is a defect."""
    if isinstance(error, OSError):
        where = error.filename if isinstance(error.filename, str) else ""
        return RekindleError(error.strerror or str(error), where=where, next_step=NEXT.get(error.errno or 0, AGAIN))
    if isinstance(error, UnicodeError):
        return RekindleError(f"this is not text in UTF-8: {error}", next_step=UTF8)
    if isinstance(error, MemoryError):
        return RekindleError("there is no more memory on this machine", next_step=AGAIN)
    return None
