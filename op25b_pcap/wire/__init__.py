"""Header knowledge, said once: ports and numbers of the protocols."""
