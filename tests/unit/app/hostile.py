"""Names and paths that servers have fallen for. One table, for routes and for uploads."""

from urllib.parse import quote_from_bytes, unquote_to_bytes

#: As they stand in the target of a request; decoded, they are what a query, a header or a body says.
TARGETS = (
    # up and away, plain, encoded once and twice, over-long UTF-8
    "..",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%252e%252e%252f%252e%252e%252fetc",
    "..%c0%af..%c0%af",
    "....%2f%2f....%2f%2fcanary",
    "..%5c..%5ccanary",
    "..%3bcanary",
    # absolute, with a drive, with a host, with a scheme
    "%2fetc%2fpasswd",
    "%2f%2fproc%2fself%2froot",
    "C:%5cWindows%5cwin.ini",
    "C:%2fcanary",
    "%5c%5chost%5cshare",
    "file:%2f%2f%2fetc%2fpasswd",
    "s3:%2f%2fbucket%2fkey",
    # cut off, split, hidden
    "canary%00.npz",
    "%00",
    "%23",
    "x%23fragment",
    "%3f",
    "x%3fversion=1",
    "x%26force=true",
    "x%3bfilename=y",
    "%2f%2f",
    ".hidden",
    "-rf",
    "canary.",
    "a%20b",
    "%20x%20",
    "%09",
    # another line of a header, a log or a page
    "x%0d%0aX-Evil:%20yes%0d%0a%0d%0a",
    "x%0aset-cookie:%20a=b",
    "x%22;%20filename=%22evil.html",
    "%3cscript%3ealert(1)%3c%2fscript%3e",
    "'--",
    "%25s%25n$%7bjndi:x%7d%7b%7b7*7%7d%7d",
    # letters that look like dots and slashes, that turn the text round, that are none
    "%ef%bc%8e%ef%bc%8e%ef%bc%8fetc",
    "%e2%80%a4%e2%80%a4%e2%88%95etc",
    "%e2%80%aegnp.exe",
    "%e2%80%8b",
    "x%cc%80",
    "x%ff",
    "%ed%a0%80",
    "%f4%90%80%80",
    "CON",
    "x" * 5000,
)
#: What only JSON can say.
SURROGATES = ("\ud800", "x\udfff/..")


def as_bytes(target: str) -> bytes:
    """What a target says, decoded."""
    return unquote_to_bytes(target)


def as_text(target: str) -> str:
    """The same as text; what is not UTF-8 becomes a replacement character, as it does in a path."""
    return as_bytes(target).decode("utf-8", "replace")


def as_value(target: str) -> str:
    """The same as the value of a query: nothing in it ends the value."""
    return quote_from_bytes(as_bytes(target), safe="")
