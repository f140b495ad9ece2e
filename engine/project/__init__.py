"""The user's project and its copies on other machines: which files it is, whether a copy is the same, sending it."""
