"""Methods: ways to make a translator, behind one interface."""
