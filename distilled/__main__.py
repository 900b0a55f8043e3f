"""`python -m distilled` is `distilled`."""

from distilled.cli.main import main

if __name__ == "__main__":
    main()
