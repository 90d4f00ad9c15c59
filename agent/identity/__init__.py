"""Who this box is: its keys and certificates, how it asks for them, and how it changes them."""
