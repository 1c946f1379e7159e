"""The commands of `recbole-specgr`, one file each, which holds `run(words) -> exit status`.

Nothing below this package knows that there is a command line.
"""
