"""A store of one's own: a Valkey server on loopback, as a child process, in a folder that is locked."""
