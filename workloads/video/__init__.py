"""Text-to-video models: a file for each family, and `text_to_video`, which runs any of them."""
