"""Properties are about what is true, not about how fast this machine is just now."""

from hypothesis import settings

settings.register_profile("noisy machine", deadline=None, max_examples=60)
settings.load_profile("noisy machine")
