"""The way of one prompt through the agent: intake, ledger, dispatcher, publisher."""
