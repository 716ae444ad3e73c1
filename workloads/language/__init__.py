"""Language models: a file for each family, and `text_generation`, which runs any of them."""
