"""What a data set's items are: texts, text vectors and semantic ids."""
