"""What Hopward ships for tests: fakes that behave like the real parts, and conformance suites.

Nothing here is imported by the product. `hopward.testing.conformance` needs pytest.
"""
