"""Where moto is more lenient, or less real, than AWS: one module for each kind of resource.

Each `install` replaces methods of moto's models, once, before the first request.
"""
