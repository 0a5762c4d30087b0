"""The main job on real input: the lecture replayed, then arrival delays of 336,776 flights explained and predicted.

Everything is done by the command line that a user would type; each command is shown before it runs.
"""

import os
import subprocess
import sys

import flights

FORMULA = "arr_delay ~ dep_delay + distance + C(carrier)"


def run(*command: str) -> None:
    shown = " ".join(f'"{word}"' if " " in word else word for word in command)
    print(f"\n$ {shown}\n", flush=True)
    status = subprocess.run(command).returncode
    if status:
        sys.exit(status)


def main() -> None:
    flights.write()
    table, new = (os.path.relpath(path) for path in (flights.FLIGHTS, flights.NEW))
    model = os.path.relpath(flights.OUTPUT / "delays.betahat")
    run("betahat", "lecture")
    run("betahat", "fit", table, FORMULA, "--save", model)
    run("betahat", "predict", model, new, "--interval", "prediction")


if __name__ == "__main__":
    main()
