"""From logits to tracked instances, in numpy alone."""
