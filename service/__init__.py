"""The gateway: translate and search features over HTTP. Imports the contract, never training."""
