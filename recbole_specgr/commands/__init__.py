"""The commands of `recbole-specgr`, one file each. Nothing below knows that there is a command line."""
