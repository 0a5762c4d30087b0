"""The lecture, replayed: six recipes for one regression, four steps each, and every number that the notebook printed.

The recipes are data that run by themselves, and the code that is shown is the code that ran.

    import betahat as bh
    bh.lecture.replay()                      # 28 numbers, the lecture's and ours, step by step
    bh.lecture.RECIPES[5].run(epochs=100)    # one recipe, one loop
    bh.lecture.data()                        # X, y: the lecture's 100 rows
"""

from betahat.lecture.notebook import DATA, Data, data
from betahat.lecture.recipes import HOMEWORK, RECIPES, Recipe, Run, Step
from betahat.lecture.replay import Entry, Replay, replay
from betahat.lecture.texts import language

__all__ = [
    "DATA",
    "HOMEWORK",
    "RECIPES",
    "Data",
    "Entry",
    "Recipe",
    "Replay",
    "Run",
    "Step",
    "data",
    "language",
    "replay",
]
