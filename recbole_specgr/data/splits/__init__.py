"""How a data set's interactions are divided among train, valid and test: one file a split."""
