"""What the tests start for real: brokers, agents, requesters and certificates."""
