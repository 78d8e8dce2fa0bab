"""Properties are about what is true, not about how fast this machine is just now."""

from hypothesis import HealthCheck, settings

settings.register_profile("noisy machine", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy machine")
