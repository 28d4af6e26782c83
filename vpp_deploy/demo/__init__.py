"""The demo: a synthetic clip, and the whole path over it."""
