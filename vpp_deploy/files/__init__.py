"""Files as the outside world has them: read within bounds, written whole or not at all."""
