"""How fast is it, and compared with what: engines and peers side by side, alternating in one process."""
