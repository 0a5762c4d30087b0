"""Separation: whether a binary or count model has finite estimates at all, decided exactly, before numbers run away.

    found = detect(blocks, names=["Intercept", "dose"])
    found.kind, found.terms          # "complete", (("Intercept", -1), ("dose", 1))
    found.words("died")              # every row with dose > 3.5 has died = 1, and every row with dose < 3.5 …

Machine numbers propose, whole numbers decide: a row that is inside by 1e-12 is inside.
"""

from betahat.separation.asking import overlapping, suspicious
from betahat.separation.detecting import Separation, detect

__all__ = ["Separation", "detect", "overlapping", "suspicious"]
