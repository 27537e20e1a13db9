"""Helpers of the system tests: herald and its peers as objects that a test starts and inspects."""
