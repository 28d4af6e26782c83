"""A bundle and what was measured of it as one HTML page that stands for itself: no network, no JavaScript needed."""
