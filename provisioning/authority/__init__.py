"""Who signs: an authority of our own, or any existing one behind the same `Signer`."""
