"""Result records, and the tables that are a function of them."""
