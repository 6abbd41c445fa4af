"""Who is who: networks, servers, exchangers, behaviour."""
