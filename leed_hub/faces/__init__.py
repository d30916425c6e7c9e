"""Faces found, aligned and followed."""
