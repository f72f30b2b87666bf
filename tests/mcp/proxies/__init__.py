"""Tests of the guarding proxy, with real guards, real processes and servers that record every byte."""
