"""Train, prove and export translators. Imports the contract, never the service."""
