"""The proof of the delivery promise: everything around the agent is broken, and every answer is counted."""
