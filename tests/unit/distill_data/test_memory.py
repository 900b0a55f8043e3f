"""The allocator is told once, where there is one that listens."""

import platform

from workers.distill.memory import keep_freed_memory


def test_glibc_takes_the_settings_and_nothing_else_is_asked():
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
