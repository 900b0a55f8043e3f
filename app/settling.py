"""What stays for as long as the process does is not looked through for garbage again and again.

Python's collector stops everything while it looks through all objects. With torch imported there are so many that it
takes a second, and event streams, which make objects all the time, let it happen every few seconds.
"""

import gc


def settle() -> None:
    """Leave everything that lives now out of later collections. For after a large import, not for every request."""
    gc.collect()
    gc.freeze()
