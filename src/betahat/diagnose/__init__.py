"""Diagnose: what speaks against a fit: influence, collinearity, tests of its assumptions, a verdict in words.

fit.influence().cooks            # (n,)
fit.vif()                        # a table
"""

from betahat.diagnose.augment import augment as augment
from betahat.diagnose.battery import diagnose as diagnose
from betahat.diagnose.check import check as check
from betahat.diagnose.collinearity import collinearity as collinearity
from betahat.diagnose.collinearity import vif as vif
from betahat.diagnose.diagnosis import Diagnoses as Diagnoses
from betahat.diagnose.diagnosis import Diagnosis as Diagnosis
from betahat.diagnose.fitted_shares import calibration as calibration
from betahat.diagnose.fitted_shares import roc as roc
from betahat.diagnose.general_influence import GeneralInfluence as GeneralInfluence
from betahat.diagnose.groups_of_rows import binned as binned
from betahat.diagnose.groups_of_rows import rootogram as rootogram
from betahat.diagnose.influence import Influence as Influence
from betahat.diagnose.influence import influence as influence
