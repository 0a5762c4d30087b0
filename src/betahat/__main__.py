"""`python -m betahat` is the command `betahat`."""

from betahat.cli import main

if __name__ == "__main__":
    main(prog_name="betahat")
