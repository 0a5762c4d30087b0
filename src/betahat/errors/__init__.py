"""Every error of the library, as a short letter: what happened, why it probably did, what to do next.

The texts live in this room and nowhere else. A room that must refuse says

    raise errors.unknown_column("wieght", known=("height", "weight"), where="cars.csv")

and the reader gets the letter with their own names and numbers in it.
"""

from betahat.errors.asking import *  # noqa: F403
from betahat.errors.computing import *  # noqa: F403
from betahat.errors.diagnosing import *  # noqa: F403
from betahat.errors.drawing import *  # noqa: F403
from betahat.errors.estimating import *  # noqa: F403
from betahat.errors.families import *  # noqa: F403
from betahat.errors.generalizing import *  # noqa: F403
from betahat.errors.inferring import *  # noqa: F403
from betahat.errors.layers import *  # noqa: F403
from betahat.errors.letters import *  # noqa: F403
from betahat.errors.reading import *  # noqa: F403
from betahat.errors.responding import *  # noqa: F403
from betahat.errors.resuming import *  # noqa: F403
from betahat.errors.separating import *  # noqa: F403
from betahat.errors.spreading import *  # noqa: F403
from betahat.errors.tabling import *  # noqa: F403
from betahat.errors.testing import *  # noqa: F403
from betahat.errors.training import *  # noqa: F403
from betahat.errors.validating import *  # noqa: F403
from betahat.errors.watching import *  # noqa: F403
