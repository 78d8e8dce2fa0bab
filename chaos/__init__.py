"""``make chaos``: a queue at work while everything around it is killed, frozen, cut off and given the wrong time."""
