"""The command line, as `python -m betahat.cli`."""

from betahat.cli import main

if __name__ == "__main__":
    main()
