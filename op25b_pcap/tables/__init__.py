"""The documented tables: the only thing that the stages share."""
