"""What is not installed with the library itself, and how to say so."""

from importlib import import_module

from distilled.errors import MissingExtra


def require_torch(what: str) -> None:
    """Raise MissingExtra unless PyTorch is there, which `what` needs."""
    try:
        import_module("torch")
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{what} needs PyTorch; install it with: pip install 'distilled[torch]'") from error
