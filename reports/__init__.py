"""Runs in, text out."""
