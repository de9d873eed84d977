"""Groups of commands of `r3an-gateway` that work on whole galleries."""
