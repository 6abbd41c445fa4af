"""What the policy says to an attempt, what became of it, and how we know."""
