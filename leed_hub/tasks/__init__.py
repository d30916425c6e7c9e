"""What one training step asks for: networks and losses joined into named terms."""
