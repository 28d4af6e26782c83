"""Train the demo model."""
