"""Onlookers: what is told of each step and each epoch: rows to validate on, and how far it is."""
