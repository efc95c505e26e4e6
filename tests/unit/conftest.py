from hypothesis import HealthCheck, settings

# Other work on the machine must not fail a property. A property that wants more examples says so.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
settings.load_profile("patient")
