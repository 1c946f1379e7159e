"""What a program needs of the machine: processes, signals, files, logging. Nothing here knows of recommendation."""
