"""Checks: what is looked at before the first step, and how outputs are held against responses."""
