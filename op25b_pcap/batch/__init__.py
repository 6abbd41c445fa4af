"""Many captures to a lake: pieces are scanned apart, conversations assembled together, all judged."""
