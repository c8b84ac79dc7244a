"""Anonymous pipes that a child inherits, and nothing else with them.

On POSIX a child inherits the descriptors named in ``pass_fds`` under the same numbers. On Windows descriptors are not
inherited, handles are: the parent makes the two handles inheritable and names them in ``handle_list``, so that no other
handle goes along; the child wraps them in descriptors again. Standard input is not used for this: on Windows a thread
that waits in a read of it holds up whoever asks anything else of that handle.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class ChildEnds:
    """The ends of two pipes that belong to a child.

    Parameters
    ----------
    read, write
        Descriptors, in the parent.
    """

    read: int
    write: int

    def close(self) -> None:
        """Close them in the parent: the child has its own copies, and its end must end the pipe."""
        os.close(self.read)
        os.close(self.write)


def popen(command: Sequence[str], arguments: Sequence[str], ends: ChildEnds) -> subprocess.Popen[bytes]:
    """Start ``command --link READ:WRITE arguments``; its output goes where ours goes, and Ctrl-C does not reach it.

    A signal of the terminal, Ctrl-C and Ctrl-Break go to a group of processes. The child has a group of its own, so
    that it hears of the end from its parent alone, and in order.
    """
    if sys.platform == "win32":
        import msvcrt

        handles = [msvcrt.get_osfhandle(ends.read), msvcrt.get_osfhandle(ends.write)]
        for handle in handles:
            os.set_handle_inheritable(handle, True)
        startup = subprocess.STARTUPINFO()
        startup.lpAttributeList = {"handle_list": handles}
        return subprocess.Popen(  # noqa: S603 - our own program
            [*command, "--link", "{}:{}".format(*handles), *arguments],
            stdin=subprocess.DEVNULL,
            startupinfo=startup,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
    else:  # so that a type checker for either system sees its own branch
        return subprocess.Popen(  # noqa: S603 - our own program
            [*command, "--link", f"{ends.read}:{ends.write}", *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=(ends.read, ends.write),
            process_group=0,
        )


def adopt(text: str) -> tuple[int, int]:
    """Return the descriptors (read, write) of the pipes named after ``--link``, in the child.

    Raises
    ------
    ValueError, OSError
        These are no pipes of ours.
    """
    read, write = (int(part) for part in text.split(":"))
    if sys.platform == "win32":
        import msvcrt

        # What the child itself starts does not inherit them.
        for handle in (read, write):
            os.set_handle_inheritable(handle, False)
        return msvcrt.open_osfhandle(read, os.O_RDONLY), msvcrt.open_osfhandle(write, os.O_WRONLY)
    else:
        for descriptor in (read, write):
            os.set_inheritable(descriptor, False)
        return read, write


__all__ = ["ChildEnds", "adopt", "popen"]
