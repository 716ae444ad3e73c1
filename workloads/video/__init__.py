"""Text-to-video families, one file each."""
